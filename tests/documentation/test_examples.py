"""The programs in `examples/` do what they document, and exit cleanly."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from telethon.sessions import StringSession

from support.clients import MakeClient, sign_in
from support.examples import ask, example, signed_in
from support.files import on_disk
from support.loopback import DataCentres
from telethon_session_rust import RustSQLiteSession

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("signal_number", SIGNALS)
async def test_bot(telegram: DataCentres, new_client: MakeClient, signal_number: int) -> None:
    bot, ada = telegram.new_bot(username="greeter"), telegram.new_user(first_name="Ada")
    client = await sign_in(new_client(), ada)
    for _ in range(2):
        async with example("bot.py", telegram, BOT_TOKEN=bot.token) as program:
            await program.says("@greeter is connected")
            await ask(client, "greeter", "hi", "Hello Ada!")
            assert await program.end(signal_number) == (0, "")
    assert signed_in(telegram, bot) == 1
    assert ada.id in {row[0] for row in on_disk(path="bot.session")}


async def test_userbot(
    telegram: DataCentres, new_client: MakeClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TELETHON_SESSION", raising=False)
    account, ada = telegram.new_user(first_name="Bob"), telegram.new_user(first_name="Ada", username="ada_lovelace")
    other_device = await sign_in(new_client(), account)
    await other_device.send_message("ada_lovelace", "hi")
    async with example("userbot.py", telegram) as program:
        status, output = await program.end()
        assert status == 1 and "userbot.py login" in output

    async with example("userbot.py", telegram, "login", typed=f"{account.phone}\n{account.code}\n") as program:
        _, string = (await program.says("TELETHON_SESSION=")).split("=", 1)
        assert await program.end() == (0, "")
    assert list(folder.iterdir()) == []

    for signal_number in SIGNALS:
        async with example("userbot.py", telegram, TELETHON_SESSION=string) as program:
            await program.says("Bob is connected")
            await ask(other_device, "ada_lovelace", ".id Ada", str(ada.id))
            await ask(other_device, "ada_lovelace", ".id unknown", "Unknown entity.")
            await ask(other_device, "ada_lovelace", ".forget unknown", "Unknown entity.")
            await ask(other_device, "ada_lovelace", ".forget Bob", "Forgotten.")
            assert await program.end(signal_number) == (0, "")
    assert signed_in(telegram, account) == 2
    (path,) = folder.glob("userbot-entities*")
    assert ada.id in {row[0] for row in on_disk(path=str(path))}
    assert StringSession(string).auth_key.key not in path.read_bytes()


async def test_many_accounts(telegram: DataCentres, new_client: MakeClient) -> None:
    Path("accounts").mkdir()
    accounts = [telegram.new_user(first_name=name, username=f"{name}_account") for name in ("Ada", "Bob", "Eva")]
    for account in accounts:
        client = await sign_in(new_client(RustSQLiteSession(f"accounts/{account.user.first_name}")), account)
        await client.disconnect()
    Path("accounts/broken.session").write_bytes(b"not a database" * 100)
    RustSQLiteSession("accounts/signed_out").close()
    unreachable = RustSQLiteSession("accounts/unreachable")
    unreachable.set_dc(2, "127.0.0.1", 1)
    unreachable.close()

    client = await sign_in(new_client(), telegram.new_user())
    # In the first run, one account may still be connecting when the program is stopped.
    for signal_number, failed in (
        (signal.SIGINT, ["broken", "signed_out"]),
        (signal.SIGTERM, ["broken", "signed_out", "unreachable"]),
    ):
        async with example("many_accounts.py", telegram, "accounts") as program:
            for account in accounts:
                await program.says(f"{account.user.first_name}.session: {account.user.first_name} is connected")
            for name in failed:
                await program.says(f"ERROR:root:{name}.session: ")
            for account in accounts:
                await ask(client, account.user.username, "ping", "pong")
            status, output = await program.end(signal_number)
            assert status == 0 and "Traceback" not in output, output
