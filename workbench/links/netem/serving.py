"""What process 1 of a path's namespaces does: holds the path, obeys its owner, starts both sides.

Commands come as JSON lines, with file descriptors where they need some, and are answered likewise. Nothing in
here waits for the path: a command that did could not see an owner that is gone, nor keep a timetable.
"""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Callable, Mapping
from dataclasses import asdict
from time import monotonic
from typing import Any

from workbench.errors import LinkError
from workbench.links.netem import namespaces
from workbench.links.netem.messages import Messages
from workbench.links.netem.path import VethPath
from workbench.links.timetable import Timetable
from workbench.profiles import OneWay

__all__ = ["Keeper"]

_Answer = tuple[dict[str, Any], list[int]]


class Keeper:
    """Holds the path and obeys one owner."""

    def __init__(self, owner: Messages) -> None:
        self._owner = owner
        self._path = VethPath()
        self._home = self._path.ends["edge"].network
        namespaces.enter(self._home)
        self._shaped = False
        self._timetable: Timetable | None = None
        self._exits: dict[int, int] = {}
        self._child_ended, waker = os.pipe()
        os.set_blocking(self._child_ended, False)
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Serve until the owner is gone."""
        while True:
            next_s = self._timetable.next_s() if self._timetable else float("inf")
            wait_s = None if next_s == float("inf") else max(0.0, next_s - monotonic())
            sources: list[Any] = [self._owner, self._child_ended]
            ready, _, _ = select.select(sources, [], [], wait_s)
            if self._child_ended in ready:
                self._reap()
            self._keep_time()
            if self._owner in ready and not self._obey():
                return

    def _obey(self) -> bool:
        received = self._owner.receive()
        if received is None:
            return False
        command, descriptors = received
        handler: Callable[..., _Answer] = getattr(self, f"_on_{command.pop('command')}")
        try:
            answer, handed_over = handler(*descriptors, **command)
        except (LinkError, OSError) as error:
            answer, handed_over = {"error": str(error)}, []
        self._owner.send(answer, handed_over)
        for descriptor in (*descriptors, *handed_over):
            os.close(descriptor)
        return True

    # ---- shaping

    def _on_shape(self, shape: dict[str, Any]) -> _Answer:
        self._timetable = None
        self._set(shape)
        return {"settings": {way: asdict(s) for way, s in self._path.read_back().items()}}, []

    def _on_follow(self, rows: int, *, period_s: float | None, started_s: float) -> _Answer:
        with os.fdopen(os.dup(rows), encoding="utf-8") as file:
            self._timetable = Timetable(json.load(file), period_s, started_s)
        self._keep_time()
        return {}, []

    def _keep_time(self) -> None:
        if self._timetable is not None:
            due = self._timetable.due(monotonic())
            if due is not None:
                self._set(due)

    def _set(self, shape: Mapping[str, Any]) -> None:
        self._path.shape(*(_one_way(shape, way) for way in ("up", "down")))
        if not self._shaped:
            self._path.join()
            self._shaped = True

    # ---- looking

    def _on_state(self) -> _Answer:
        sent = {way: self._path.ends[side].sent_bytes() for way, side in (("up", "edge"), ("down", "cloud"))}
        settings = {way: asdict(found) for way, found in self._path.read_back().items()}
        control = self._path.ends["edge"].congestion_control
        return {"sent_bytes": sent, "settings": settings, "congestion_control": control}, []

    # ---- talking over it

    def _on_sockets(self) -> _Answer:
        return {}, [end.detach() for end in self._path.sockets()]

    def _on_datagrams(self) -> _Answer:
        return {}, [end.detach() for end in self._path.datagrams()]

    def _on_start(
        self, *streams: int, side: str, arguments: list[str], environment: dict[str, str]
    ) -> _Answer:
        actions = [(os.POSIX_SPAWN_DUP2, stream, number) for number, stream in enumerate(streams)]
        with self._path.ends[side].inside(self._home):
            pid = os.posix_spawn(arguments[0], arguments, environment, file_actions=actions, setsid=True)
        return {"pid": pid}, [os.pidfd_open(pid)]

    def _on_exit_code(self, pid: int) -> _Answer:
        self._reap()
        return {"code": self._exits.get(pid)}, []

    def _reap(self) -> None:
        while True:
            try:
                if not os.read(self._child_ended, 4096):
                    break
            except BlockingIOError:
                break
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._exits[pid] = os.waitstatus_to_exitcode(status)


def _one_way(shape: Mapping[str, Any], way: str) -> OneWay | None:
    return OneWay(**shape[way]) if shape[way] else None
