"""The programs in `examples/` do what they say, and end cleanly."""

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

ENDS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("end", ENDS)
async def test_bot(telegram: DataCentres, new_client: MakeClient, end: int) -> None:
    bot, ada = telegram.new_bot(username="greeter"), telegram.new_user(first_name="Ada")
    client = await sign_in(new_client(), ada)
    for _ in range(2):
        async with example("bot.py", telegram, BOT_TOKEN=bot.token) as program:
            await program.says("@greeter is there")
            await ask(client, "greeter", "hi", "Hello Ada!")
            assert await program.end(end) == (0, "")
    assert signed_in(telegram, bot) == 1
    assert ada.id in {row[0] for row in on_disk(path="bot.session")}


async def test_userbot(
    telegram: DataCentres, new_client: MakeClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TELETHON_SESSION", raising=False)
    account, ada = telegram.new_user(first_name="Bob"), telegram.new_user(first_name="Ada", username="ada_lovelace")
    elsewhere = await sign_in(new_client(), account)
    await elsewhere.send_message("ada_lovelace", "hi")
    async with example("userbot.py", telegram) as program:
        status, said = await program.end()
        assert status == 1 and "userbot.py login" in said

    async with example("userbot.py", telegram, "login", typed=f"{account.phone}\n{account.code}\n") as program:
        _, string = (await program.says("TELETHON_SESSION=")).split("=", 1)
        assert await program.end() == (0, "")
    assert list(folder.iterdir()) == []

    for end in ENDS:
        async with example("userbot.py", telegram, TELETHON_SESSION=string) as program:
            await program.says("Bob is there")
            await ask(elsewhere, "ada_lovelace", ".id Ada", str(ada.id))
            await ask(elsewhere, "ada_lovelace", ".id nobody", "We have not met.")
            assert await program.end(end) == (0, "")
    assert signed_in(telegram, account) == 2
    (path,) = folder.glob("userbot-entities*")
    assert ada.id in {row[0] for row in on_disk(path=str(path))}
    assert StringSession(string).auth_key.key not in path.read_bytes()


async def test_many_accounts(telegram: DataCentres, new_client: MakeClient) -> None:
    Path("accounts").mkdir()
    accounts = [telegram.new_user(first_name=name, username=f"{name}_is_here") for name in ("Ada", "Bob", "Eva")]
    for account in accounts:
        client = await sign_in(new_client(RustSQLiteSession(f"accounts/{account.user.first_name}")), account)
        await client.disconnect()
    Path("accounts/broken.session").write_bytes(b"no database" * 100)
    RustSQLiteSession("accounts/nobody").close()
    unreachable = RustSQLiteSession("accounts/unreachable")
    unreachable.set_dc(2, "127.0.0.1", 1)
    unreachable.close()

    client = await sign_in(new_client(), telegram.new_user())
    # The first time one of them may still be trying to connect when the program is ended.
    for end, failed in ((signal.SIGINT, ["broken", "nobody"]), (signal.SIGTERM, ["broken", "nobody", "unreachable"])):
        async with example("many_accounts.py", telegram, "accounts") as program:
            for account in accounts:
                await program.says(f"{account.user.first_name}.session: {account.user.first_name} is there")
            for name in failed:
                await program.says(f"ERROR:root:{name}.session: ")
            for account in accounts:
                await ask(client, account.user.username, "ping", "pong")
            status, said = await program.end(end)
            assert status == 0 and "Traceback" not in said, said
