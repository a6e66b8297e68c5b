"""What works under a deployment: both sides as processes, the path between them, and the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from workbench.deployment.plans import HOST
from workbench.deployment.sides import Side, throttles_for
from workbench.devices import Throttle, threads_for
from workbench.errors import CancelledRunError, LinkError, PeerLostError, ThrottleError, WorkbenchError
from workbench.links import HOST_SITE, Link, make_link
from workbench.plan import CLOUD, EDGE, Partition, Plan
from workbench.profiles import DeviceProfile, LinkProfile
from workbench.runtime.process import error_of
from workbench.trace import Clock, RequestTrace
from workbench.wire import KeyPair, new_keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from workbench.models import Model
    from workbench.runtime import Sampling

__all__ = ["Engine", "Order", "Setup"]

_START_TIMEOUT_S = 600.0
_EVENT_TIMEOUT_S = 300.0
_STOP_GRACE_S = 0.5  # how long a request that is stopped may take to end before its processes are
_PROBE_PROMPT = "The first words of a text"
_PROBE_TOKENS = 6
_WIDE_OPEN = LinkProfile(0.0, 1e10, 1e10, name="wide open")  # while both sides start: a run begins shaped


@dataclass(frozen=True)
class Setup:
    """What is started."""

    plan: Plan
    features: tuple[str, ...]  # of the plan, those that are run
    models: Mapping[str, Model]  # by their names in the plan
    devices: Mapping[str, DeviceProfile]  # by place
    link_kind: str
    slots: int  # requests that may run at once
    compute: str  # torch device of the stages


@dataclass(frozen=True)
class Order:
    """A request as both sides are asked for it."""

    feature: str
    prompts: Sequence[str]
    max_new_tokens: int
    sampling: Sampling | None = None
    prefill_chunk: int | None = None


class Engine:
    """Both sides and the path. Used by one thread; ``cancel`` from any.

    Args:
        stop: set from another thread to give up starting.

    Raises:
        CancelledRunError: ``stop`` was set; what had begun is ended.
        LinkError, ThrottleError: see ``deploy``.
    """

    def __init__(
        self,
        setup: Setup,
        link: LinkProfile,
        *,
        clock: str,
        throttle: str | Mapping[str, str | Throttle],
        stop: Event | None = None,
    ) -> None:
        self._setup, self.link_profile = setup, link
        self._link: Link | None = None
        self._sides: list[Side] = []
        self._requests = count(1)
        self.clock: Clock = "wall"
        self._throttles = throttles_for(throttle, setup.devices, next(iter(setup.models.values())))
        try:
            self._start(clock, stop)
        except CancelledRunError:
            self.kill()
            raise CancelledRunError("stopped before the request began: both sides are ended") from None
        except BaseException:
            self.close()
            raise

    # ---- requests

    def run(
        self, order: Order, on_token: Callable[[str], None] | None = None, stop: Event | None = None
    ) -> RequestTrace:
        """One request, from beginning to end.

        Raises:
            CancelledRunError: ``stop`` was set, ``cancel`` was called, or Ctrl-C pressed.
            PeerLostError: a process ended.
            WorkbenchError: what the request failed with.
        """
        trace, _ = self._run(order, self.clock, on_token, stop)
        return self._noted(trace)

    def begin(self, order: Order) -> int:
        """Start a request and do not wait for it; ``next_event`` tells how it goes. Its number."""
        return self._send(order, self.clock)

    def next_event(self, timeout_s: float) -> dict[str, Any] | None:
        """What came of requests that were begun: ``token``, ``trace`` or ``error``; None for nothing in time.

        Raises:
            PeerLostError: a process ended.
        """
        event = self._edge.poll(timeout_s)
        if event is not None and event["event"] == "trace":
            return {**event, "trace": self._noted(RequestTrace.from_dict(event["trace"]))}
        return event

    @staticmethod
    def error_of(event: Mapping[str, Any]) -> WorkbenchError:
        """What an ``error`` event reports."""
        return error_of(event)

    def cancel(self) -> None:
        """End the requests that are running, each within one step of it."""
        if self._sides:
            self._edge.send({"command": "cancel"})

    # ---- the path

    @property
    def link_kind(self) -> str:
        """Whose model of a transfer a prediction takes."""
        return self._setup.link_kind if self.clock == "wall" else "simulated"

    @property
    def path(self) -> Link | None:
        """The link that requests cross; None where they cross nothing that is real."""
        return self._link if self.clock == "wall" else None

    def change_link(self, profile: LinkProfile) -> None:
        """Shape the path anew; on the virtual clock, for the next request."""
        if self.path is not None:
            self.path.change(profile)
        self.link_profile = profile

    # ---- how it ends

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes of both sides."""
        return tuple(side.pid for side in self._sides)

    def close(self) -> None:
        """End both processes and the link. May be called again."""
        for side in reversed(self._sides):
            side.close()
        self._sides.clear()
        for throttle in self._throttles.values():
            throttle.close()
        if self._link is not None:
            self._link.close()
            self._link = None

    def kill(self) -> None:
        """The same, at once: a process takes a second to end by itself."""
        for side in self._sides:
            side.kill()
        self.close()

    # ---- how it starts

    def _start(self, clock: str, stop: Event | None) -> None:
        # 1. the path, which says where both sides have to live
        setup = self._setup
        needs_cloud = any(CLOUD in setup.plan.placement(f).partition.places for f in setup.features)
        if needs_cloud and clock != "virtual":
            self._link = make_link(setup.link_kind, _WIDE_OPEN)
        # 2. both sides, loading at the same time
        cloud_keys, edge_keys = new_keys(), new_keys()
        if needs_cloud:
            keys = {"public": cloud_keys.public, "secret": cloud_keys.secret}
            self._spawn(CLOUD, "cloud_worker", {"keys": keys, "allowed": [edge_keys.public]})
        own = {"plan": setup.plan.to_dict(), "features": setup.features, "slots": setup.slots}
        self._spawn(EDGE, "edge_worker", own)
        ready = [side.receive(_START_TIMEOUT_S, stop=stop) for side in self._sides]
        if needs_cloud:
            self._connect(ready[0]["address"], cloud_keys, edge_keys)
        # 3. the clock, for which they compute a little; then the path as it is to be, and fresh connections
        self.clock = self._choose_clock(clock, stop)
        if self.path is not None:
            self.path.change(self.link_profile)
            self._connect(self.path.open(ready[0]["address"]), cloud_keys, edge_keys)

    def _spawn(self, place: str, worker: str, config: Mapping[str, Any]) -> None:
        setup, site = self._setup, self._link.site(place) if self._link else HOST_SITE
        common = {
            "models": {name: model.reference for name, model in setup.models.items()},
            "compute": setup.compute,
            "cloud_device": setup.devices[CLOUD].to_dict(),
            "device": setup.devices[place].to_dict(),
            "host": site.address,
        }
        threads = max(threads_for(model.profile) for model in setup.models.values())
        self._sides.append(Side(worker, {**common, **config}, self._throttles[place], site, threads))

    def _connect(self, address: str, cloud: KeyPair, edge: KeyPair) -> None:
        keys = {"public": edge.public, "secret": edge.secret}
        command = {"command": "connect", "address": address, "server_key": cloud.public, "keys": keys}
        self._edge.send(command)
        self._edge.receive(_START_TIMEOUT_S)

    def _choose_clock(self, asked: str, stop: Event | None) -> Clock:
        if asked == "virtual":
            return "virtual"
        slow = {place: ratio for place, ratio in self._slowness(stop).items() if ratio > 1}
        if not slow:
            return "wall"
        if asked == "auto":
            return "virtual"
        said = ", ".join(
            f"{ratio:.1f} x slower than {self._setup.devices[p].name} ({p})" for p, ratio in slow.items()
        )
        raise ThrottleError(
            f"the wall clock needs a host that can pose as both devices: it is {said}; use clock='auto'"
        )

    def _slowness(self, stop: Event | None) -> dict[str, float]:
        """How many times slower than each device this host is, by short requests; the first ones warm up."""
        slowest: dict[str, float] = {}
        for feature in self._distinct():
            order = Order(feature, [_PROBE_PROMPT], _PROBE_TOKENS)
            self._run(order, "virtual", None, stop, ignore_eos=True)
            _, pace = self._run(order, "virtual", None, stop, ignore_eos=True)
            for place, stats in pace.items():
                slowest[place] = max(slowest.get(place, 0.0), float(stats.get("slowness", 0.0)))
        return {
            place: ratio
            for place, ratio in slowest.items()
            if self._setup.devices[place].kind != HOST and self._throttles[place].pace == "dilation"
        }

    def _distinct(self) -> list[str]:
        """One feature of each way to run."""
        plan = self._setup.plan
        found: dict[tuple[str, Partition, str], str] = {}
        for feature in self._setup.features:
            placement = plan.placement(feature)
            found.setdefault((plan.model_of(feature), placement.partition, placement.wire), feature)
        return list(found.values())

    # ---- how it runs

    @property
    def _edge(self) -> Side:
        return self._sides[-1]

    def _noted(self, trace: RequestTrace) -> RequestTrace:
        return replace(trace, notes=(*trace.notes, *self.path.notes)) if self.path else trace

    def _send(self, order: Order, clock: Clock, **sampling: Any) -> int:
        number, wall = next(self._requests), clock == "wall"
        command = {
            "command": "generate",
            "request": number,
            "feature": order.feature,
            "prompts": list(order.prompts),
            "max_new_tokens": order.max_new_tokens,
            "sampling": {**(order.sampling.to_dict() if order.sampling else {}), **sampling},
            "prefill_chunk": order.prefill_chunk,
            "pace": self._throttles[EDGE].pace if wall else "virtual",
            "cloud_pace": self._throttles[CLOUD].pace if wall else "virtual",
            "virtual_link": None if wall else self.link_profile.to_dict(),
            "facts": self._facts(order.feature, wall=wall),
        }
        self._edge.send(command)
        return number

    def _facts(self, feature: str, *, wall: bool) -> dict[str, str]:
        kinds = {f"{place} throttle": t.kind for place, t in self._throttles.items() if t.kind != "dilation"}
        return {
            "edge": self._setup.devices[EDGE].name,
            "cloud": self._setup.devices[CLOUD].name,
            "link": self.link_profile.name,
            "link kind": self._setup.link_kind if wall else "simulated",
            "feature": feature,
            **kinds,
        }

    def _run(
        self,
        order: Order,
        clock: Clock,
        on_token: Callable[[str], None] | None,
        stop: Event | None,
        **sampling: Any,
    ) -> tuple[RequestTrace, dict[str, Any]]:
        number = self._send(order, clock, **sampling)
        try:
            while (event := self._event_of(number, _EVENT_TIMEOUT_S, stop))["event"] != "trace":
                if on_token is not None:
                    on_token(event["text"])
        except CancelledRunError:
            if stop is None or not stop.is_set():
                raise
            self._give_up(number, _STOP_GRACE_S)
            raise CancelledRunError("the run was stopped") from None
        except KeyboardInterrupt:
            self._give_up(number)
            raise CancelledRunError(
                "the run was interrupted; the deployment stands and can be used again"
            ) from None
        return RequestTrace.from_dict(event["trace"]), event["pace"]

    def _event_of(self, number: int, timeout_s: float, stop: Event | None = None) -> dict[str, Any]:
        """The next event of one request; what comes of others, given up before, is passed over."""
        while True:
            event = self._edge.receive(timeout_s, stop=stop, of=number)
            if event.get("request") in (None, number):
                return event

    def _give_up(self, number: int, grace_s: float = _EVENT_TIMEOUT_S) -> None:
        """Cancel, and read what still comes of the request; end both sides where that takes too long."""
        try:
            self.cancel()
            while self._event_of(number, grace_s)["event"] != "trace":
                pass
        except CancelledRunError:
            pass
        except PeerLostError:
            self.kill()

    def needed_path(self) -> Link:
        """The path.

        Raises:
            LinkError: nothing crosses a real path here.
        """
        if self.path is None:
            raise LinkError(
                "this deployment has no path to shape: nothing crosses, or the clock is virtual and models it"
            )
        return self.path
