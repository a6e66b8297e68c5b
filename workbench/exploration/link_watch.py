"""A link that runs and is watched, in a process of its own: nothing here disturbs what is measured."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from workbench.errors import CancelledRunError, InputError, LinkError, PeerLostError, WorkbenchError
from workbench.links import LinkTrace, make_link
from workbench.links.samples import LinkSample
from workbench.profiles import LinkProfile
from workbench.runtime.link_order import trace_to_dict
from workbench.runtime.process import Child

__all__ = ["LinkWatch", "netem_missing"]

_KEPT = 1200  # samples: five minutes
_SILENT_S = 60.0  # netem may take so long to begin
_END_S = 10.0


class LinkWatch:
    """Makes a link and looks at it four times a second. Commands may come from any thread and return at once.

    Everything ends with ``close``, and with this process, however that ends.

    Args:
        kind: one of ``links.LINK_KINDS``; a simulated link is computed, and its samples say so.
        load: ``"steady"`` keeps the path full both ways, ``"bursts"`` for one second in five, ``"none"``
            never: then only round trips are measured.
        on_sample: told of each, in the watch's own thread; it has to return soon.
        on_error: told what a command could not do; the watch goes on.
        on_end: told that it is over, with what ended it unless that was ``close``.
    """

    def __init__(
        self,
        kind: str,
        profile: LinkProfile,
        *,
        load: str = "steady",
        on_sample: Callable[[LinkSample], None] = lambda _: None,
        on_error: Callable[[WorkbenchError], None] = lambda _: None,
        on_end: Callable[[WorkbenchError | None], None] = lambda _: None,
    ) -> None:
        self._on_sample, self._on_error, self._on_end = on_sample, on_error, on_end
        self._samples: deque[LinkSample] = deque(maxlen=_KEPT)
        self._notes: tuple[str, ...] = ()
        self._ready = threading.Event()
        self._stop, self._over = threading.Event(), threading.Event()
        config = {"kind": kind, "profile": profile.to_dict(), "load": load}
        self._child = Child("workbench.runtime.link_worker", config, {})
        self._thread = threading.Thread(target=self._listen, name="link-watch", daemon=True)
        self._thread.start()

    @property
    def samples(self) -> tuple[LinkSample, ...]:
        """What was seen, the last five minutes of it."""
        return tuple(self._samples.copy())

    @property
    def notes(self) -> tuple[str, ...]:
        """What of its profile the link does not reproduce; empty where it does."""
        return self._notes

    @property
    def running(self) -> bool:
        """Whether it goes on; false when ``on_end`` is called."""
        return not self._over.is_set()

    @property
    def pid(self) -> int:
        """Of the process that owns the link."""
        return self._child.pid

    # ---- what it can be told

    def change(self, profile: LinkProfile) -> None:
        """Shape the path anew; a trace that it follows goes on over the new profile."""
        self._send({"command": "change", "profile": profile.to_dict()})

    def follow(self, trace: LinkTrace | None, *, loop: bool = False) -> None:
        """Change as a trace says, beginning now; None stays with the profile."""
        data = None if trace is None else trace_to_dict(trace)
        self._send({"command": "follow", "trace": data, "loop": loop})

    def outage(self, for_s: float) -> None:
        """Let nothing through for a while, beginning now; then all is as it would be without.

        Raises:
            InputError: it does not last.
        """
        if not for_s > 0:
            raise InputError(f"an outage lasts for more than 0 s, got {for_s:g}")
        self._send({"command": "outage", "for_s": for_s})

    def resume(self) -> None:
        """End such an outage."""
        self._send({"command": "resume"})

    def load(self, load: str) -> None:
        """``"steady"``, ``"bursts"`` or ``"none"``, from now on."""
        self._send({"command": "load", "load": load})

    def close(self) -> None:
        """End the link and its process. May be called again."""
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(_END_S)

    def __enter__(self) -> LinkWatch:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _send(self, command: Mapping[str, Any]) -> None:
        try:
            self._child.send(command)
        except PeerLostError as error:
            raise LinkError("this link is not running any more: start it anew") from error

    # ---- in its own thread

    def _listen(self) -> None:
        error: WorkbenchError | None = None
        try:
            self._take_all()
        except CancelledRunError:
            pass
        except WorkbenchError as raised:
            error = raised
        finally:
            self._child.close()
            self._over.set()
        self._on_end(error)

    def _take_all(self) -> None:
        """Events until one ends it: what the link cannot be made for, or the end of its process."""
        while True:
            try:
                self._take(self._child.receive(_SILENT_S, stop=self._stop))
            except (CancelledRunError, PeerLostError):
                raise
            except WorkbenchError as error:
                if not self._ready.is_set():
                    raise
                self._on_error(error)

    def _take(self, event: Mapping[str, Any]) -> None:
        if event["event"] in ("ready", "notes"):
            self._notes = tuple(event["notes"])
            self._ready.set()
        else:
            sample = LinkSample.from_dict(event["sample"])
            self._samples.append(sample)
            self._on_sample(sample)


@cache
def netem_missing() -> str:
    """Why the kernel cannot shape a link here, with the way out; empty where it can. Found out once."""
    try:
        make_link("netem", LinkProfile(0.01, 1e7, 1e7)).close()
    except LinkError as error:
        return f"{error}. `workbench doctor` says what is missing; the proxy needs none of it"
    return ""
