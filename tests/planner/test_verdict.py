"""The sentence that sums a comparison up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workbench.errors import UnknownNameError
from workbench.planner import dominant, verdict
from workbench.trace import RequestTrace, Span


def _trace(
    total_s: float, *, ttft_s: float = 0.1, label: str = "modelled", spans: tuple[Span, ...] = ()
) -> RequestTrace:
    return RequestTrace("p", "none", label, 4, (ttft_s, total_s), spans, 0, 0, "modelled", {}, "modelled", {})  # type: ignore[arg-type]


def test_not_to_split_is_said_first() -> None:
    found = verdict(_trace(2.1), _trace(1.9), _trace(1.0))
    assert found.best == "cloud-only"
    assert str(found).startswith(
        "Don't split: cloud-only is 2.1 × faster (modelled), 1.00 s against 2.10 s in total."
    )
    assert found.seconds == {"split": 2.1, "edge-only": 1.9, "cloud-only": 1.0}


def test_a_split_that_pays_is_compared_with_both() -> None:
    found = verdict(_trace(0.5), _trace(1.0), _trace(6.0))
    assert found.best == "split"
    assert found.text.startswith(
        "Split: 2 × faster than edge-only and 12 × faster than cloud-only (modelled), 500 ms"
    )


@pytest.mark.parametrize("split_s", [0.99, 1.0, 1.01])
def test_too_close_to_call_means_no_split(split_s: float) -> None:
    found = verdict(_trace(split_s), _trace(1.0), _trace(3.0))
    assert found.best == "tie"
    assert found.text.startswith("Don't split for speed: edge-only takes as long")


def test_a_baseline_that_cannot_run_is_named() -> None:
    assert verdict(_trace(1.0), None, _trace(3.0)).text.endswith("Edge-only cannot run here.")
    alone = verdict(_trace(1.0), None, None)
    assert alone.best == "split"
    assert "nothing to compare with" in alone.text


def test_measured_against_modelled_is_said() -> None:
    assert "(measured against modelled)" in verdict(_trace(1.0, label="measured"), None, _trace(2.0)).text


def test_other_metrics_may_disagree() -> None:
    split, cloud = _trace(1.0, ttft_s=0.5), _trace(2.0, ttft_s=0.1)
    assert verdict(split, None, cloud).best == "split"
    assert verdict(split, None, cloud, metric="ttft").best == "cloud-only"
    assert verdict(split, None, cloud, metric="tpot").text.count("per token") == 1
    with pytest.raises(UnknownNameError):
        verdict(split, None, cloud, metric="vibes")


def test_what_takes_the_time_is_named() -> None:
    compute = Span("compute", "edge", 0, 0.0, 1.0, "modelled")
    up = Span("uplink", "link", 0, 1.0, 1.5, "modelled")
    down = replace(up, kind="downlink")
    assert dominant(_trace(4.0, spans=(compute, up, down))) == ("the link", 0.75)
    assert dominant(_trace(4.0, spans=(compute,))) == ("compute on the edge", 1.0)
    assert dominant(_trace(4.0)) == ("nothing", 0.0)
    assert (
        "Of the plan's own time 75% is the link."
        in verdict(_trace(4.0, spans=(compute, up, down)), None, None).text
    )
