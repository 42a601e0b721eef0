"""Programs that end in as many ways, none of which closes its session: `python endings.py WAY`, for `test_ends.py`."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

LATE: list[Callable[[], Any]] = []
# What is registered first is called last, here after what saves the sessions.
atexit.register(lambda: [call() for call in LATE])

from telethon import TelegramClient, types  # noqa: E402

from support import entities  # noqa: E402
from support.contents import STATE, everything_is_on_disk, tell_everything  # noqa: E402
from telethon_session_rust import RustSQLiteSession  # noqa: E402

KEPT: list[Any] = []
HOLDER: contextvars.ContextVar[Any] = contextvars.ContextVar("holder")


def told() -> Any:
    session = RustSQLiteSession("anna")
    tell_everything(session)
    return session


def keep() -> None:
    KEPT.append(told())


async def keep_and_save() -> None:
    keep()
    KEPT[0].save()


async def keep_and_wait() -> None:
    keep()
    print("told", flush=True)
    await asyncio.sleep(3600)


def a_cycle() -> None:
    cycle = [told()]
    cycle.append(cycle)


def fails() -> None:
    raise ZeroDivisionError


# The ways.


def is_over() -> None:
    keep()


def loop_is_over() -> None:
    asyncio.run(keep_and_save())


def loop_in_a_thread_is_over() -> None:
    threading.Thread(target=loop_is_over).start()


def exits() -> None:
    keep()
    sys.exit(3)


def exits_in_a_loop() -> None:
    async def main() -> None:
        exits()

    asyncio.run(main())


def exits_in_a_task() -> None:
    async def leave() -> None:
        sys.exit(3)

    async def main() -> None:
        KEPT.append(asyncio.ensure_future(leave()))
        await keep_and_wait()

    asyncio.run(main())


def exits_with_words() -> None:
    keep()
    sys.exit("enough")


def raises() -> None:
    keep()
    fails()


def raises_in_a_loop() -> None:
    async def main() -> None:
        raises()

    asyncio.run(main())


def raises_in_a_thread() -> None:
    threading.Thread(target=raises).start()


def raises_before_the_client_closes_it() -> None:
    async def main() -> None:
        client = TelegramClient(told(), 1, "hash")
        fails()
        client.session.close()

    asyncio.run(main())


def held_by_a_cycle() -> None:
    a_cycle()


def held_by_a_module() -> None:
    gc.my_session = told()  # type: ignore[attr-defined]


def held_by_a_context() -> None:
    HOLDER.set(told())


def held_by_a_daemon() -> None:
    is_told = threading.Event()

    def stay() -> None:
        session = told()
        is_told.set()
        wait_for_ever()
        session.close()

    threading.Thread(target=stay, daemon=True).start()
    is_told.wait()


def held_by_a_loop_that_stopped() -> None:
    loop = asyncio.new_event_loop()
    task = loop.create_task(keep_and_wait())
    loop.call_later(0.1, loop.stop)
    loop.run_forever()
    KEPT.append(task)


def deleted() -> None:
    session = told()
    del session
    assert everything_is_on_disk()


def collected() -> None:
    a_cycle()
    gc.collect()
    assert everything_is_on_disk()


def used_after_close() -> None:
    KEPT.append(RustSQLiteSession("anna"))
    KEPT[0].close()
    tell_everything(KEPT[0])


def while_it_is_flushed() -> None:
    async def main() -> None:
        KEPT.append(told())
        asyncio.ensure_future(KEPT[0].flush())  # noqa: RUF006
        await asyncio.sleep(0)

    asyncio.run(main())


def while_a_thread_tells() -> None:
    def tell() -> None:
        for entity in entities.crowd(100):
            time.sleep(0.005)
            KEPT[0].process_entities([entity])
        KEPT[0].set_update_state(0, STATE)
        KEPT[0].cache_file(b"1" * 16, 1, types.InputDocument(1, 2, b""))

    KEPT.append(RustSQLiteSession("anna"))
    threading.Thread(target=tell).start()


def while_daemons_work() -> None:
    keep()
    crowd = entities.crowd(100)

    def work(session: Any) -> None:
        while True:
            session.process_entities(crowd)
            session.save()
            session.get_input_entity("user1")

    # One finds all it looks for in memory, and one asks the file.
    sessions = [KEPT[0], RustSQLiteSession("bert"), RustSQLiteSession("bert")]
    for session in sessions:
        threading.Thread(target=work, args=[session], daemon=True).start()
    time.sleep(0.2)


def told_at_exit() -> None:
    atexit.register(keep)


def told_late() -> None:
    LATE.append(keep)


def told_late_and_used_before() -> None:
    KEPT.append(RustSQLiteSession("anna"))
    KEPT[0].process_entities(entities.crowd(10))
    LATE.append(lambda: tell_everything(KEPT[0]))


def told_late_and_held_by_a_cycle() -> None:
    LATE.append(a_cycle)


def told_late_and_held_by_a_context() -> None:
    HOLDER.set(RustSQLiteSession("anna"))
    LATE.append(lambda: tell_everything(HOLDER.get()))


def saved_late() -> None:
    KEPT.append(RustSQLiteSession("anna"))
    LATE.append(lambda: (tell_everything(KEPT[0]), KEPT[0].save(), os._exit(0)))


def closed_late() -> None:
    keep()
    LATE.append(lambda: KEPT[0].close())


def raises_at_exit() -> None:
    keep()
    atexit.register(fails)


def raises_late() -> None:
    keep()
    LATE.append(fails)


def says_when_it_ends() -> None:
    session = RustSQLiteSession("anna")
    print("opened", flush=True)
    sys.stdin.readline()
    tell_everything(session)
    atexit.register(print, "ends", flush=True)
    KEPT.append(session)


def stopped_by_a_handler() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    keep()
    print("told", flush=True)
    wait_for_ever()


def stopped_by_a_handler_in_a_loop() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    asyncio.run(keep_and_wait())


def stopped_by_a_handler_of_the_loop() -> None:
    async def main() -> None:
        task = asyncio.ensure_future(keep_and_wait())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await asyncio.wait([task])

    asyncio.run(main())


def wait_for_ever() -> None:
    """In short sleeps: a signal that comes just before one does not end it."""
    while True:
        time.sleep(0.1)


def interrupted() -> None:
    # It is ignored in a program that a shell has put into the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    keep()
    print("told", flush=True)
    wait_for_ever()


def interrupted_in_a_loop() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asyncio.run(keep_and_wait())


if __name__ == "__main__":
    globals()[sys.argv[1]]()
