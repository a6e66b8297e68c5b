"""A plan at work: an edge process, a cloud process and the link between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from workbench import cost
from workbench.deployment.engine import Engine, Order, Setup
from workbench.deployment.plans import predict
from workbench.deployment.replay import predict_replay, replay, serve
from workbench.devices import Throttle
from workbench.errors import BoundError, CancelledRunError, OfflineError, PlanError, UnknownNameError
from workbench.links import Link, LinkTrace, Tolerance, Verification
from workbench.plan import CLOUD, DEFAULT_FEATURE, EDGE, Plan
from workbench.profiles import DeviceProfile, LinkProfile
from workbench.routing import Request, Route, Situation, settle
from workbench.trace import Clock, RequestTrace

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from workbench.models import Model
    from workbench.routing import Policy, Report, Served, Workload
    from workbench.runtime import Sampling

__all__ = ["Deployment", "deploy"]

_MOST_SLOTS = 32


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
    feature: str | None = None,
    slots: int = 1,
    models: Mapping[str, Model] | None = None,
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
        feature: the only one of the plan to run; None runs all of them.
        slots: requests that may run at once, each with a conversation of its own with the cloud.
        models: those that the plan's placements name, where names do not tell.
        compute: torch device of the stages, ``cpu`` or ``cuda``.
        stop: set from another thread to give up starting: what has begun is ended at once.

    Raises:
        CancelledRunError: ``stop`` was set.
        DoesNotFitError: a stage needs more memory than its device has.
        LinkError: the link cannot be made here; says how to get there.
        ThrottleError: the wall clock on a host slower than a device, or a throttle that cannot be had.
        PlanError: the plan names other places than edge and cloud.
    """
    features = tuple(dict.fromkeys((DEFAULT_FEATURE, *plan.features))) if feature is None else (feature,)
    _check(plan, features, clock, slots)
    found = _models(plan, features, model, models or {})
    devices = {EDGE: edge, CLOUD: cloud}
    profiles = {name: it.profile for name, it in found.items()}
    for each in features:
        cost.fits(plan, profiles[plan.model_of(each)], devices, feature=each)
    sizes = _adapter_bytes(plan, features, found)
    cost.fits_together(plan, profiles, devices, features=features, adapter_bytes=sizes)
    setup = Setup(plan, features, found, devices, link_kind, slots, compute)
    return Deployment(setup, Engine(setup, link, clock=clock, throttle=throttle, stop=stop))


def _models(
    plan: Plan, features: Sequence[str], model: Model | None, given: Mapping[str, Model]
) -> dict[str, Model]:
    """By their names in the plan, those that are run, the first feature's first."""
    from workbench.models import load_model  # needs torch; predicting must not

    known = {**({plan.model: model} if model is not None else {}), **given}
    names = dict.fromkeys(map(plan.model_of, features))
    return {name: known[name] if name in known else load_model(name) for name in names}


def _adapter_bytes(plan: Plan, features: Sequence[str], models: Mapping[str, Model]) -> dict[str, int]:
    from workbench.models import load_adapter

    placed = [(plan.placement(feature).adapter, plan.model_of(feature)) for feature in features]
    return {name: load_adapter(name, models[model]).n_bytes for name, model in placed if name is not None}


def _check(plan: Plan, features: Sequence[str], clock: str, slots: int) -> None:
    places = [place for feature in features for place in plan.placement(feature).partition.places]
    if foreign := [place for place in dict.fromkeys(places) if place not in (EDGE, CLOUD)]:
        raise PlanError(f"a deployment joins {EDGE!r} and {CLOUD!r}: the plan also names {foreign}")
    if clock not in ("auto", "wall", "virtual"):
        raise PlanError(f"clock {clock!r} is not known: choose 'auto', 'wall' or 'virtual'")
    if not isinstance(slots, int) or not 1 <= slots <= _MOST_SLOTS:
        raise PlanError(f"{slots!r} requests cannot run at once: choose 1 to {_MOST_SLOTS} slots")


