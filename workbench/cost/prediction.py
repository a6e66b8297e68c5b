"""Plays a request through the models of computing, memory, network and energy.

What crosses is what the runtime sends: split plans take one round trip per token, U-shaped plans too, with
boundary activations both ways; cloud-only sends the prompt once and tokens stream back; edge-only sends
nothing. In a longer chain a message passes every link between two places, and tokens go back to where the
next pass begins. Times begin with the prompt at the user's device and end with each token there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from workbench.cost.chain import Chain
from workbench.cost.compute import StageCost
from workbench.cost.energy import request_energy_j
from workbench.cost.memory import PlaceBytes, fits, place_bytes
from workbench.cost.network import MessageSizes, Paths
from workbench.cost.uncertainty import request_ranges
from workbench.errors import DoesNotFitError, PlanError, PromptError
from workbench.plan import CLOUD, DEFAULT_FEATURE, EDGE, Placement, Plan, Stage
from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile
from workbench.trace import RequestTrace, Span

__all__ = ["predict"]


def predict(
    plan: Plan,
    model: ModelProfile,
    devices: Mapping[str, DeviceProfile],
    link: LinkProfile | Sequence[LinkProfile],
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
        devices: by place, ``"edge"`` and ``"cloud"``; for a longer chain every place, the user's first.
        link: between edge and cloud; for a longer chain one between each two neighbours. Bytes up and down
            are those of the first, which the user pays for.
        prompt_tokens: per sequence, all of equal length.
        new_tokens: per sequence, the first included.
        batch: sequences that run together.
        link_kind: whose model of a transfer to use: that of the link a run goes over.
        secure: messages are encrypted, as between the processes of a deployment.
        must_fit: False predicts a plan that some device cannot hold too, and says so in the notes.

    Raises:
        DoesNotFitError: a place needs more memory than its device has.
        PlanError: a place has no device, or the plan is of a shape that nothing here runs.
        PromptError: a request that is empty, or longer than the model's positions.
    """
    placement, chain = plan.placement(feature), Chain.of(devices, link)
    _check(placement, model, chain, prompt_tokens, new_tokens, batch)
    used = {p: devices[p] for p in dict.fromkeys((chain.user, *placement.partition.places)) if p in devices}
    needs, notes = _memory(plan, model, used, prompt_tokens, new_tokens, batch, feature, must_fit)
    play = _Play(
        costs=[StageCost.of(model, s, devices[s.place]) for s in placement.partition.stages],
        placement=placement,
        chain=chain,
        paths=Paths(chain, link_kind),
        sizes=MessageSizes(model, placement, batch, secure),
        prompt_tokens=prompt_tokens,
        batch=batch,
    )
    play.run(new_tokens)
    up, down = play.n_bytes["up"], play.n_bytes["down"]
    return RequestTrace(
        plan=str(plan),
        clock="none",
        label="modelled",
        prompt_tokens=prompt_tokens,
        token_times_s=tuple(play.token_times_s),
        spans=tuple(play.spans),
        bytes_up=up,
        bytes_down=down,
        bytes_label="modelled",
        memory_bytes={chain.user: 0, **{place: need.total for place, need in needs.items()}},
        memory_label="modelled",
        resident_bytes={chain.user: 0, **{place: need.resident for place, need in needs.items()}},
        energy_j=request_energy_j(play.spans, play.token_times_s[-1], used, up, chain.user),
        batch=batch,
        notes=notes,
        facts=_facts(chain, link_kind, used, feature, play.costs),
        ranges=play.ranges(),
    )


