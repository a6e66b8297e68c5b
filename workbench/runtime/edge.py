"""The edge side: tokenizes, runs its stages, talks to the cloud, writes down what everything took.

B batch, T tokens.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workbench.cost import request_energy_j
from workbench.devices import make_pace
from workbench.errors import CancelledRunError, InputError, TransportError, UnknownNameError
from workbench.models.slice import Boundary
from workbench.plan import CLOUD, DEFAULT_FEATURE, EDGE, Plan, Stage
from workbench.profiles import DeviceProfile
from workbench.runtime.cloud_link import CloudLink, Pass
from workbench.runtime.decoding import Rows, Sampler, Sampling, TextStream, encode_prompts, log_probability
from workbench.runtime.modules import Module, Shelf, known_models
from workbench.runtime.stages import HOST_KIND, StageRun
from workbench.runtime.timeline import Flows, Timeline, VirtualTimeline, WallTimeline
from workbench.trace import RequestTrace
from workbench.wire import Transport

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["Conditions", "EdgeClient", "OnToken"]

OnToken = Callable[[str], None]
"""Gets each piece of the first row's text as it comes."""
_SHORTEST_WAIT_S = 2e-4  # for another request's step; below, it is this one's own bookkeeping


@dataclass(frozen=True)
class Conditions:
    """Under what a request is run; said in its trace."""

    pace: str = "native"  # one of devices.PACES; "virtual" runs on the virtual clock
    flows: Flows | None = None  # the link's model, for the virtual clock
    facts: Mapping[str, str] | None = None  # link kind, devices: copied into the trace
    cloud_pace: str = ""  # of the other side's steps; "" for the same


class EdgeClient:
    """Runs requests of a plan. Used by one thread; ``cancel`` from any.

    Args:
        model: the plan's model.
        transport: the way to the cloud; None for a plan that needs none. Stays the caller's to close.
        device: what this host poses as; None for the host itself.
        cloud_device: what the cloud poses as, for the energy account.
        feature: what requests are run as that do not say.
        compute: torch device of the stages.
        modules: the edge's part of several features, which other clients on this host may use too; None loads
            that of ``feature``.
    """

    def __init__(
        self,
        model: Model,
        plan: Plan,
        transport: Transport | None = None,
        *,
        device: DeviceProfile | None = None,
        cloud_device: DeviceProfile | None = None,
        feature: str = DEFAULT_FEATURE,
        compute: str = "cpu",
        modules: Mapping[str, Module] | None = None,
    ) -> None:
        self.model, self.plan = model, plan
        self._devices = {EDGE: device, CLOUD: cloud_device}
        if modules is None:
            own = known_models({plan.model_of(feature): model})
            modules = Shelf(EDGE, compute=compute).modules(plan, [feature], own)
        self._modules = modules
        self._cloud: CloudLink | None = None
        self._feature = feature
        self._sessions = count(1)
        self.cancelled = threading.Event()
        self.pace: dict[str, Mapping[str, Any]] = {}  # of the last request, by place: see Pace.stats
        if transport is not None:
            self.connect(transport)

    def connect(self, transport: Transport) -> None:
        """Say hello over another way to the cloud; requests use it from now on.

        Raises:
            TransportError: nobody answers there, or refuses.
        """
        away = {f: m for f, m in self._modules.items() if m.placement.partition.on(CLOUD)}
        fingerprints = {self.plan.model_of(f): m.model.fingerprint for f, m in away.items()}
        adapters = {str(m.placement.adapter): m.adapter.fingerprint for m in away.values() if m.adapter}
        self._cloud = CloudLink(transport, fingerprints, self.plan, tuple(away), adapters)

    @property
    def cloud_facts(self) -> Mapping[str, Any]:
        """What the cloud says of itself."""
        return self._cloud.facts if self._cloud else {}

    def cancel(self) -> None:
        """End the request that is running, within one step."""
        self.cancelled.set()

    def generate(
        self,
        prompts: str | Sequence[str],
        *,
        max_new_tokens: int = 32,
        sampling: Sampling | None = None,
        prefill_chunk: int | None = None,
        conditions: Conditions | None = None,
        on_token: OnToken | None = None,
        feature: str | None = None,
    ) -> RequestTrace:
        """Make tokens for one prompt, or for a batch of them, padded on the left.

        Args:
            prefill_chunk: tokens per chunk of the prompt; None takes it whole.
            feature: whose placement answers; None for the client's own.

        Raises:
            PromptError: a prompt is empty or too long.
            UnknownNameError: no such feature was loaded.
            CancelledRunError: ``cancel`` was called.
            TransportError: the cloud is gone; what it was doing is given up.
        """
        module = self._module(feature or self._feature)
        if module.placement.partition.on(CLOUD) and self._cloud is None:
            raise TransportError(f"plan {self.plan} needs the cloud, and there is no connection to one")
        self.cancelled.clear()
        request = _Request(
            self, module, sampling or Sampling(), conditions or Conditions(), on_token, next(self._sessions)
        )
        rows = [prompts] if isinstance(prompts, str) else list(prompts)
        try:
            return request.run(rows, max_new_tokens, prefill_chunk)
        except BaseException:
            if self._cloud is not None:
                self._cloud.failed()
            raise

    def _module(self, feature: str) -> Module:
        if feature not in self._modules:
            raise UnknownNameError("feature", feature, self._modules)
        return self._modules[feature]

    # ---- what one request asks of its client

    @property
    def cloud(self) -> CloudLink:
        assert self._cloud is not None
        return self._cloud

    @property
    def devices(self) -> Mapping[str, DeviceProfile | None]:
        return self._devices