class Deployment:
    """A plan at work: an edge process, a cloud process and the link between them. Made by ``deploy``.

    Used by one thread; ``cancel`` may be called from any. Closing ends all that was started, and so does the
    end of the process that made it.
    """

    def __init__(self, setup: Setup, engine: Engine) -> None:
        self._setup, self.engine = setup, engine
        self.plan, self.features, self.slots = setup.plan, setup.features, setup.slots
        self.devices = dict(setup.devices)
        self.model = next(iter(setup.models.values()))
        self.clock: Clock = engine.clock
        self.online = True

    def generate(
        self,
        prompts: str | Sequence[str],
        *,
        max_new_tokens: int = 32,
        sampling: Sampling | None = None,
        prefill_chunk: int | None = None,
        on_token: Callable[[str], None] | None = None,
        stop: Event | None = None,
        feature: str | None = None,
    ) -> RequestTrace:
        """Run a request for real.

        Args:
            prompts: one prompt, or a batch of them.
            feature: whose placement answers; None for the default, or the only one that is deployed.
            on_token: gets each piece of the first row's text as it comes.
            stop: set from another thread to end the request; where a step takes longer than half a second,
                both sides are ended too, and the deployment is closed.

        Raises:
            PromptError: a prompt is empty or too long.
            UnknownNameError: no such feature is deployed.
            BoundError: the feature, or something in a prompt, is bound to another place.
            OfflineError: the link is unplugged, and the placement needs it.
            CancelledRunError: ``stop`` was set, ``cancel`` was called, or Ctrl-C pressed.
            PeerLostError: a process ended.
        """
        rows, feature = [prompts] if isinstance(prompts, str) else list(prompts), feature or self.features[0]
        self._check_request(rows, feature)
        order = Order(feature, rows, max_new_tokens, sampling, prefill_chunk)
        return self.engine.run(order, on_token, stop)

    def ask(
        self,
        request: Request | str,
        policy: Policy | None = None,
        *,
        on_token: Callable[[str], None] | None = None,
        stop: Event | None = None,
    ) -> Served:
        """Have a policy say which module answers, and run that; see ``replay`` for many requests.

        Raises:
            RefusedError: nothing may, or can, answer; says why.
            CancelledRunError, PeerLostError: as ``generate``.
        """
        asked = Request(request) if isinstance(request, str) else request
        return serve(self, asked, policy, on_token=on_token, stop=stop)

    def replay(
        self,
        workload: Workload,
        policy: Policy | None = None,
        *,
        outages: Sequence[tuple[float, float]] = (),
        on_served: Callable[[Served], None] | None = None,
        on_token: Callable[[str], None] | None = None,
        stop: Event | None = None,
    ) -> Report:
        """Run a workload for real: requests come when it says, and up to ``slots`` of them run at once.

        On the wall clock that takes as long as it takes; on the virtual one each request is run alone, and
        how they wait for each other is modelled.

        Args:
            policy: says which module answers; None takes each feature's own, found by tag or classifier, and
                asks the default where an answer on the edge is not sure enough.
            outages: (from, to) in seconds since the beginning, in which there is no link.
            on_served: is told of each request as it ends.
            stop: set from another thread to end it; what has ended is reported.

        Raises:
            InputError: the workload has a feature that the plan does not place.
            PeerLostError: a process ended.
        """
        return replay(
            self, workload, policy, outages=outages, on_served=on_served, on_token=on_token, stop=stop
        )

    def predict_replay(self, report: Report) -> Report:
        """What the cost model says of the requests of a report, waiting for each other included."""
        return predict_replay(self, report)

    def predict(
        self, *, prompt_tokens: int, new_tokens: int, batch: int = 1, feature: str | None = None
    ) -> RequestTrace:
        """The same plan over the same link, modelled."""
        feature = feature or self.features[0]
        return predict(
            self.plan,
            self.devices[EDGE],
            self.devices[CLOUD],
            self.link_profile,
            prompt_tokens=prompt_tokens,
            new_tokens=new_tokens,
            batch=batch,
            model=self.model_of(feature),
            link_kind=self.engine.link_kind,
            feature=feature,
        )

    def predict_same(self, measured: RequestTrace) -> RequestTrace:
        """What the cost model says of the request that a trace measured."""
        return self.predict(
            prompt_tokens=measured.prompt_tokens,
            new_tokens=measured.n_tokens,
            batch=measured.batch,
            feature=measured.facts.get("feature"),
        )

    def model_of(self, feature: str | None = None) -> Model:
        """The model that serves a feature."""
        return self._setup.models[self.plan.model_of(feature or self.features[0])]

    # ---- the path

    @property
    def link(self) -> Link:
        """The path between both sides: change it, have it follow a trace, pause it, while it is in use too.

        Raises:
            LinkError: nothing crosses a real path here.
        """
        return self.engine.needed_path()

    @property
    def link_profile(self) -> LinkProfile:
        """What the path is shaped to, or modelled as."""
        return self.engine.link_profile

    def change_link(self, profile: LinkProfile) -> None:
        """Shape the path anew, while it is in use too; on the virtual clock, for the next request."""
        self.engine.change_link(profile)

    def unplug(self) -> None:
        """No link from now on: what is under way waits, what needs the cloud does as the plan says."""
        self.online = False
        if self.engine.path is not None:
            self.engine.path.pause()

    def plug_in(self) -> None:
        """The link is there again."""
        self.online = True
        if self.engine.path is not None:
            self.engine.path.resume()

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

    # ---- how it ends

    def cancel(self) -> None:
        """End the requests that are running, each within one step of it."""
        self.engine.cancel()

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes of both sides."""
        return self.engine.pids

    def close(self) -> None:
        """End both processes and the link. May be called again."""
        self.engine.close()

    def __enter__(self) -> Deployment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, CancelledRunError):
            self.engine.kill()  # whoever cancels does not wait for the processes to end by themselves
        else:
            self.close()

    def _check_request(self, prompts: Sequence[str], feature: str) -> None:
        placement = self.plan.placement(feature)
        if feature not in self.features:
            raise UnknownNameError("deployed feature", feature, self.features)
        for prompt in prompts:
            _check_bounds(self.plan, feature, prompt)
        if not self.online and not placement.is_local:
            raise OfflineError(
                f"there is no link, and {feature!r} needs it: {placement}. ask() does as the plan says then"
            )


def _check_bounds(plan: Plan, feature: str, prompt: str) -> None:
    """Nothing where a feature's own module may answer a prompt."""
    settled = settle(Route(feature, feature, "asked for"), Request(prompt, feature), plan, Situation())
    if settled.bound is not None:
        raise BoundError(
            f"{settled.bound}, but {feature!r} is {plan.placement(feature)}: ask() would have "
            f"{settled.module!r} answer",
            settled.bound.subject,
        )