@dataclass
class _Play:
    """One request as it unfolds. ``now_s`` is when whoever holds the request is free to go on."""

    costs: list[StageCost]
    placement: Placement
    chain: Chain
    paths: Paths
    sizes: MessageSizes
    prompt_tokens: int
    batch: int
    now_s: float = 0.0
    token: int = 0
    spans: list[Span] = field(default_factory=list)
    token_times_s: list[float] = field(default_factory=list)
    n_bytes: dict[str, int] = field(default_factory=lambda: {"up": 0, "down": 0})  # of the first link

    def run(self, new_tokens: int) -> None:
        self._tokenize()
        if self._streams:
            self._cross(self.chain.user, self._start, self.sizes.generate(self.prompt_tokens, new_tokens))
        for self.token in range(new_tokens):
            self._pass()
            self.token_times_s.append(self._arrival_s())

    @property
    def _start(self) -> str:
        return self.placement.partition.stages[0].place

    @property
    def _end(self) -> str:
        return self.placement.partition.stages[-1].place

    @property
    def _streams(self) -> bool:
        """Whether the prompt leaves the user's device as token ids and tokens come back unasked."""
        return self._start != self.chain.user

    def _tokenize(self) -> None:
        device = self.chain.devices.get(self.chain.user)
        if device is not None:
            self._spend("tokenize", self.chain.user, device.begin_s(self.prompt_tokens * self.batch))

    def _pass(self) -> None:
        """Every stage once; then the token is where the next pass begins."""
        stages = self.placement.partition.stages
        tokens, context = self._step()
        if self._streams and self.token:
            self._spend("stream", self._start, self.chain.devices[self._start].stream_overhead_s)
        for i, stage in enumerate(stages):
            if i:
                self._hand_over(stages[i - 1].place, stage, tokens, context)
            self._spend("compute", stage.place, self.costs[i].step_s(tokens, context, self.batch))
        self._spend("sample", self._end, self.chain.devices[self._end].sample_s)
        if self._end != self._start:
            self._cross(self._end, self._start, self.sizes.tokens(self.token))

    def _arrival_s(self) -> float:
        """When the user has the token; whoever made it goes on without waiting for it to arrive."""
        if not self._streams:
            return self.now_s
        made_s = self.now_s
        self._cross(self._start, self.chain.user, self.sizes.streamed(self.token))
        there_s, self.now_s = self.now_s, made_s
        return there_s

    def _step(self) -> tuple[int, int]:
        """New tokens per sequence, and those that the caches hold already."""
        return (self.prompt_tokens, 0) if self.token == 0 else (1, self.prompt_tokens + self.token - 1)

    def _hand_over(self, sender: str, stage: Stage, tokens: int, context: int) -> None:
        elements = self.batch * tokens * self.sizes.model.boundary_elements[stage.start]
        self._spend("encode", sender, self._codec_s(sender, elements))
        if self._is_inward(sender, stage.place):
            n_bytes = self.sizes.boundary(stage.start, tokens, self.token)
        else:
            n_bytes = self.sizes.forward(stage.start, tokens, context, self.token)
        self._cross(sender, stage.place, n_bytes)
        self._spend("decode_wire", stage.place, self._codec_s(stage.place, elements))

    def _is_inward(self, sender: str, receiver: str) -> bool:
        places = self.chain.places
        return places.index(receiver) < places.index(sender)

    def _codec_s(self, place: str, elements: int) -> float:
        device = self.chain.devices[place]
        return device.encode_s + elements * device.encode_s_per_element

    def _cross(self, sender: str, receiver: str, n_bytes: int) -> None:
        for it in self.paths.cross(n_bytes, sender, receiver, self.now_s):
            kind = "uplink" if it.direction == "up" else "downlink"
            self.now_s = it.start_s
            self._spend(kind, self.chain.link_name(it.link), it.end_s - it.start_s, n_bytes)
            if it.link == 0:
                self.n_bytes[it.direction] += n_bytes

    def _spend(self, kind: str, place: str, seconds: float, n_bytes: int = 0) -> None:
        if seconds or n_bytes or kind == "compute":
            self.spans.append(Span(kind, place, self.token, self.now_s, seconds, "modelled", n_bytes))
            self.now_s += seconds

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Where 80 % of the requests lie, by the spread of the devices and the jitter of the links."""
        stages = self.placement.partition.stages
        spreads = {stage.place: cost.spread for stage, cost in zip(stages, self.costs, strict=True)}
        return request_ranges(self.spans, self.token_times_s, spreads, self.chain, streams=self._streams)


def _check(
    placement: Placement,
    model: ModelProfile,
    chain: Chain,
    prompt_tokens: int,
    new_tokens: int,
    batch: int,
) -> None:
    partition = placement.partition
    if partition.n_blocks != model.n_blocks:
        raise PlanError(f"the plan cuts {partition.n_blocks} blocks, but {model.name!r} has {model.n_blocks}")
    if strange := [p for p in partition.places if p not in chain.places or p not in chain.devices]:
        raise PlanError(f"no device for {strange}: a prediction needs one for each of {list(chain.places)}")
    if chain.places == (EDGE, CLOUD) and len(partition.stages) > 1 and partition.stages[0].place != EDGE:
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
    chain: Chain,
    link_kind: str,
    devices: Mapping[str, DeviceProfile],
    feature: str,
    costs: Sequence[StageCost],
) -> dict[str, str]:
    names = {place: device.name for place, device in sorted(devices.items())}
    link = " + ".join(profile.name for profile in chain.links)
    found = {"link": link, "link_kind": link_kind, "feature": feature, **names}
    if any(cost.source == "measured" for cost in costs):
        found["compute"] = "measured block by block"
    return found