class _Request:
    """One request from text to text."""

    def __init__(
        self,
        client: EdgeClient,
        module: Module,
        sampling: Sampling,
        conditions: Conditions,
        on_token: OnToken | None,
        session: int,
    ) -> None:
        self._client, self._sampling, self._conditions = client, sampling, conditions
        self._module, self._stages = module, module.placement.partition.stages
        self._on_token, self._session = on_token, session
        self._pace = make_pace(conditions.pace)
        self._line = _timeline(conditions, self._pace.clock)
        self._bytes = {"up": 0, "down": 0}
        self._position = 0  # tokens that every stage has seen

    def run(self, prompts: Sequence[str], max_new_tokens: int, prefill_chunk: int | None) -> RequestTrace:
        # 1. text to tokens
        started_s = perf_counter()
        ids, padding = encode_prompts(self._module.model, prompts, max_new_tokens)
        self._line.local("tokenize", 0, started_s, perf_counter() - started_s)
        # 2. a session on both sides
        batch = len(prompts)
        self._rows = Rows(batch, () if self._sampling.ignore_eos else self._module.eos_ids)
        self._streams = [TextStream(self._module.model.tokenizer, self._sampling.stop) for _ in prompts]
        self._tokens: list[list[int]] = []
        self._logprobs: list[float] = []  # of the first row's, where this side samples
        self._runs = self._module.runs(self._client.devices[EDGE], self._pace, batch)
        self._sampler = Sampler(self._sampling)
        uses_cloud = any(stage.place == CLOUD for stage in self._stages)
        if uses_cloud:
            pace = self._conditions.cloud_pace or self._conditions.pace
            self._client.cloud.open(self._session, self._module.feature, batch, self._sampling, pace)
        # 3. tokens
        try:
            if all(stage.place == CLOUD for stage in self._stages):
                self._stream(ids, padding, max_new_tokens)
            else:
                self._step_by_step(ids, padding, max_new_tokens, prefill_chunk)
            cloud = self._client.cloud.stats() if uses_cloud else {}
        finally:
            if uses_cloud:
                self._client.cloud.close(self._session)
        # 4. the account
        self._client.pace = {EDGE: self._pace.stats(), CLOUD: cloud}
        return self._trace(ids, batch, cloud)

    # ---- the edge drives: one pass over the stages per token

    def _step_by_step(self, ids: Tensor, padding: Tensor | None, n: int, chunk: int | None) -> None:
        chunks = list(ids.split(chunk or ids.shape[1], dim=1))
        masks = [None] * len(chunks) if padding is None else list(padding.split(chunk or ids.shape[1], dim=1))
        for piece, mask in zip(chunks[:-1], masks[:-1], strict=True):
            self._pass(piece, mask, token=0, sample=False)
        piece, mask = chunks[-1], masks[-1]
        for token in range(n):
            chosen = self._pass(piece, mask, token, sample=True)
            if self._take(chosen):
                return
            piece = torch.tensor(chosen)[:, None]
            mask = None if mask is None else torch.ones_like(piece)

    def _pass(self, ids: Tensor, padding: Tensor | None, token: int, *, sample: bool) -> list[int]:
        """Through every stage once; the chosen tokens, one per row."""
        self._check_cancelled()
        state: Any = ids
        for i, stage in enumerate(self._stages):
            if stage.place == EDGE:
                state = self._compute(stage, state, ids, padding, token)
            else:
                into = self._runs[self._stages[i + 1]] if not stage.head else None
                step = Pass(self._session, self._position, token, sample, self._module.placement.wire, into)
                state = self._exchange(step, state, ids, padding)
        self._position += ids.shape[1]
        if not sample:
            return []
        return state if isinstance(state, list) else self._sample(state, token)

    def _compute(self, stage: Stage, state: Any, ids: Tensor, padding: Tensor | None, token: int) -> Any:
        started_s = perf_counter()
        output, seconds = self._runs[stage].step(state, padding=padding, token_ids=ids)
        waited_s = perf_counter() - started_s - seconds if self._pace.clock == "wall" else 0.0
        if waited_s > _SHORTEST_WAIT_S:
            self._line.local("wait", token, started_s, waited_s)
        self._line.local("compute", token, started_s + max(0.0, waited_s), seconds)
        return output

    def _exchange(
        self, step: Pass, state: Any, ids: Tensor, padding: Tensor | None
    ) -> list[int] | Boundary | None:
        answer = self._client.cloud.forward(step, state, ids, padding, self._line)
        self._count(answer.bytes_up, answer.bytes_down)
        return self._rows.accept(answer.ids) if answer.ids else answer.boundary

    def _sample(self, logits: Tensor, token: int) -> list[int]:
        started_s = perf_counter()
        chosen = self._rows.accept(self._sampler(logits[:, -1]))
        if self._sampling.logprobs:
            self._logprobs.append(log_probability(logits[0, -1], chosen[0]))
        self._line.local("sample", token, started_s, perf_counter() - started_s)
        return chosen

    # ---- the cloud drives: the whole request goes up, tokens stream down

    def _stream(self, ids: Tensor, padding: Tensor | None, n: int) -> None:
        for answer in self._client.cloud.generate(self._session, ids, padding, n, self._line):
            self._count(answer.bytes_up, answer.bytes_down)
            if self._take(self._rows.accept(answer.ids)) or self._client.cancelled.is_set():
                self._client.cloud.cancel(self._session)
                break
        self._check_cancelled()

    # ---- both

    def _take(self, chosen: list[int]) -> bool:
        """Keep one token per row and show it; True once every row has ended."""
        self._line.token_here()
        self._tokens.append(chosen)
        for row, (stream, token) in enumerate(zip(self._streams, chosen, strict=True)):
            piece = stream.push(token)
            if row == 0 and piece and self._on_token:
                self._on_token(piece)
            if stream.stopped:
                self._rows.end(row)
        return self._rows.finished

    def _count(self, up: int, down: int) -> None:
        self._bytes["up"] += up
        self._bytes["down"] += down

    def _check_cancelled(self) -> None:
        if self._client.cancelled.is_set():
            raise CancelledRunError("the run was cancelled; what it had made is dropped")

    def _trace(self, ids: Tensor, batch: int, cloud: Mapping[str, Any]) -> RequestTrace:
        client, line = self._client, self._line
        memory = {EDGE: StageRun.held_bytes(self._runs.values())}
        if cloud:
            memory[CLOUD] = int(cloud.get("memory_bytes", 0))
        spans = tuple(line.spans)
        return RequestTrace(
            plan=str(client.plan),
            clock=line.clock,
            label=line.label,
            prompt_tokens=ids.shape[1],
            token_times_s=tuple(line.token_times_s),
            spans=spans,
            bytes_up=self._bytes["up"],
            bytes_down=self._bytes["down"],
            bytes_label="measured",
            memory_bytes=memory,
            memory_label="measured",
            resident_bytes=memory,
            energy_j=request_energy_j(
                spans, line.token_times_s[-1], _known(client.devices), self._bytes["up"]
            ),
            batch=batch,
            token_ids=tuple(row[0] for row in self._tokens),
            text=self._streams[0].text,
            texts=tuple(stream.text for stream in self._streams),
            logprobs=tuple(self._logprobs),
            notes=_notes(self._pace.stats(), cloud, client.devices),
            facts=dict(self._conditions.facts or {}),
        )


def _timeline(conditions: Conditions, clock: str) -> Timeline:
    if clock != "virtual":
        return WallTimeline()
    if conditions.flows is None:
        raise InputError("the virtual clock needs a model of the link: give Conditions(flows=...)")
    return VirtualTimeline(conditions.flows)


def _notes(
    edge: Mapping[str, Any], cloud: Mapping[str, Any], devices: Mapping[str, DeviceProfile | None]
) -> tuple[str, ...]:
    notes = []
    for place, stats in ((EDGE, edge), (CLOUD, cloud)):
        device = devices[place]
        if device is not None and device.kind != HOST_KIND and stats.get("overruns"):
            notes.append(
                f"this host was slower than {device.name} ({place}) in {stats['overruns']} of "
                f"{stats['steps']} steps, by {stats['overrun_s'] * 1e3:.1f} ms in all"
            )
    return tuple(notes)


def _known(devices: Mapping[str, DeviceProfile | None]) -> dict[str, DeviceProfile]:
    return {place: device for place, device in devices.items() if device is not None}
