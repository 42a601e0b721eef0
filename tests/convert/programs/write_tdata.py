"""Writes tdata folders with opentele as standard input says, and prints what opentele reads of them."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

from opentele import td
from opentele.td.configs import QByteArray, dbi

KEY_SIZE = 256
SALT = bytes(range(32))
td.TDesktop.kMaxAccounts = 10
# Otherwise opentele uses a key of its own for tdata without a passcode, and writes no configuration.
td.TDesktop.kPerformanceMode = False
# With several accounts opentele's setter calls that of each account, which calls it again.
td.TDesktop.api = property(lambda desktop: desktop._TDesktop__api, lambda desktop, api: None)


class Passcode(str):
    """A passcode as Telegram Desktop encodes it; opentele knows ASCII only."""

    def encode(self, *_: object) -> bytes:
        return super().encode("utf-8")


def write(content: dict[str, Any]) -> list[Any]:
    desktop = td.TDesktop()
    for account in content["accounts"]:
        desktop._addSingleAccount(new_account(desktop, account))
    passcode = Passcode(content["passcode"])
    desktop.SaveTData(content["folder"], passcode)
    if content["is_old"]:
        write_old(desktop, content["folder"], content["accounts"][0], passcode)
    else:
        desktop = td.TDesktop(content["folder"], passcode=passcode)
    return [[account.UserId, int(account.MainDcId), account.authKey.key.hex()] for account in desktop.accounts]


def new_account(desktop: Any, content: dict[str, Any]) -> Any:
    account = td.Account(owner=desktop, keyFile=desktop.keyFile, index=content["index"])
    environment = td.MTP.Environment.Test if content["is_test"] else td.MTP.Environment.Production
    account._local._StorageAccount__config = td.MTP.Config(environment)
    keys = [td.AuthKey(bytes.fromhex(key), td.AuthKeyType.ReadFromFile, dc_id) for dc_id, key in content["keys"]]
    account._setMtpAuthorizationCustom(content["dc_id"], content["user_id"], keys)
    return account


def write_old(desktop: Any, folder: str, content: dict[str, Any], passcode: str) -> None:
    """Writes what releases before 2.2 wrote instead of key_data, which has to be deleted."""
    password = passcode.encode()
    derived = hashlib.pbkdf2_hmac("sha1", password, SALT, 4000 if password else 4, KEY_SIZE)
    local_key = td.Storage.EncryptedDescriptor(KEY_SIZE)
    desktop.localKey.write(local_key.stream)
    name = td.Storage.ToFilePart(td.Storage.ComputeDataNameKey(desktop.keyFile))
    file = td.Storage.FileWriteDescriptor("map", td.Storage.PathJoin(folder, name))
    file.writeData(QByteArray(SALT))
    file.writeEncrypted(local_key, td.AuthKey(derived))
    file.writeEncrypted(td.Storage.EncryptedDescriptor(4), desktop.localKey)
    file.finish()
    blocks = td.Storage.EncryptedDescriptor((len(content["keys"]) + 1) * (KEY_SIZE + 12))
    blocks.stream.writeInt32(dbi.User)
    blocks.stream.writeInt32(content["user_id"])
    blocks.stream.writeInt32(content["dc_id"])
    for dc_id, key in content["keys"]:
        blocks.stream.writeInt32(dbi.Key)
        blocks.stream.writeInt32(dc_id)
        blocks.stream.writeRawData(bytes.fromhex(key))
    file = td.Storage.FileWriteDescriptor(name, folder)
    file.writeEncrypted(blocks, desktop.localKey)
    file.finish()


for line in sys.stdin:
    print(json.dumps(write(json.loads(line))), flush=True)
