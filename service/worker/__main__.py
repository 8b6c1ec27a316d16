"""`python -m strop.service.worker`: started by `strop serve`; its standard input closes when the server is gone."""

from __future__ import annotations

import os
import signal
import sys
import threading

from strop.service.logs import configure
from strop.service.settings import Settings
from strop.service.worker.loop import Worker


def main() -> int:
    """Work until SIGTERM or the end of standard input."""
    configure()
    worker = Worker(Settings())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    threading.Thread(target=_watch_server, args=(worker,), name="server-watch", daemon=True).start()
    worker.run()
    return 0


def _watch_server(worker: Worker) -> None:
    while os.read(sys.stdin.fileno(), 64):
        pass
    worker.stop()


if __name__ == "__main__":
    sys.exit(main())
