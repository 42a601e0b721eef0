"""`python -m telethon_session_rust` is the command `telethon-session`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
