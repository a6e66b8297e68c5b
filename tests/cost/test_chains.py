"""Requests over more than two devices: every link between two places is crossed, tokens go back."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.cost.models import SMALL
from workbench import profiles
from workbench.cost import Chain, predict
from workbench.cost.uncertainty import MODEL_ERROR
from workbench.errors import PlanError
from workbench.plan import Partition, Plan, Stage
from workbench.trace import RequestTrace

TIERS = {
    "phone": profiles.device("galaxy-s24"),
    "edge": profiles.device("jetson-agx-orin"),
    "cloud": profiles.device("h100-sxm"),
}
LINKS = (profiles.link("wifi-6"), profiles.link("fibre"))


def _trace(*stages: Stage, **options: int) -> RequestTrace:
    return predict(Plan.of("small", Partition(8, stages)), SMALL, TIERS, LINKS, **options)


def _order(trace: RequestTrace, token: int) -> list[tuple[str, str]]:
    return [(span.place, span.kind) for span in trace.spans if span.token == token]


THREE = (Stage("phone", 0, 2, embedding=True), Stage("edge", 2, 5), Stage("cloud", 5, 8, head=True))


def test_a_token_goes_out_over_every_tier_and_back() -> None:
    trace = _trace(*THREE, new_tokens=4)
    assert _order(trace, 1) == [
        ("phone", "compute"),
        ("link phone-edge", "uplink"),
        ("edge", "compute"),
        ("link edge-cloud", "uplink"),
        ("cloud", "compute"),
        ("link edge-cloud", "downlink"),
        ("link phone-edge", "downlink"),
    ]
    assert trace.tpot_s > sum(link.rtt_s for link in LINKS)
    assert set(trace.memory_bytes) == set(TIERS)
    assert trace.energy_j["phone"] > 0


def test_a_place_that_runs_nothing_hands_on() -> None:
    trace = _trace(Stage("phone", 0, 2, embedding=True), Stage("cloud", 2, 8, head=True), new_tokens=2)
    ups = [place for place, kind in _order(trace, 0) if kind == "uplink"]
    assert ups == ["link phone-edge", "link edge-cloud"]
    assert "edge" not in trace.memory_bytes


def test_bytes_are_those_of_the_users_link() -> None:
    whole = _trace(*THREE, new_tokens=4)
    first = [s.n_bytes for s in whole.spans if s.place == "link phone-edge" and s.kind == "uplink"]
    assert whole.bytes_up == sum(first)


def test_a_request_may_begin_beyond_the_users_device() -> None:
    trace = _trace(Stage("edge", 0, 5, embedding=True), Stage("cloud", 5, 8, head=True), new_tokens=3)
    assert _order(trace, 0)[0] == ("link phone-edge", "uplink")
    assert ("phone", "compute") not in _order(trace, 0)
    steps = [b - a for a, b in zip(trace.token_times_s, trace.token_times_s[1:], strict=False)]
    assert all(step < LINKS[0].rtt_s + LINKS[1].rtt_s + 0.1 for step in steps)


def test_two_tiers_are_edge_and_cloud() -> None:
    devices = {"edge": TIERS["phone"], "cloud": TIERS["cloud"]}
    plan = Plan.of("small", Partition.split(8, 3))
    single = predict(plan, SMALL, devices, LINKS[0])
    row = predict(plan, SMALL, devices, [LINKS[0]])
    assert single == row


def test_links_must_fit_the_places() -> None:
    with pytest.raises(PlanError, match=r"3 places .* need 2 links"):
        Chain.of(TIERS, LINKS[:1])
    with pytest.raises(PlanError, match="one link per neighbour"):
        Chain.of(TIERS, LINKS[0])
    with pytest.raises(PlanError, match="each of its places once"):
        Chain(("a", "a"), {}, LINKS[:1])


def test_unknown_places_are_refused() -> None:
    with pytest.raises(PlanError, match="no device for"):
        _trace(Stage("phone", 0, 2, embedding=True), Stage("moon", 2, 8, head=True))


# ---- ranges


def test_no_range_without_a_spread() -> None:
    assert _trace(*THREE).ranges == {} or any(link.jitter_s for link in LINKS)


def test_a_device_that_varies_widens_the_range() -> None:
    still = replace(profiles.link("fibre"), jitter_s=0.0)
    plan = Plan.of("small", Partition.unsplit(8, "edge"))
    device = replace(TIERS["edge"], spread=0.1)
    trace = predict(plan, SMALL, {"edge": device, "cloud": TIERS["cloud"]}, still)
    for name, value in (("ttft", trace.ttft_s), ("tpot", trace.tpot_s), ("total", trace.token_times_s[-1])):
        low, high = trace.ranges[name]
        half = math.hypot(0.1, MODEL_ERROR)
        assert (low, high) == pytest.approx(((1 - half) * value, (1 + half) * value))


def test_jitter_of_single_tokens_partly_cancels() -> None:
    jittery = replace(profiles.link("fibre"), jitter_s=0.004)
    plan = Plan.of("small", Partition.split(8, 3))
    devices = {"edge": replace(TIERS["edge"], spread=0.0), "cloud": replace(TIERS["cloud"], spread=0.0)}
    few, many = (predict(plan, SMALL, devices, jittery, new_tokens=n) for n in (3, 65))
    squares = [
        (trace.ranges["tpot"][1] - trace.tpot_s) ** 2 - (MODEL_ERROR * trace.tpot_s) ** 2
        for trace in (few, many)
    ]
    assert squares[1] == pytest.approx(squares[0] * 2 / 64, rel=1e-6)
    assert RequestTrace.from_dict(few.to_dict()) == few
