"""A TCP proxy on loopback that cuts connections: the bad network between a client and a service."""

from __future__ import annotations

import random
import select
import socket
import struct
import threading
from contextlib import suppress

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset instead of an orderly end


class CuttingProxy:
    """Passes connections on to `port`, and ends each after some bytes of its answer, `cuts` times in all.

    The number of bytes is drawn by `seed`, up to `longest`; half of the cuts are resets, half look like orderly ends.
    """

    def __init__(self, port: int, cuts: int, longest: int, seed: int) -> None:
        self.done = 0
        self._target, self._cuts, self._longest = port, cuts, longest
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connection, args=(client,), daemon=True).start()

    def _connection(self, client: socket.socket) -> None:
        with self._lock:
            left = self._chance.randint(1, self._longest) if self.done < self._cuts else None
            reset = self._chance.random() < 0.5
        with client, socket.create_connection(("127.0.0.1", self._target)) as server, suppress(OSError):
            while True:  # one thread for both ways: a socket that another thread reads from cannot be reset
                for source in select.select([client, server], [], [])[0]:
                    piece = source.recv(1 << 16)
                    if source is client:
                        server.sendall(piece)
                    elif left is not None and len(piece) >= left:
                        client.sendall(piece[:left])
                        with self._lock:
                            self.done += 1
                        if reset:
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                        return
                    else:
                        client.sendall(piece)
                        left = None if left is None else left - len(piece)
                    if not piece:
                        return
