"""Ports for servers that tests start, stop and start again.

A port that the system chose for a socket of ours would not do: a process that another thread starts
can hold the closed socket for a moment, so that clients are accepted and then cut, and the server
finds its port in use. The system also gives such a port to any connection while no server listens.
The crate `free-port` does the same.
"""

from __future__ import annotations

import errno
import random
import socket
from itertools import chain

HOST = "127.0.0.1"
# Below the ports that systems choose for connections, which begin at 32,768 on Linux. Like Telegram's own, they fit
# into the strings of GramJS, whose ports are signed.
_PORTS = range(10_000, 20_000)
# A node of a Redis cluster also listens this much higher, so above all ports of this module.
_CLUSTER_BUS = 10_000
# Not the module's numbers, which Hypothesis sets.
_system = random.SystemRandom()


class Port:
    """A port of 127.0.0.1 on which nothing listens. No other test gets it until it is closed."""

    def __init__(self) -> None:
        # Processes that run at once seldom try the same ones.
        first = _system.randrange(len(_PORTS))
        for number in chain(_PORTS[first:], _PORTS[:first]):
            # The UDP port of the same number is not needed, and serves as a lock, which the system releases.
            self._lock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                self._lock.bind((HOST, number))
            except OSError:
                pass
            else:
                if all(knock(port) == errno.ECONNREFUSED for port in (number, number + _CLUSTER_BUS)):
                    self.number = number
                    return
            self._lock.close()
        raise OSError(errno.EADDRINUSE, "no port is free")

    def close(self) -> None:
        """Lets others have it."""
        self._lock.close()


def knock(port: int) -> int:
    """Connects to a port. Returns 0 if something listens there, or an error number. No socket of ours gets
    the port itself.
    """
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((HOST, port))


_kept: list[Port] = []


def free_port() -> int:
    """Returns a port that no other test gets while this process runs."""
    port = Port()
    _kept.append(port)
    return port.number
