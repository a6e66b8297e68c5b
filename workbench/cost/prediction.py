"""Plays a request through the models of computing, memory, network and energy.

What crosses is what the runtime sends: split plans take one round trip per token, U-shaped plans too, with
boundary activations both ways; cloud-only sends the prompt once and tokens stream back; edge-only sends
nothing. Times begin with the prompt's token ids at the edge and end with each token there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workbench.cost.compute import StageCost
from workbench.cost.energy import request_energy_j
from workbench.cost.memory import PlaceBytes, fits, place_bytes
from workbench.cost.network import MessageSizes, Path
from workbench.errors import DoesNotFitError, PlanError, PromptError
from workbench.links.base import Direction
from workbench.plan import CLOUD, DEFAULT_FEATURE, EDGE, Placement, Plan
from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile
from workbench.trace import RequestTrace, Span

__all__ = ["predict"]


def predict(
    plan: Plan,
    model: ModelProfile,
    devices: Mapping[str, DeviceProfile],
    link: LinkProfile,
    *,
    prompt_tokens: int = 64,
    new_tokens: int = 32,
    batch: int = 1,
    feature: str = DEFAULT_FEATURE,
    link_kind: str = "simulated",
    secure: bool = True,
    must_fit: bool = True,
) -> RequestTrace:
    """What a request would take: the record that a run gives, every number modelled.

    Args:
        devices: by place, ``"edge"`` and ``"cloud"``.
        prompt_tokens: per sequence, all of equal length.
        new_tokens: per sequence, the first included.
        batch: sequences that run together.
        link_kind: whose model of a transfer to use: that of the link a run goes over.
        secure: messages are encrypted, as between the processes of a deployment.
        must_fit: False predicts a plan that some device cannot hold too, and says so in the notes.

    Raises:
        DoesNotFitError: a place needs more memory than its device has.
        PlanError: a place has no device, or the plan is of a shape that does not begin on the edge.
        PromptError: a request that is empty, or longer than the model's positions.
    """
    placement = plan.placement(feature)
    _check(placement, model, devices, prompt_tokens, new_tokens, batch)
    used = {place: devices[place] for place in {EDGE, *placement.partition.places} if place in devices}
    needs, notes = _memory(plan, model, used, prompt_tokens, new_tokens, batch, feature, must_fit)
    play = _Play(
        costs=[StageCost.of(model, s, devices[s.place]) for s in placement.partition.stages],
        placement=placement,
        devices=devices,
        path=Path(link, link_kind),
        sizes=MessageSizes(model, placement, batch, secure),
        prompt_tokens=prompt_tokens,
        batch=batch,
    )
    play.run(new_tokens)
    return RequestTrace(
        plan=str(plan),
        clock="none",
        label="modelled",
        prompt_tokens=prompt_tokens,
        token_times_s=tuple(play.token_times_s),
        spans=tuple(play.spans),
        bytes_up=play.n_bytes["up"],
        bytes_down=play.n_bytes["down"],
        bytes_label="modelled",
        memory_bytes={EDGE: 0, **{place: need.total for place, need in needs.items()}},
        memory_label="modelled",
        energy_j=request_energy_j(play.spans, play.token_times_s[-1], used, play.n_bytes["up"]),
        batch=batch,
        notes=notes,
        facts=_facts(link, link_kind, used, feature),
    )


@dataclass
class _Play:
    """One request as it unfolds. ``now_s`` is when whoever holds the request is free to go on."""

    costs: list[StageCost]
    placement: Placement
    devices: Mapping[str, DeviceProfile]
    path: Path
    sizes: MessageSizes
    prompt_tokens: int
    batch: int
    now_s: float = 0.0
    token: int = 0
    spans: list[Span] = field(default_factory=list)
    token_times_s: list[float] = field(default_factory=list)
    n_bytes: dict[str, int] = field(default_factory=lambda: {"up": 0, "down": 0})

    def run(self, new_tokens: int) -> None:
        if self.placement.partition.places == (CLOUD,):
            self._stream(new_tokens)
            return
        for self.token in range(new_tokens):
            self._token()

    def _token(self) -> None:
        stages = self.placement.partition.stages
        tokens, context = self._step()
        for i in range(len(stages)):
            if i:
                self._hand_over(i, tokens, context)
            self._compute(i, tokens, context)
        self._sample(stages[-1].place)
        if stages[-1].place != EDGE:
            self._cross("down", self.sizes.tokens(self.token))
        self.token_times_s.append(self.now_s)

    def _stream(self, new_tokens: int) -> None:
        self._cross("up", self.sizes.generate(self.prompt_tokens, new_tokens))
        for self.token in range(new_tokens):
            self._compute(0, *self._step())
            self._sample(CLOUD)
            made_s = self.now_s
            self._cross("down", self.sizes.streamed(self.token))
            self.token_times_s.append(self.now_s)
            self.now_s = made_s  # the cloud goes on without waiting

    def _step(self) -> tuple[int, int]:
        """New tokens per sequence, and those that the caches hold already."""
        return (self.prompt_tokens, 0) if self.token == 0 else (1, self.prompt_tokens + self.token - 1)

    def _compute(self, stage: int, tokens: int, context: int) -> None:
        seconds = self.costs[stage].step_s(tokens, context, self.batch)
        self._spend("compute", self.placement.partition.stages[stage].place, seconds)

    def _sample(self, place: str) -> None:
        if self.devices[place].sample_s:
            self._spend("sample", place, self.devices[place].sample_s)

    def _hand_over(self, stage: int, tokens: int, context: int) -> None:
        stages = self.placement.partition.stages
        if stages[stage].place == EDGE:
            self._cross("down", self.sizes.boundary(stages[stage].start, tokens, self.token))
        else:
            self._cross("up", self.sizes.forward(stages[stage].start, tokens, context, self.token))

    def _cross(self, direction: Direction, n_bytes: int) -> None:
        sender, receiver = (EDGE, CLOUD) if direction == "up" else (CLOUD, EDGE)
        left_s = self.now_s + _overhead_s(self.devices, sender)
        arrived_s = self.path.arrival_s(n_bytes, direction, left_s) + _overhead_s(self.devices, receiver)
        kind = "uplink" if direction == "up" else "downlink"
        self._spend(kind, "link", arrived_s - self.now_s, n_bytes)
        self.n_bytes[direction] += n_bytes

    def _spend(self, kind: str, place: str, seconds: float, n_bytes: int = 0) -> None:
        self.spans.append(Span(kind, place, self.token, self.now_s, seconds, "modelled", n_bytes))
        self.now_s += seconds


def _overhead_s(devices: Mapping[str, DeviceProfile], place: str) -> float:
    return devices[place].message_overhead_s if place in devices else 0.0


def _check(
    placement: Placement,
    model: ModelProfile,
    devices: Mapping[str, DeviceProfile],
    prompt_tokens: int,
    new_tokens: int,
    batch: int,
) -> None:
    partition = placement.partition
    if partition.n_blocks != model.n_blocks:
        raise PlanError(f"the plan cuts {partition.n_blocks} blocks, but {model.name!r} has {model.n_blocks}")
    if strange := [p for p in partition.places if p not in (EDGE, CLOUD) or p not in devices]:
        raise PlanError(f"no device for {strange}: a prediction needs one for each of 'edge' and 'cloud'")
    if len(partition.stages) > 1 and partition.stages[0].place != EDGE:
        raise PlanError(
            f"a split request begins on the edge, not as in {partition}: let the edge own block 0"
        )
    if prompt_tokens < 1 or new_tokens < 1 or batch < 1:
        raise PromptError(
            f"a request has at least one prompt token, new token and sequence: got {prompt_tokens}, "
            f"{new_tokens} and {batch}"
        )
    if prompt_tokens + new_tokens > model.max_positions:
        raise PromptError(
            f"{prompt_tokens} prompt and {new_tokens} new tokens are more than the {model.max_positions} "
            f"positions of {model.name!r}: shorten either"
        )


def _memory(
    plan: Plan,
    model: ModelProfile,
    devices: Mapping[str, DeviceProfile],
    prompt_tokens: int,
    new_tokens: int,
    batch: int,
    feature: str,
    must_fit: bool,
) -> tuple[dict[str, PlaceBytes], tuple[str, ...]]:
    try:
        needs = fits(
            plan,
            model,
            devices,
            batch=batch,
            prompt_tokens=prompt_tokens,
            new_tokens=new_tokens,
            feature=feature,
        )
        return needs, ()
    except DoesNotFitError as error:
        if must_fit:
            raise
        placement = plan.placement(feature)
        needs = place_bytes(model, placement, batch=batch, prompt_tokens=prompt_tokens, new_tokens=new_tokens)
        return needs, (f"does not fit: {error}",)


def _facts(
    link: LinkProfile, link_kind: str, devices: Mapping[str, DeviceProfile], feature: str
) -> dict[str, str]:
    names = {place: device.name for place, device in sorted(devices.items())}
    return {"link": link.name, "link_kind": link_kind, "feature": feature, **names}
