"""What all servers have in common: a folder, a port, and a process that can be killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from support.ports import Port

# Ends a hang only.
_START_TIMEOUT = 120


class Server(ABC):
    """A server with its data in a folder of its own, and further options of its program."""

    def __init__(self, *options: str) -> None:
        self.options = options
        self.folder = Path(mkdtemp(prefix="telethon-test-"))
        self.folder.chmod(0o755)
        self._port = Port()
        self.port = self._port.number
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    @abstractmethod
    def is_installed() -> bool:
        """Returns `True` if the server's program is found."""

    @abstractmethod
    def url(self, name: str = "telethon") -> str:
        """Returns the URL of an empty database, which is created if necessary."""

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """Returns the command that runs the server in the foreground."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Returns `True` if the server answers."""

    def prepare(self) -> None:  # noqa: B027
        """Creates what the server needs before it is first started."""

    def start(self) -> None:
        """Starts the server, and waits until it answers."""
        if self._process is None:
            self.prepare()
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            with (self.folder / "output").open("ab") as output:
                self._process = subprocess.Popen(
                    [*self._command(), *self.options],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            while self._process.poll() is None:
                if self.is_ready():
                    return
                if time.monotonic() > deadline:
                    self.kill()
                    raise TimeoutError(f"{type(self).__name__} does not answer: {self.output()}")
                time.sleep(0.02)
            # Processes of a server that was killed may still have its data.
            if time.monotonic() > deadline:
                raise RuntimeError(f"{type(self).__name__} does not start: {self.output()}")
            time.sleep(0.1)

    def output(self) -> str:
        """Returns the end of what the server has printed."""
        return (self.folder / "output").read_text(errors="replace")[-2000:]

    @property
    def pid(self) -> int:
        """The ID of the server's process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Ends the server as an administrator does."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the server as a crash does."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process is not None and self.is_running:
            # The session of the process, because some start others.
            os.killpg(self._process.pid, number)
            self._process.wait()

    def pause(self) -> None:
        """Stops the server's processes: it accepts connections and never answers."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Ends the server and removes its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._port.close()


def as_nobody(command: Sequence[str]) -> list[str]:
    """Returns a command for a server that refuses to run as root."""
    if os.geteuid() != 0:
        return list(command)
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]
