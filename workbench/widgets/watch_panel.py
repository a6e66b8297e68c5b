"""The network panel: a real link that runs, its course drawn live, changed while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import ipywidgets

from workbench import plots
from workbench.errors import InputError, WorkbenchError
from workbench.exploration import LinkWatch, netem_missing
from workbench.links import LINK_KINDS, LinkTrace
from workbench.links.samples import LinkSample
from workbench.plots.live import LiveFigure
from workbench.plots.style import Scale
from workbench.plots.watched import link_series_parts
from workbench.profiles import LinkProfile
from workbench.widgets.controls import button
from workbench.widgets.fit import Fit
from workbench.widgets.look import MessageBox, panel, table
from workbench.widgets.profile_choice import link_of
from workbench.widgets.still import show_with_still
from workbench.widgets.watch_controls import Orders, WatchControls
from workbench.widgets.worker import Worker

__all__ = ["NetworkPanel"]

_OUTAGE_S = 5.0  # of the button
_FRESH_S = 1.5  # what is older is not what a path does now
_LONGEST_S = 1800.0  # a panel that was forgotten does not keep the machine busy for ever
_POLL_S = 0.05
_NONE = "–"


class NetworkPanel:
    """A panel about one link, which runs in a process of its own while it is watched.

    Everything that a control does can be called, from any thread: `link`, `kind`, `load`, ``follow``,
    ``outage``, ``start``, ``stop``. Calls return at once; ``wait`` waits for what is measured.
    """

    def __init__(self, link: LinkProfile, kind: str, load: str) -> None:
        self._lock = threading.RLock()
        self._watch: LinkWatch | None = None
        self._told: Orders | None = None  # what the link that runs has been told
        self._error: WorkbenchError | None = None  # what ended it
        self.controls = WatchControls(kind, link, load, self._changed)
        self._worker = Worker("network", self._fail)
        self._build()
        self._show()
        threading.Thread(target=self._look_for_netem, name="netem-probe", daemon=True).start()

    def _build(self) -> None:
        self.messages = MessageBox()
        self._start = self._button("Start", self.start, "Make the link and measure it", "primary")
        self._stop = self._button("Stop", self.stop, "End the link and its process")
        name = f"Outage {_OUTAGE_S:.0f} s"
        self._outage = self._button(name, self.outage, "Let nothing through for that long, beginning now")
        self._status = ipywidgets.HTML()
        self._sentence, self._numbers = ipywidgets.HTML(), ipywidgets.HTML()
        self.live = LiveFigure(self._figure())
        self.live.widget.add_class("wb-plot")
        buttons = ipywidgets.HBox([self._start, self._stop, self._outage])
        left = ipywidgets.VBox([self.controls.widget, buttons, self._status])
        shown = [Fit(), self.messages.widget, self._sentence, self.live.widget, self._numbers]
        right = ipywidgets.VBox(shown)
        left.add_class("wb-controls")
        right.add_class("wb-figure")
        body = ipywidgets.Box([left, right])
        body.add_class("wb-wrap")
        self.widget = panel(body)

    def _button(self, name: str, act: Any, hint: str, style: str = "") -> ipywidgets.Button:
        return button(name, lambda: self._worker.post(f"button {name}", act), hint=hint, style=style)

    # ---- what code reads and sets

    @property
    def link(self) -> LinkProfile:
        """What the path is asked to be, but for a trace that it follows."""
        return self.controls.profile

    @link.setter
    def link(self, link: LinkProfile | str) -> None:
        self.controls.profile = link_of(link)
        self._changed()

    @property
    def kind(self) -> str:
        """``proxy``, ``netem`` or ``simulated``; another one, while it runs, is a link made anew."""
        return self.controls.kind

    @kind.setter
    def kind(self, kind: str) -> None:
        self.controls.kind = kind
        self._changed()

    @property
    def load(self) -> str:
        """``steady``, ``bursts`` or ``none``: how often the path is kept full."""
        return self.controls.load

    @load.setter
    def load(self, load: str) -> None:
        self.controls.load = load
        self._changed()

    @property
    def running(self) -> bool:
        """Whether the link runs."""
        return self._watch is not None and self._watch.running

    @property
    def samples(self) -> tuple[LinkSample, ...]:
        """What was seen of the link that runs, or ran last."""
        return () if self._watch is None else self._watch.samples

    @property
    def figure(self) -> Any:
        """What is seen, as a plain plotly figure."""
        return plots.link_series(self.samples, title=self._title)

    @property
    def message(self) -> str:
        """What the panel says went wrong; empty where all is well."""
        return self.messages.text

    # ---- what can be done

    def start(self) -> None:
        """Make the link that the controls say and measure it. Nothing where one runs already."""
        with self._lock:
            if not self.running:
                self._begin()
        self._draw_soon()

    def stop(self) -> None:
        """End the link and its process; what was seen stays."""
        with self._lock:
            if self._watch is not None:
                self._watch.close()
        self._draw_soon()

    def outage(self, for_s: float = _OUTAGE_S) -> None:
        """Let nothing through for a while, beginning now.

        Raises:
            InputError: no link runs, or it does not last.
        """
        self._running_watch.outage(for_s)

    def follow(self, trace: LinkTrace | None, *, loop: bool = False) -> None:
        """Have the path change as a trace says, beginning now; None stays with the link's numbers."""
        self.controls.follow_trace(trace, loop=loop)
        self._changed()

    def wait(self, seconds: float) -> None:
        """Wait until so much more has been seen of the link.

        Raises:
            InputError: no link runs.
            WorkbenchError: what ended it.
        """
        self.settle()  # a call before may still have to be told
        if not self.running and self._error is not None:
            raise self._error
        watch = self._running_watch
        until_s = seconds + (watch.samples[-1].t_s if watch.samples else 0.0)
        while watch.running and not (watch.samples and watch.samples[-1].t_s >= until_s):
            time.sleep(_POLL_S)
        self.settle()
        if self._error is not None:
            raise self._error

    def settle(self, timeout_s: float = 30.0) -> None:
        """Wait until all that was said before is done and drawn. The worker is never idle for long."""
        done = threading.Event()
        self._worker.post(f"settle {id(done)}", done.set)
        done.wait(timeout_s)

    def close(self) -> None:
        """End the link and all that the panel started. May be called again."""
        self.stop()
        self._worker.close()
        self.widget.close()

    def _ipython_display_(self) -> None:
        self.settle()
        show_with_still(self.widget, self.figure, self._words, self._table())

    # ---- the link

    @property
    def _running_watch(self) -> LinkWatch:
        if self._watch is None or not self._watch.running:
            raise InputError("no link runs: press Start, or call start")
        return self._watch

    def _begin(self) -> None:
        orders = self.controls.orders
        self._error = None
        self._watch = LinkWatch(
            orders.kind,
            orders.profile,
            load=orders.load,
            on_sample=self._seen,
            on_error=self._post_error,
            on_end=self._ended,
        )
        if orders.trace is not None:
            self._watch.follow(orders.trace, loop=orders.loop)
        self._told = orders
        self._worker.post("clear", self.messages.clear)

    def _changed(self) -> None:
        self._worker.post("tell", self._tell)

    def _tell(self) -> None:
        """Tell the link that runs what is new in the controls."""
        self.controls.follow()
        with self._lock:
            before, now = self._told, self.controls.orders
            if self.running and before is not None and self._watch is not None:
                self.messages.clear()
                if now.kind != before.kind:
                    self._watch.close()
                    self._begin()
                else:
                    _tell(self._watch, before, now)
                self._told = now
        self._draw()

    def _seen(self, sample: LinkSample) -> None:
        if sample.t_s > _LONGEST_S and self._watch is not None:
            self._worker.post("stop", self.stop)
        self._draw_soon()

    def _ended(self, error: WorkbenchError | None) -> None:
        if error is not None:
            self._error = error
            self._post_error(error)
        self._draw_soon()

    def _post_error(self, error: WorkbenchError) -> None:
        self._worker.post("error", lambda: self._fail(error))

    def _fail(self, error: Exception) -> None:
        self.messages.show(error)

    def _look_for_netem(self) -> None:
        missing = netem_missing()
        self._worker.post("netem", lambda: self.controls.know_netem(missing))

    # ---- drawing: in the worker's thread

    def _draw_soon(self) -> None:
        self._worker.post("draw", self._draw)

    def _draw(self) -> None:
        self._show()
        self.live.settle()

    def _show(self) -> None:
        self.live.show(self._figure())
        self._sentence.value = f"<div class='wb-sentence'>{escape(self._words)}</div>"
        self._numbers.value = self._table()
        running = self.running
        self._start.disabled, self._stop.disabled, self._outage.disabled = running, not running, not running
        self._status.value = f"<div class='wb-note' role='status'>{escape(self._state)}</div>"

    def _figure(self) -> Any:
        return link_series_parts(self.samples, title=self._title)

    @property
    def _shown(self) -> Orders:
        """What runs, or will when it is started."""
        return self._told if self.running and self._told is not None else self.controls.orders

    @property
    def _title(self) -> str:
        orders = self._shown
        trace = f", trace {orders.trace.name}" if orders.trace else ""
        return f"{orders.profile.title}, {orders.kind}{trace}"

    @property
    def _words(self) -> str:
        """Which link this is, and what it is not."""
        kind = LINK_KINDS[self._shown.kind]
        sent = "computed: nothing is sent" if self._shown.kind == "simulated" else "measured on real bytes"
        return f"{kind.kind}, {sent}. Models {', '.join(kind.models)}. Omits {', '.join(kind.omits)}."

    @property
    def _state(self) -> str:
        if not self.running:
            return "stopped" if self.samples else "not running: press Start"
        since = f" for {self.samples[-1].t_s:.0f} s" if self.samples else ""
        return f"running{since} in a process of its own"

    def _table(self) -> str:
        return table(["", "asked", "found", "error", "label"], list(_rows(self.samples)), note=self._remark)

    @property
    def _remark(self) -> str:
        notes = list(self._watch.notes) if self._watch is not None else []
        if self._shown.load != "none" and self._shown.kind != "simulated":
            notes.append("while the path is full, a round trip waits in its queue: without load it does not")
        return "; ".join(notes)


