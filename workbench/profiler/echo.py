"""The other end of a measured message: answers pings until its parent closes its standard input.

``python -m workbench.profiler.echo`` is started by ``workbench.profiler.measure`` alone.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from workbench.wire import Ping, Pong, listen, new_keys

_LOOK_S = 0.2


def main() -> None:
    """Serve until standard input ends."""
    ended = threading.Event()
    threading.Thread(target=_wait_for_the_end, args=(ended,), daemon=True).start()
    keys = new_keys()
    with listen(keys=keys) as server:
        sys.stdout.write(json.dumps({"address": server.address, "key": keys.public}) + "\n")
        sys.stdout.flush()
        while not ended.is_set():
            request = server.receive(_LOOK_S)
            if request is not None and isinstance(request.message, Ping):
                now_s = time.perf_counter()
                server.send(request.peer, Pong(request.message.sent_s, now_s, now_s))


def _wait_for_the_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main()
