"""Writes what is unsaved when a process of `multiprocessing` ends, which skips `atexit`."""

import os
import sys

from . import _core


def register() -> None:
    """Registers the end of this process, and of those that `multiprocessing` forks from it."""
    if util := sys.modules.get("multiprocessing.util"):
        # Such a process forgets its parent's finalizers, and then calls this.
        util.register_after_fork(_core, _finalize)
        _finalize(_core)


def _finalize(core: object) -> None:
    from multiprocessing.util import Finalize

    Finalize(None, _core.flush_all, exitpriority=0)


register()
if hasattr(os, "register_at_fork"):
    # `multiprocessing` may have been imported since.
    os.register_at_fork(after_in_child=register)