def _tell(watch: LinkWatch, before: Orders, now: Orders) -> None:
    if now.profile != before.profile:
        watch.change(now.profile)
    if (now.trace, now.loop, now.follows) != (before.trace, before.loop, before.follows):
        watch.follow(now.trace, loop=now.loop)
    if now.load != before.load:
        watch.load(now.load)


def _rows(samples: Sequence[LinkSample]) -> Iterator[list[str]]:
    """What is asked and what was found last, with the difference."""
    last = samples[-1] if samples else None
    for name, way in (("down", "down"), ("up", "up"), ("round trip", "")):
        if last is None:
            yield [name, _NONE, _NONE, _NONE, _NONE]
            continue
        found_of, asked_of = (f"{way}_bps", f"asked_{way}_bps") if way else ("rtt_s", "asked_rtt_s")
        fresh = [s for s in samples[-8:] if s.t_s >= last.t_s - _FRESH_S]
        found = next((v for s in reversed(fresh) if (v := getattr(s, found_of)) is not None), None)
        out = last.up_outage or last.down_outage if not way else getattr(last, f"{way}_outage")
        yield _row(name, getattr(last, asked_of), found, out, last.label, is_rate=bool(way))


def _row(name: str, asked: float, found: float | None, out: bool, label: str, *, is_rate: bool) -> list[str]:
    write = _mbps if is_rate else (lambda s: Scale.seconds(s).text(s))
    shown = _NONE if found is None else write(found)
    if out:
        return [name, "outage", shown if is_rate else _NONE, _NONE, label]
    error = _NONE if found is None or not asked else f"{round(found / asked - 1, 3) + 0.0:+.1%}"
    return [name, write(asked), shown, error, label]


def _mbps(rate_bps: float) -> str:
    return f"{rate_bps / 1e6:.4g} Mbit/s"
