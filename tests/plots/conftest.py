"""Records to draw, made by arithmetic: no model, no study."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from workbench.plan import Partition, Plan
from workbench.records import Accuracy, Share, TrialRecord
from workbench.trace import RequestTrace, Span

N_BLOCKS = 8


def make_trace(
    split: int = 3, *, slower: float = 1.0, measured: bool = False, tokens: int = 6
) -> RequestTrace:
    """A split request whose times are round numbers, every one scaled by ``slower``."""
    label = "measured" if measured else "modelled"
    spans: list[Span] = []
    times: list[float] = []
    now = 0.0
    for token in range(tokens):
        width = 16 if token == 0 else 1
        for kind, place, seconds, n_bytes in (
            ("compute", "edge", 2e-3 * split * (1 + width / 4), 0),
            ("encode", "edge", 2e-4, 0),
            ("uplink", "link", 2e-2 + 1e-3 * width, 384 * width),
            ("compute", "cloud", 2e-4 * (N_BLOCKS - split), 0),
            ("downlink", "link", 2e-2, 40),
        ):
            spans.append(Span(kind, place, token, now, seconds * slower, label, n_bytes))
            now = spans[-1].end_s
        times.append(now)
    return RequestTrace(
        plan=f"split at {split}",
        clock="wall" if measured else "none",
        label=label,
        prompt_tokens=16,
        token_times_s=tuple(times),
        spans=tuple(spans),
        bytes_up=384 * (15 + tokens),
        bytes_down=40 * tokens,
        bytes_label=label,
        memory_bytes={"edge": 600_000_000 * (split + 1), "cloud": 600_000_000 * (N_BLOCKS - split + 1)},
        memory_label=label,
        energy_j={"edge": 1.5, "cloud": 3.0},
    )


def make_record(number: int, split: int, bits: int, wire: str, *, baseline: bool = False) -> TrialRecord:
    """A tried plan: fewer bits and codecs of fewer bits are faster and less right."""
    n = N_BLOCKS
    edge, cloud = Partition.unsplit(n, "edge", bits), Partition.unsplit(n, "cloud", bits)
    ends = {-1: cloud, n + 1: edge}
    plan = Plan.of("toy", ends.get(split) or Partition.split(n, split, bits, 16), wire)
    width = {"fp16": 2.0, "int8": 1.0, "int4": 0.5}[wire]
    share = Share.of(
        round(200 * (0.97 - 0.02 * (16 / bits - 1) - 0.04 * (2 - width) - 0.003 * max(split, 0))), 200
    )
    latency = 0.3 + 0.05 * max(split, 0) * bits / 16 + 0.2 * width
    values = {"latency": latency, "accuracy": share.value, "memory": 2e9 * bits / 16 * (split + 2)}
    return TrialRecord(
        number, plan, "complete", values, {"accuracy": (share.low, share.high)}, baseline=baseline
    )


def make_records() -> list[TrialRecord]:
    """Two baselines, some splits, and one plan that does not fit."""
    ends = [
        make_record(0, N_BLOCKS + 1, 16, "fp16", baseline=True),
        make_record(1, -1, 16, "fp16", baseline=True),
    ]
    cases = [(k, b, w) for k in range(0, 9, 2) for b in (16, 8, 4) for w in ("fp16", "int8", "int4")]
    tried = [make_record(i, *case) for i, case in enumerate(cases, start=2)]
    too_big = TrialRecord(
        len(tried) + 2, tried[0].plan, "infeasible", {"latency": 1.0}, reason="needs more memory"
    )
    return [*ends, *tried, too_big]


def make_accuracy(right: int) -> Accuracy:
    """Exact match of ``right`` in 40 at the easiest of three tasks, less at the others."""
    shares = {task: Share.of(max(0, right - 9 * i), 40) for i, task in enumerate(("copy", "sort", "recall"))}
    return Accuracy(1.7, shares, Share.of(900 + right, 1000), "quick", 12_000)


@pytest.fixture
def trace() -> Callable[..., RequestTrace]:
    return make_trace


@pytest.fixture(scope="session")
def records() -> list[TrialRecord]:
    return make_records()


@pytest.fixture
def accuracies() -> dict[str, Accuracy]:
    return {"float32": make_accuracy(40), "int4 wire": make_accuracy(31)}
