"""A Prefect server for one command, as a process of its own: python -m flows.embedded PORT.

It ends when its standard input closes, so it outlives its parent by no way of dying, kill -9 included.
"""

import os
import sys
import threading


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Serve Prefect's API on the loopback address until standard input closes."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import uvicorn

    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="error",
        lifespan="on",
    )


if __name__ == "__main__":
    main()
