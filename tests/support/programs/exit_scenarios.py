"""Programs that exit in different ways without closing their session; `test_exit.py` runs them.

`python -m support.programs.exit_scenarios SCENARIO`
"""

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
# The function registered first is called last, here after the one that saves the sessions.
atexit.register(lambda: [call() for call in LATE])

from telethon import TelegramClient, types  # noqa: E402

from support import entities  # noqa: E402
from support.contents import STATE, everything_is_on_disk, populate  # noqa: E402
from telethon_session_rust import RustSQLiteSession  # noqa: E402

REFERENCES: list[Any] = []
CONTEXT: contextvars.ContextVar[Any] = contextvars.ContextVar("holder")


def populated_session() -> Any:
    session = RustSQLiteSession("anna")
    populate(session)
    return session


def hold() -> None:
    REFERENCES.append(populated_session())


async def hold_and_save() -> None:
    hold()
    REFERENCES[0].save()


async def hold_and_wait() -> None:
    hold()
    print("ready", flush=True)
    await asyncio.sleep(3600)


def make_cycle() -> None:
    cycle = [populated_session()]
    cycle.append(cycle)


def fail() -> None:
    raise ZeroDivisionError


# The scenarios.


def finishes() -> None:
    hold()


def loop_finishes() -> None:
    asyncio.run(hold_and_save())


def loop_in_thread_finishes() -> None:
    threading.Thread(target=loop_finishes).start()


def exits() -> None:
    hold()
    sys.exit(3)


def exits_in_loop() -> None:
    async def main() -> None:
        exits()

    asyncio.run(main())


def exits_in_task() -> None:
    async def exit_now() -> None:
        sys.exit(3)

    async def main() -> None:
        REFERENCES.append(asyncio.ensure_future(exit_now()))
        await hold_and_wait()

    asyncio.run(main())


def exits_with_message() -> None:
    hold()
    sys.exit("enough")


def raises() -> None:
    hold()
    fail()


def raises_in_loop() -> None:
    async def main() -> None:
        raises()

    asyncio.run(main())


def raises_in_thread() -> None:
    threading.Thread(target=raises).start()


def raises_before_client_closes() -> None:
    async def main() -> None:
        client = TelegramClient(populated_session(), 1, "hash")
        fail()
        client.session.close()

    asyncio.run(main())


def referenced_by_cycle() -> None:
    make_cycle()


def referenced_by_module() -> None:
    gc.my_session = populated_session()  # type: ignore[attr-defined]


def referenced_by_context() -> None:
    CONTEXT.set(populated_session())


def referenced_by_daemon_thread() -> None:
    is_populated = threading.Event()

    def wait_with_session() -> None:
        session = populated_session()
        is_populated.set()
        wait_forever()
        session.close()

    threading.Thread(target=wait_with_session, daemon=True).start()
    is_populated.wait()


def referenced_by_stopped_loop() -> None:
    loop = asyncio.new_event_loop()
    task = loop.create_task(hold_and_wait())
    loop.call_later(0.1, loop.stop)
    loop.run_forever()
    REFERENCES.append(task)


def deleted() -> None:
    session = populated_session()
    del session
    assert everything_is_on_disk()


def garbage_collected() -> None:
    make_cycle()
    gc.collect()
    assert everything_is_on_disk()


def used_after_close() -> None:
    REFERENCES.append(RustSQLiteSession("anna"))
    REFERENCES[0].close()
    populate(REFERENCES[0])


def during_flush() -> None:
    async def main() -> None:
        REFERENCES.append(populated_session())
        asyncio.ensure_future(REFERENCES[0].flush())  # noqa: RUF006
        await asyncio.sleep(0)

    asyncio.run(main())


def during_thread() -> None:
    def add_entities() -> None:
        for entity in entities.crowd(100):
            time.sleep(0.005)
            REFERENCES[0].process_entities([entity])
        REFERENCES[0].set_update_state(0, STATE)
        REFERENCES[0].cache_file(b"1" * 16, 1, types.InputDocument(1, 2, b""))

    REFERENCES.append(RustSQLiteSession("anna"))
    threading.Thread(target=add_entities).start()


def during_daemon_threads() -> None:
    hold()
    crowd = entities.crowd(100)

    def work(session: Any) -> None:
        while True:
            session.process_entities(crowd)
            session.save()
            session.get_input_entity("user1")

    # The first session finds its entities in memory. The others read the file.
    sessions = [REFERENCES[0], RustSQLiteSession("bert"), RustSQLiteSession("bert")]
    for session in sessions:
        threading.Thread(target=work, args=[session], daemon=True).start()
    time.sleep(0.2)


def changed_at_exit() -> None:
    atexit.register(hold)


def changed_late() -> None:
    LATE.append(hold)


def used_before_and_changed_late() -> None:
    REFERENCES.append(RustSQLiteSession("anna"))
    REFERENCES[0].process_entities(entities.crowd(10))
    LATE.append(lambda: populate(REFERENCES[0]))


def changed_late_in_cycle() -> None:
    LATE.append(make_cycle)


def changed_late_in_context() -> None:
    CONTEXT.set(RustSQLiteSession("anna"))
    LATE.append(lambda: populate(CONTEXT.get()))


def saved_late() -> None:
    REFERENCES.append(RustSQLiteSession("anna"))
    LATE.append(lambda: (populate(REFERENCES[0]), REFERENCES[0].save(), os._exit(0)))


def closed_late() -> None:
    hold()
    LATE.append(lambda: REFERENCES[0].close())


def raises_at_exit() -> None:
    hold()
    atexit.register(fail)


def raises_late() -> None:
    hold()
    LATE.append(fail)


def announces_exit() -> None:
    session = RustSQLiteSession("anna")
    print("open", flush=True)
    sys.stdin.readline()
    populate(session)
    atexit.register(print, "exiting", flush=True)
    REFERENCES.append(session)


def stopped_by_handler() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    hold()
    print("ready", flush=True)
    wait_forever()


def stopped_by_handler_in_loop() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    asyncio.run(hold_and_wait())


def stopped_by_loop_handler() -> None:
    async def main() -> None:
        task = asyncio.ensure_future(hold_and_wait())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await asyncio.wait([task])

    asyncio.run(main())


def wait_forever() -> None:
    """Sleeps in short intervals, because a signal just before a sleep would not interrupt it."""
    while True:
        time.sleep(0.1)


def interrupted() -> None:
    # A shell makes background programs ignore this signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hold()
    print("ready", flush=True)
    wait_forever()


def interrupted_in_loop() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asyncio.run(hold_and_wait())


if __name__ == "__main__":
    globals()[sys.argv[1]]()
