"""What a request took: spans, bytes, tokens, memory and energy, each number with its label.

A prediction and a real run return the same record, so that they can be laid over each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

__all__ = ["BUSY_KINDS", "LABELS", "SPAN_KINDS", "Clock", "Label", "Number", "RequestTrace", "Span"]

Label = Literal["measured", "modelled", "published"]
Clock = Literal["wall", "virtual", "none"]
LABELS: tuple[Label, ...] = ("measured", "modelled", "published")
SPAN_KINDS = (
    "tokenize",
    "compute",
    "encode",
    "uplink",
    "decode_wire",
    "downlink",
    "sample",
    "stream",
    "wait",
)
BUSY_KINDS = frozenset({"compute", "encode", "decode_wire", "sample", "stream", "tokenize"})
"""Those in which a device is at work."""


@dataclass(frozen=True)
class Number:
    """One value with its unit and where it comes from."""

    name: str
    value: float
    unit: str
    label: Label
    range: tuple[float, float] | None = None  # where 80 % of the requests lie, if that is known


@dataclass(frozen=True, slots=True)
class Span:
    """One piece of a request's time.

    ``token`` is 0 for everything up to the first token (prefill), then the index of the token being made.
    """

    kind: str  # one of SPAN_KINDS
    place: str  # "edge", "cloud", "link"; in a longer chain its devices, and "link A-B"
    token: int
    start_s: float  # since the request began
    duration_s: float
    label: Label
    n_bytes: int = 0  # what crossed, for uplink and downlink

    @property
    def phase(self) -> str:
        return "prefill" if self.token == 0 else "decode"

    @property
    def end_s(self) -> float:
        return self.start_s + self.duration_s


@dataclass(frozen=True)
class RequestTrace:
    """One request, predicted or run.

    ``clock`` is ``wall`` for time that passed here, ``virtual`` for real tensors and bytes in modelled
    time, ``none`` for a prediction. Times are seconds since the request began.
    """

    plan: str  # the plan, as text
    clock: Clock
    label: Label  # of the request's times as a whole; a span may say otherwise
    prompt_tokens: int
    token_times_s: tuple[float, ...]  # when each output token was there, on the edge
    spans: tuple[Span, ...]
    bytes_up: int
    bytes_down: int
    bytes_label: Label
    memory_bytes: Mapping[str, int]  # per place, at its peak; a run counts weights and cache only
    memory_label: Label
    energy_j: Mapping[str, float]  # per place, and "radio"
    energy_label: Label = "modelled"
    batch: int = 1
    token_ids: tuple[int, ...] = ()
    text: str = ""
    texts: tuple[str, ...] = ()  # every row's, where a batch was run
    notes: tuple[str, ...] = ()  # what a reader must know, e.g. that the host was too slow
    facts: Mapping[str, str] = field(default_factory=dict)  # link kind, devices, feature …
    resident_bytes: Mapping[str, int] = field(default_factory=dict)  # of that, weights and cache
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """10th and 90th percentile of "ttft", "tpot" and "total" in seconds, where a prediction knows them."""
    logprobs: tuple[float, ...] = ()  # natural logarithm of each token's probability, where it was asked for

    @property
    def n_tokens(self) -> int:
        return len(self.token_times_s)

    @property
    def ttft_s(self) -> float:
        """Time to first token."""
        return self.token_times_s[0] if self.token_times_s else self.total_s

    @property
    def tpot_s(self) -> float:
        """Mean time per output token after the first; 0 for a single token."""
        n = self.n_tokens
        return (self.token_times_s[-1] - self.token_times_s[0]) / (n - 1) if n > 1 else 0.0

    @property
    def total_s(self) -> float:
        ends = [s.end_s for s in self.spans]
        return max([*ends, *self.token_times_s], default=0.0)

    @property
    def tokens_per_s(self) -> float:
        """Output tokens per second over the whole request, all of the batch."""
        return self.batch * self.n_tokens / self.total_s if self.total_s > 0 else 0.0

    def seconds_by(self, *, phase: str | None = None) -> dict[tuple[str, str], float]:
        """Seconds per (place, kind), of one phase or of both."""
        sums: dict[tuple[str, str], float] = {}
        for span in self.spans:
            if phase in (None, span.phase):
                sums[span.place, span.kind] = sums.get((span.place, span.kind), 0.0) + span.duration_s
        return sums

    def numbers(self) -> Iterator[Number]:
        """Every headline number with its unit and label."""
        for name, seconds in (("ttft", self.ttft_s), ("tpot", self.tpot_s), ("total", self.total_s)):
            yield Number(name, seconds, "s", self.label, self.ranges.get(name))
        yield Number("throughput", self.tokens_per_s, "tokens/s", self.label)
        yield Number("bytes up", self.bytes_up, "B", self.bytes_label)
        yield Number("bytes down", self.bytes_down, "B", self.bytes_label)
        for place, n_bytes in self.memory_bytes.items():
            if self.resident_bytes.get(place) == n_bytes:
                continue  # nobody knows more than that
            yield Number(f"memory {place}", n_bytes, "B", self.memory_label)
        for place, n_bytes in self.resident_bytes.items():
            yield Number(f"weights and cache {place}", n_bytes, "B", self.memory_label)
        for place, joules in self.energy_j.items():
            yield Number(f"energy {place}", joules, "J", self.energy_label)

    def after(self, first: RequestTrace) -> RequestTrace:
        """This request begun where another one, whose answer was not good enough, ended.

        Tokens and text are this one's; time, bytes and energy are of both.
        """
        shift_s = first.total_s
        spans = (*first.spans, *(replace(s, start_s=s.start_s + shift_s) for s in self.spans))
        places = dict.fromkeys((*first.energy_j, *self.energy_j))
        return replace(
            self,
            token_times_s=tuple(at_s + shift_s for at_s in self.token_times_s),
            spans=spans,
            bytes_up=first.bytes_up + self.bytes_up,
            bytes_down=first.bytes_down + self.bytes_down,
            memory_bytes=_larger(first.memory_bytes, self.memory_bytes),
            resident_bytes=_larger(first.resident_bytes, self.resident_bytes),
            energy_j={p: first.energy_j.get(p, 0.0) + self.energy_j.get(p, 0.0) for p in places},
            notes=tuple(dict.fromkeys((*first.notes, *self.notes))),
            ranges={},
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RequestTrace:
        """Read what ``to_dict`` gave."""
        tuples = ("token_times_s", "token_ids", "texts", "notes", "logprobs")
        fields: dict[str, Any] = {k: tuple(v) if k in tuples else v for k, v in data.items()}
        fields["spans"] = tuple(Span(**s) for s in data["spans"])
        fields["ranges"] = {name: (low, high) for name, (low, high) in data.get("ranges", {}).items()}
        return cls(**fields)

    def __str__(self) -> str:
        clock = "predicted" if self.clock == "none" else f"{self.clock} clock"
        return (
            f"{self.label} ({clock}): TTFT {self.ttft_s * 1e3:.1f} ms, TPOT {self.tpot_s * 1e3:.1f} ms, "
            f"{self.n_tokens} tokens in {self.total_s:.3f} s, {self.bytes_up} B up, {self.bytes_down} B down"
        )


def _larger(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    return {p: max(first.get(p, 0), second.get(p, 0)) for p in dict.fromkeys((*first, *second))}
