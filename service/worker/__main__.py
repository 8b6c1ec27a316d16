"""`python -m strop.service.worker`: started by `strop serve`; its standard input closes when the server is gone."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading

from strop.service.logs import configure
from strop.service.settings import Settings
from strop.service.worker.loop import Worker


def main() -> int:
    """Work until SIGTERM, SIGINT or the end of standard input."""
    configure()
    worker = Worker(Settings())
    told, tell = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT):
        # not worker.stop(): a handler runs within what it interrupts, which may have the lock that stop() waits for
        signal.signal(number, lambda *_: os.write(tell, b"."))
    threading.Thread(target=_watch, args=(worker, told), name="end-watch", daemon=True).start()
    worker.run()
    return 0


def _watch(worker: Worker, told: int) -> None:
    """Stop the worker once a signal came, or once the server is gone."""
    server = sys.stdin.fileno()
    while True:
        ready, _, _ = select.select([told, server], [], [])
        if told in ready or not os.read(server, 64):
            worker.stop()
            return


if __name__ == "__main__":
    sys.exit(main())
