"""`python on_loopback.py PROGRAM ...` runs a program as it is, with loopback data centres in the place of Telegram's.

LOOPBACK in its environment says where they are, and which key they have.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys

from telethon.client import telegrambaseclient

from support.loopback import trust

if __name__ == "__main__":
    where = json.loads(os.environ.pop("LOOPBACK"))
    telegrambaseclient.DEFAULT_DC_ID = where["dc_id"]
    telegrambaseclient.DEFAULT_IPV4_IP = where["host"]
    telegrambaseclient.DEFAULT_PORT = where["port"]
    trust(where["public_key"])
    # Whoever starts the tests in the background has programs ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    del sys.argv[0], sys.path[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
