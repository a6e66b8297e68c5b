"""The process behind a NetemLink: ``python -m workbench.links.netem.keeper FD``, one end of a Unix socket.

It forks once. The child is process 1 of a PID namespace and holds the path; this process only watches. When
the owner is gone, however it ended, it kills the child; with that the kernel ends all others of the
namespace, and the interfaces go with the last of them.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys

from workbench.errors import LinkError
from workbench.links.netem import namespaces
from workbench.links.netem.messages import Messages

__all__: list[str] = []


def _watch(owner: Messages, child: int) -> int:
    """Until the child or the owner is gone; returns the child's exit code."""
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(owner, select.POLLRDHUP)
    poll.register(ended, select.POLLIN)
    if all(descriptor != ended for descriptor, _ in poll.poll()):
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _serve(owner: Messages) -> None:
    try:
        namespaces.end_with_parent()
        namespaces.proc_of_our_own()
        # Here and not above: the watching process starts and stays without it.
        from workbench.links.netem.serving import Keeper

        keeper = Keeper(owner)
    except (LinkError, OSError) as error:
        owner.send({"error": str(error)}, [])
        return
    owner.send({}, [])
    keeper.run()


def main() -> None:
    """Isolate first, say how that went, then serve."""
    owner = Messages(socket.socket(fileno=int(sys.argv[1])))
    try:
        namespaces.isolate()
    except LinkError as error:
        owner.send({"error": str(error)}, [])
        return
    if child := os.fork():
        sys.exit(abs(_watch(owner, child)))
    _serve(owner)


if __name__ == "__main__":
    main()
