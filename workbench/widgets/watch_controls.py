"""The controls of a link that is watched: which kind, what it is asked to be, how much is sent over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ipywidgets

from workbench.errors import UnknownNameError
from workbench.links import LINK_KINDS, LinkTrace, link_traces
from workbench.profiles import LinkProfile
from workbench.widgets.controls import Choice, NumberRow, group
from workbench.widgets.link_rows import KIND_TITLES, PER, LinkRows
from workbench.widgets.look import note

__all__ = ["LOAD_TITLES", "Orders", "WatchControls"]

_FIELDS = ("rtt_s", "uplink_bps", "downlink_bps", "jitter_s", "loss", "loss_burst")
_NO_TRACE = ""
LOAD_TITLES = {
    "steady": "always full, both ways",
    "bursts": "full for 1 s in 5",
    "none": "none: round trips alone",
}
_LOOKING = "looking whether netem can be made here …"


@dataclass(frozen=True)
class Orders:
    """All that the controls say."""

    kind: str
    profile: LinkProfile
    trace: LinkTrace | None
    loop: bool
    load: str
    follows: int  # how often a trace was given from code: the same one again begins anew


class WatchControls:
    """Controls and the orders that they say. ``on_change`` is called at each change, to return at once."""

    def __init__(self, kind: str, link: LinkProfile, load: str, on_change: Callable[[], None]) -> None:
        self._traces: dict[str, tuple[LinkTrace, bool]] = {n: (t, True) for n, t in link_traces().items()}
        self._follows = 0
        kinds = [(KIND_TITLES[k], k) for k in ("proxy", "simulated")]
        self._kind = Choice("Kind", kinds, "proxy", hint="What makes the path; simulated sends nothing")
        self._netem = ipywidgets.HTML(note(_LOOKING))
        self.links = LinkRows(link, _FIELDS)
        traces = [("none: as set above", _NO_TRACE), *((t.title, n) for n, (t, _) in self._traces.items())]
        self._trace = Choice("Trace", traces, _NO_TRACE, hint="How the path changes by itself, in a loop")
        loads = [(title, load) for load, title in LOAD_TITLES.items()]
        self._load = Choice("Load", loads, "steady", hint="A full path has a queue: round trips take longer")
        self.kind, self.profile, self.load = kind, link, load
        link_rows: list[Choice | NumberRow] = [self.links.choice, *self.links.rows.values(), self._trace]
        for control in (self._kind, self._load, *link_rows):
            control.on_change(lambda _: on_change())
        self.widget = ipywidgets.VBox(
            [group("Path", [self._kind, self._netem, self._load]), group("What it is asked to be", link_rows)]
        )

    @property
    def orders(self) -> Orders:
        """What the controls say now."""
        trace, loop = self._traces.get(self._trace.value, (None, False))
        return Orders(self._kind.value, self.links.profile, trace, loop, self._load.value, self._follows)

    # ---- from code

    @property
    def kind(self) -> str:
        """One of `links.LINK_KINDS`."""
        return str(self._kind.value)

    @kind.setter
    def kind(self, kind: str) -> None:
        if kind not in LINK_KINDS:
            raise UnknownNameError("link kind", kind, LINK_KINDS)
        self._offer(kind)
        self._kind.value = kind

    @property
    def profile(self) -> LinkProfile:
        """What the path is asked to be, but for a trace."""
        return self.links.profile

    @profile.setter
    def profile(self, link: LinkProfile) -> None:
        for name, row in self.links.rows.items():
            row.check(name, getattr(link, name) * PER[name], "make_link")
        self.links.show(link)

    @property
    def load(self) -> str:
        """``steady``, ``bursts`` or ``none``."""
        return str(self._load.value)

    @load.setter
    def load(self, load: str) -> None:
        if load not in LOAD_TITLES:
            raise UnknownNameError("load", load, LOAD_TITLES)
        self._load.value = load

    def follow_trace(self, trace: LinkTrace | None, *, loop: bool) -> None:
        """Choose a trace, which joins the list where it is one's own; None chooses none."""
        self._follows += 1
        if trace is None:
            self._trace.value = _NO_TRACE
            return
        name = trace.name if link_traces().get(trace.name) == trace else f"{trace.name} (your own)"
        if name not in self._traces:
            own = (f"{trace.title or trace.name} (your own)", name)
            self._trace.widget.options = [*self._trace.widget.options, own]
        self._traces[name] = (trace, loop)
        self._trace.value = name

    # ---- for the panel's worker

    def follow(self) -> None:
        """Bring controls that depend on others into line."""
        self.links.follow()

    def know_netem(self, missing: str) -> None:
        """Offer the kernel's netem, or say why it is not to be had."""
        if missing:
            self._netem.value = note(f"netem is not offered here: {missing}")
            return
        self._netem.value = ""
        self._offer("netem")

    def _offer(self, kind: str) -> None:
        options = list(self._kind.widget.options)
        if kind not in [value for _, value in options]:
            chosen = self._kind.value
            self._kind.widget.options = [(KIND_TITLES[kind], kind), *options]
            self._kind.value = chosen
