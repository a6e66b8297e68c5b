"""A plan at work: an edge process, a cloud process and the link between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from workbench import cost
from workbench.deployment.plans import HOST, predict
from workbench.deployment.sides import Side, throttles_for
from workbench.devices import Throttle, threads_for
from workbench.errors import CancelledRunError, LinkError, PeerLostError, PlanError, ThrottleError
from workbench.links import HOST_SITE, Link, LinkTrace, Tolerance, Verification, make_link
from workbench.plan import CLOUD, DEFAULT_FEATURE, EDGE, Plan
from workbench.profiles import DeviceProfile, LinkProfile
from workbench.trace import Clock, RequestTrace
from workbench.wire import KeyPair, new_keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from workbench.models import Model
    from workbench.runtime import Sampling

__all__ = ["Deployment", "deploy"]

_START_TIMEOUT_S = 600.0
_EVENT_TIMEOUT_S = 300.0
_STOP_GRACE_S = 0.5  # how long a request that is stopped may take to end before its processes are
_PROBE_PROMPT = "The first words of a text"
_PROBE_TOKENS = 6
_WIDE_OPEN = LinkProfile(0.0, 1e10, 1e10, name="wide open")  # while both sides start: a run begins shaped


def deploy(
    plan: Plan,
    edge: DeviceProfile,
    cloud: DeviceProfile,
    link: LinkProfile,
    *,
    model: Model | None = None,
    link_kind: str = "proxy",
    clock: str = "auto",
    throttle: str | Mapping[str, str | Throttle] = "dilation",
    feature: str = DEFAULT_FEATURE,
    compute: str = "cpu",
    stop: Event | None = None,
) -> Deployment:
    """Start both sides of a plan as processes joined by a shaped link. Use as a context manager.

    Args:
        model: whose plan it is; None looks the plan's model up by name.
        link_kind: what shapes the path on the wall clock, ``proxy`` (anywhere) or ``netem`` (the kernel); the
            virtual clock models it.
        clock: ``wall`` really waits, ``virtual`` computes real tensors in modelled time, ``auto`` is wall
            where this host can pose as both devices, else virtual.
        throttle: what makes this host pose as the devices on the wall clock, one of ``devices.THROTTLES``, or
            by place a kind or a throttle of your own: ``{"edge": CgroupThrottle(0.5, 2 * 2**30)}``.
        compute: torch device of the stages, ``cpu`` or ``cuda``.
        stop: set from another thread to give up starting: what has begun is ended at once.

    Raises:
        CancelledRunError: ``stop`` was set.
        DoesNotFitError: a stage needs more memory than its device has.
        LinkError: the link cannot be made here; says how to get there.
        ThrottleError: the wall clock on a host slower than a device, or a throttle that cannot be had.
        PlanError: the plan names other places than edge and cloud.
    """
    from workbench.models import load_model  # needs torch; predicting must not

    found = model if model is not None else load_model(plan.model)
    return Deployment(
        plan,
        found,
        {EDGE: edge, CLOUD: cloud},
        link,
        link_kind=link_kind,
        clock=clock,
        throttle=throttle,
        feature=feature,
        compute=compute,
        stop=stop,
    )


class Deployment:
    """A plan at work: an edge process, a cloud process and the link between them.

    One request at a time; ``cancel`` may be called from any thread. Closing ends all that was started, and
    so does the end of the process that made it.
    """

    def __init__(
        self,
        plan: Plan,
        model: Model,
        devices: Mapping[str, DeviceProfile],
        link: LinkProfile,
        *,
        link_kind: str,
        clock: str,
        throttle: str | Mapping[str, str | Throttle],
        feature: str,
        compute: str,
        stop: Event | None = None,
    ) -> None:
        _check(plan, feature, clock)
        cost.fits(plan, model.profile, devices, feature=feature)
        self.plan, self.model, self.devices, self.link_profile = plan, model, dict(devices), link
        self._feature, self._link_kind, self._compute = feature, link_kind, compute
        self._link: Link | None = None
        self._throttles = throttles_for(throttle, self.devices, model)
        self._sides: list[Side] = []
        self.clock: Clock = "wall"
        try:
            self._start(clock, stop)
        except CancelledRunError:
            self._kill()
            raise CancelledRunError("stopped before the request began: both sides are ended") from None
        except BaseException:
            self.close()
            raise

    # ---- what a notebook calls

    def generate(
        self,
        prompts: str | Sequence[str],
        *,
        max_new_tokens: int = 32,
        sampling: Sampling | None = None,
        prefill_chunk: int | None = None,
        on_token: Callable[[str], None] | None = None,
        stop: Event | None = None,
    ) -> RequestTrace:
        """Run a request for real.

        Args:
            prompts: one prompt, or a batch of them.
            on_token: gets each piece of the first row's text as it comes.
            stop: set from another thread to end the request; where a step takes longer than half a second,
                both sides are ended too, and the deployment is closed.

        Raises:
            PromptError: a prompt is empty or too long.
            CancelledRunError: ``stop`` was set, ``cancel`` was called, or Ctrl-C pressed.
            PeerLostError: a process ended.
        """
        command = {
            "command": "generate",
            "prompts": [prompts] if isinstance(prompts, str) else list(prompts),
            "max_new_tokens": max_new_tokens,
            "sampling": sampling.to_dict() if sampling else {},
            "prefill_chunk": prefill_chunk,
            **self._conditions(self.clock),
        }
        trace, _ = self._run(command, on_token, stop)
        return replace(trace, notes=(*trace.notes, *self._path.notes)) if self._path else trace

    def predict(self, *, prompt_tokens: int, new_tokens: int, batch: int = 1) -> RequestTrace:
        """The same plan over the same link, modelled."""
        return predict(
            self.plan,
            self.devices[EDGE],
            self.devices[CLOUD],
            self.link_profile,
            prompt_tokens=prompt_tokens,
            new_tokens=new_tokens,
            batch=batch,
            model=self.model,
            link_kind=self._link_kind if self.clock == "wall" else "simulated",
            feature=self._feature,
        )

    def predict_same(self, measured: RequestTrace) -> RequestTrace:
        """What the cost model says of the request that a trace measured."""
        return self.predict(
            prompt_tokens=measured.prompt_tokens, new_tokens=measured.n_tokens, batch=measured.batch
        )

    @property
    def link(self) -> Link:
        """The path between both sides: change it, have it follow a trace, pause it, while it is in use too.

        Raises:
            LinkError: nothing crosses a real path here.
        """
        if self._path is None:
            raise LinkError(
                "this deployment has no path to shape: nothing crosses, or the clock is virtual and models it"
            )
        return self._path

    def change_link(self, profile: LinkProfile) -> None:
        """Shape the path anew, while it is in use too; on the virtual clock, for the next request."""
        if self._path is not None:
            self._path.change(profile)
        self.link_profile = profile

    def follow(self, trace: LinkTrace, *, loop: bool = False) -> None:
        """Have the path change as a trace says, beginning now.

        Raises:
            LinkError: nothing crosses a real path here.
        """
        self.link.follow(trace, loop=loop)

    def verify_link(self, tolerance: Tolerance | None = None) -> Verification:
        """Measure the path, and refuse it where it is not what its profile says.

        Raises:
            LinkMismatchError: with what was measured.
            LinkError: nothing crosses a real path here.
        """
        return self.link.verify(tolerance)

    def cancel(self) -> None:
        """End the request that is running, within one step of it."""
        if self._sides:
            self._edge.send({"command": "cancel"})

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

    def _kill(self) -> None:
        for side in self._sides:
            side.kill()
        self.close()

    def __enter__(self) -> Deployment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, CancelledRunError):
            self._kill()  # a process takes a second to end by itself; whoever cancels does not wait for that
        else:
            self.close()

    # ---- how it starts

    def _start(self, clock: str, stop: Event | None) -> None:
        # 1. the path, which says where both sides have to live
        needs_cloud = CLOUD in self.plan.placement(self._feature).partition.places
        if needs_cloud and clock != "virtual":
            self._link = make_link(self._link_kind, _WIDE_OPEN)
        # 2. both sides, loading at the same time
        cloud_keys, edge_keys = new_keys(), new_keys()
        if needs_cloud:
            keys = {"public": cloud_keys.public, "secret": cloud_keys.secret}
            self._spawn(CLOUD, "cloud_worker", {"keys": keys, "allowed": [edge_keys.public]})
        self._spawn(EDGE, "edge_worker", {"plan": self.plan.to_dict(), "feature": self._feature})
        ready = [side.receive(_START_TIMEOUT_S, stop=stop) for side in self._sides]
        if needs_cloud:
            self._connect(ready[0]["address"], cloud_keys, edge_keys)
        # 3. the clock, for which they compute a little; then the path as it is to be, and a fresh connection
        self.clock = self._choose_clock(clock, stop)
        if self._path is not None:
            self._path.change(self.link_profile)
            self._connect(self._path.open(ready[0]["address"]), cloud_keys, edge_keys)

    @property
    def _path(self) -> Link | None:
        """The link that a request crosses; None where it crosses nothing that is real."""
        return self._link if self.clock == "wall" else None

    def _spawn(self, place: str, worker: str, config: Mapping[str, Any]) -> None:
        site = self._link.site(place) if self._link else HOST_SITE
        common = {
            "model": str(self.model.source),
            "compute": self._compute,
            "cloud_device": self.devices[CLOUD].to_dict(),
            "device": self.devices[place].to_dict(),
            "host": site.address,
        }
        threads = threads_for(self.model.profile)
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
            f"{ratio:.1f} x slower than {self.devices[p].name} ({p})" for p, ratio in slow.items()
        )
        raise ThrottleError(
            f"the wall clock needs a host that can pose as both devices: it is {said}; use clock='auto'"
        )

    def _slowness(self, stop: Event | None) -> dict[str, float]:
        """How many times slower than each device this host is, by a short request; the first one warms up."""
        sampling = {"ignore_eos": True}
        command = {
            "command": "generate",
            "prompts": [_PROBE_PROMPT],
            "max_new_tokens": _PROBE_TOKENS,
            "sampling": sampling,
            "prefill_chunk": None,
            **self._conditions("virtual"),
        }
        self._run(command, None, stop)
        _, pace = self._run(command, None, stop)
        return {
            place: float(stats.get("slowness", 0.0))
            for place, stats in pace.items()
            if self.devices[place].kind != HOST and self._throttles[place].pace == "dilation"
        }

    # ---- how it runs

    @property
    def _edge(self) -> Side:
        return self._sides[-1]

    def _conditions(self, clock: Clock) -> dict[str, Any]:
        kind = self._link_kind if clock == "wall" else "simulated"
        facts = {
            "edge": self.devices[EDGE].name,
            "cloud": self.devices[CLOUD].name,
            "link": self.link_profile.name,
            "link kind": kind,
            "feature": self._feature,
            **{f"{place} throttle": t.kind for place, t in self._throttles.items() if t.kind != "dilation"},
        }
        wall = clock == "wall"
        return {
            "pace": self._throttles[EDGE].pace if wall else "virtual",
            "cloud_pace": self._throttles[CLOUD].pace if wall else "virtual",
            "virtual_link": None if wall else self.link_profile.to_dict(),
            "facts": facts,
        }

    def _run(
        self, command: Mapping[str, Any], on_token: Callable[[str], None] | None, stop: Event | None
    ) -> tuple[RequestTrace, dict[str, Any]]:
        self._edge.send(command)
        try:
            while (event := self._edge.receive(_EVENT_TIMEOUT_S, stop=stop))["event"] != "trace":
                if on_token is not None:
                    on_token(event["text"])
        except CancelledRunError:
            if stop is None or not stop.is_set():
                raise
            self._give_up(_STOP_GRACE_S)
            raise CancelledRunError("the run was stopped") from None
        except KeyboardInterrupt:
            self._give_up()
            raise CancelledRunError(
                "the run was interrupted; the deployment stands and can be used again"
            ) from None
        return RequestTrace.from_dict(event["trace"]), event["pace"]

    def _give_up(self, grace_s: float = _EVENT_TIMEOUT_S) -> None:
        """Cancel, and read what still comes of the request; end both sides where that takes too long."""
        try:
            self.cancel()
            while self._edge.receive(grace_s)["event"] != "trace":
                pass
        except CancelledRunError:
            pass
        except PeerLostError:
            self._kill()


def _check(plan: Plan, feature: str, clock: str) -> None:
    foreign = [place for place in plan.placement(feature).partition.places if place not in (EDGE, CLOUD)]
    if foreign:
        raise PlanError(f"a deployment joins {EDGE!r} and {CLOUD!r}: the plan also names {foreign}")
    if clock not in ("auto", "wall", "virtual"):
        raise PlanError(f"clock {clock!r} is not known: choose 'auto', 'wall' or 'virtual'")
