"""What a notebook holds: makes plans, predicts them, and joins a plan, a link and two processes to a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any

from workbench import cost, profiles
from workbench.devices import WORKER_ENVIRONMENT, threads_for
from workbench.errors import CancelledRunError, PeerLostError, PlanError, ThrottleError
from workbench.links import Link, make_link
from workbench.plan import CLOUD, DEFAULT_FEATURE, EDGE, Partition, Plan
from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile
from workbench.runtime.process import Child
from workbench.trace import Clock, RequestTrace
from workbench.wire import KeyPair, new_keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from workbench.models import Model
    from workbench.runtime import Sampling

__all__ = ["Deployment", "cloud_only", "deploy", "device", "edge_only", "predict", "split"]

HOST = "host"
_START_TIMEOUT_S = 600.0
_EVENT_TIMEOUT_S = 300.0
_STOP_GRACE_S = 0.5  # how long a request that is stopped may take to end before its processes are
_PROBE_PROMPT = "The first words of a text"
_PROBE_TOKENS = 6


def split(
    model: Model | ModelProfile,
    at: int | tuple[int, int],
    *,
    edge_bits: int = 16,
    cloud_bits: int = 16,
    wire: str = "fp16",
) -> Plan:
    """A layer split: blocks ``[0, at)`` with the embedding on the edge, the rest and the head in the cloud.

    Args:
        at: a split point 0…n, or two for a U-shape: the middle in the cloud, both ends on the edge.
        edge_bits, cloud_bits: weight bits, one of ``plan.BITS``.
        wire: codec of the boundary activation, one of ``plan.WIRE_CODECS``.

    Raises:
        PlanError: a split point or bit width that cannot be.
        UnknownNameError: no codec is called so.
    """
    if isinstance(at, tuple):
        partition = Partition.u_shaped(model.n_blocks, at, edge_bits, cloud_bits)
    else:
        partition = Partition.split(model.n_blocks, at, edge_bits, cloud_bits)
    return Plan.of(model.name, partition, wire)


def edge_only(model: Model | ModelProfile, *, bits: int = 16) -> Plan:
    """The unsplit baseline on the edge: nothing crosses."""
    return Plan.of(model.name, Partition.unsplit(model.n_blocks, EDGE, bits))


def cloud_only(model: Model | ModelProfile, *, bits: int = 16) -> Plan:
    """The unsplit baseline in the cloud: token ids go up once, tokens stream down."""
    return Plan.of(model.name, Partition.unsplit(model.n_blocks, CLOUD, bits))


def device(name: str) -> DeviceProfile:
    """A shipped device profile, or ``"host"``: this machine, measured once and remembered.

    Raises:
        UnknownNameError: no device is called so; the message suggests the nearest.
    """
    if name == HOST:
        from workbench.profiler import host  # measuring needs torch; naming another device must not

        return host()
    return profiles.device(name)


def predict(
    plan: Plan,
    edge: DeviceProfile,
    cloud: DeviceProfile,
    link: LinkProfile,
    *,
    prompt_tokens: int = 64,
    new_tokens: int = 32,
    batch: int = 1,
    model: Model | ModelProfile | None = None,
    link_kind: str = "simulated",
    feature: str = DEFAULT_FEATURE,
) -> RequestTrace:
    """What a request will cost, every number labelled modelled.

    Args:
        model: whose plan it is; None looks the plan's model up by name.
        link_kind: the kind of link that a run would use: ``proxy`` knows no slow start, for instance.

    Raises:
        DoesNotFitError: a stage needs more memory than its device has.
    """
    devices = {EDGE: edge, CLOUD: cloud}
    return cost.predict(
        plan,
        _profile(plan, model),
        devices,
        link,
        prompt_tokens=prompt_tokens,
        new_tokens=new_tokens,
        batch=batch,
        feature=feature,
        link_kind=link_kind,
    )


def deploy(
    plan: Plan,
    edge: DeviceProfile,
    cloud: DeviceProfile,
    link: LinkProfile,
    *,
    model: Model | None = None,
    link_kind: str = "proxy",
    clock: str = "auto",
    feature: str = DEFAULT_FEATURE,
    compute: str = "cpu",
    stop: Event | None = None,
) -> Deployment:
    """Start both sides of a plan as processes joined by a shaped link. Use as a context manager.

    Args:
        model: whose plan it is; None looks the plan's model up by name.
        link_kind: what shapes the path on the wall clock; the virtual clock models it.
        clock: ``wall`` really waits, ``virtual`` computes real tensors in modelled time, ``auto`` is wall
            where this host can pose as both devices, else virtual.
        compute: torch device of the stages, ``cpu`` or ``cuda``.
        stop: set from another thread to give up starting: what has begun is ended at once.

    Raises:
        CancelledRunError: ``stop`` was set.
        DoesNotFitError: a stage needs more memory than its device has.
        ThrottleError: ``clock="wall"``, and the host is slower than a device.
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
        feature: str,
        compute: str,
        stop: Event | None = None,
    ) -> None:
        _check(plan, feature, clock)
        cost.fits(plan, model.profile, devices, feature=feature)
        self.plan, self.model, self.devices, self.link_profile = plan, model, dict(devices), link
        self._feature, self._link_kind, self._compute = feature, link_kind, compute
        self._link: Link | None = None
        self._children: list[Child] = []
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
        return replace(trace, notes=(*trace.notes, *self._link.notes)) if self._link else trace

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

    def change_link(self, profile: LinkProfile) -> None:
        """Shape the path anew, while it is in use too."""
        if self._link is not None:
            self._link.change(profile)
        self.link_profile = profile

    def cancel(self) -> None:
        """End the request that is running, within one step of it."""
        if self._children:
            self._children[-1].send({"command": "cancel"})

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes of both sides."""
        return tuple(child.pid for child in self._children)

    def close(self) -> None:
        """End both processes and the link. May be called again."""
        for child in reversed(self._children):
            child.close()
        self._children.clear()
        if self._link is not None:
            self._link.close()
            self._link = None

    def _kill(self) -> None:
        for child in self._children:
            child.kill()
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
        cloud_keys, edge_keys = new_keys(), new_keys()
        needs_cloud = CLOUD in self.plan.placement(self._feature).partition.places
        if needs_cloud:
            keys = {"public": cloud_keys.public, "secret": cloud_keys.secret}
            self._spawn("cloud_worker", {"device": CLOUD, "keys": keys, "allowed": [edge_keys.public]})
        self._spawn("edge_worker", {"device": EDGE, "plan": self.plan.to_dict(), "feature": self._feature})
        ready = [child.receive(_START_TIMEOUT_S, stop=stop) for child in self._children]
        if needs_cloud:
            self._connect(ready[0]["address"], cloud_keys, edge_keys)
        self.clock = self._choose_clock(clock, stop)
        if needs_cloud and self.clock == "wall":
            self._link = make_link(self._link_kind, self.link_profile)
            self._connect(self._link.open(ready[0]["address"]), cloud_keys, edge_keys)

    def _spawn(self, worker: str, config: Mapping[str, Any]) -> None:
        threads = threads_for(self.model.profile)
        common = {
            "model": str(self.model.source),
            "threads": threads,
            "compute": self._compute,
            "cloud_device": self.devices[CLOUD].to_dict(),
        }
        device = self.devices[config["device"]].to_dict()
        environment = {**WORKER_ENVIRONMENT, "OMP_NUM_THREADS": str(threads)}
        self._children.append(
            Child(f"workbench.runtime.{worker}", {**common, **config, "device": device}, environment)
        )

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
            if self.devices[place].kind != HOST
        }

    # ---- how it runs

    @property
    def _edge(self) -> Child:
        return self._children[-1]

    def _conditions(self, clock: Clock) -> dict[str, Any]:
        kind = self._link_kind if clock == "wall" else "simulated"
        facts = {
            "edge": self.devices[EDGE].name,
            "cloud": self.devices[CLOUD].name,
            "link": self.link_profile.name,
            "link kind": kind,
            "feature": self._feature,
        }
        return {
            "throttle": "dilation" if clock == "wall" else "virtual",
            "virtual_link": None if clock == "wall" else self.link_profile.to_dict(),
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


@lru_cache(maxsize=32)
def _shipped_profile(name: str) -> ModelProfile:
    from workbench.models import load_model  # needs torch; a profile that is handed in must not

    return load_model(name).profile


def _profile(plan: Plan, model: Model | ModelProfile | None) -> ModelProfile:
    if model is None:
        return _shipped_profile(plan.model)
    return model if isinstance(model, ModelProfile) else model.profile
