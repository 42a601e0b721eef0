"""Runs an unchanged program with the loopback data centres in place of Telegram's.

`python -m support.programs.on_loopback PROGRAM ARGUMENTS`. The environment variable `LOOPBACK` has
the data centres' address and key as JSON.
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
    address = json.loads(os.environ.pop("LOOPBACK"))
    telegrambaseclient.DEFAULT_DC_ID = address["dc_id"]
    telegrambaseclient.DEFAULT_IPV4_IP = address["host"]
    telegrambaseclient.DEFAULT_PORT = address["port"]
    trust(address["public_key"])
    # A shell makes background programs ignore this signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    del sys.argv[0], sys.path[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
