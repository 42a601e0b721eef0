"""A simulated Telegram on the loopback interface, for tests and demos: real MTProto with made-up
users.

async with DataCentres() as telegram:
    account = telegram.new_user()
    client = TelegramClient(telegram.at_home(MemorySession()), 1, "hash")
    await client.start(account.phone, code_callback=lambda: account.code)
    await telegram.push_crowd(account, *World().crowd(1000))
"""

from .accounts import Account
from .client_side import trust
from .data_centres import DataCentres
from .directory import Known
from .mailbox import text_message
from .world import Crowd, World

__all__ = ["Account", "Crowd", "DataCentres", "Known", "World", "text_message", "trust"]
