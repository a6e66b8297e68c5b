"""The door to planning takes names and profiles, edge and cloud or a chain, and says what is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

import workbench as wb
from tests.cost.models import llama
from workbench.deployment import placing, problem
from workbench.errors import InfeasibleError, InputError, ModelNotFoundError, UnknownNameError
from workbench.planner import Choices, Limits, Pin, PlacingLimits, Request, place

MODEL = llama("m", 6, 1024, 2816, 8, 4, 32000, tied=True)
ENDS = ("raspberry-pi-5", "h100-sxm", "lte")


def test_names_and_profiles_are_the_same() -> None:
    by_name = problem(MODEL, *ENDS)
    by_profile = problem(MODEL, wb.device(ENDS[0]), wb.device(ENDS[1]), wb.link(ENDS[2]))
    assert by_name == by_profile
    assert list(by_name.devices) == ["edge", "cloud"]


def test_an_answer_says_why_and_shows_a_table() -> None:
    answer = wb.decide(MODEL, *ENDS, request=Request(16, 4), aims="tpot", pins=[Pin("embedding", "edge")])
    assert dict(answer.problem.aims) == {"tpot": 1.0}
    html = answer._repr_html_()
    assert answer.verdict.split(":")[0].replace("'", "&#x27;") in html
    for text in ("TTFT", "edge-only", "cloud-only", "modelled", "memory of edge", "pin embedding on edge"):
        assert text in html
    assert "price" not in html
    best, *_ = answer.plans.values()
    assert best is answer.best


def test_wishes_are_the_problems_own() -> None:
    answer = wb.decide(
        MODEL,
        *ENDS,
        limits=Limits(memory_bytes={"cloud": 1e8}),
        choices=Choices(bits={"cloud": [16]}),
        front=["total", "bytes"],
    )
    assert answer.problem.limits.memory_bytes == {"cloud": 1e8}
    assert answer.front


def test_a_chain_has_devices_by_place_and_links() -> None:
    devices = {"phone": "galaxy-s24", "site": "jetson-agx-orin", "cloud": "h100-sxm"}
    answer = wb.decide(MODEL, devices=devices, links=["5g", "fibre"], request=Request(16, 4))
    assert list(answer.baselines) == ["phone-only", "site-only", "cloud-only"]
    with pytest.raises(InputError, match="links between neighbours"):
        wb.decide(MODEL, devices=devices)
    with pytest.raises(InputError, match="and no edge"):
        wb.decide(MODEL, *ENDS, devices=devices, links=["5g", "fibre"])


def test_what_is_missing_or_unknown_is_said() -> None:
    with pytest.raises(InputError, match="Give edge, cloud and link"):
        wb.decide(MODEL, "raspberry-pi-5")
    with pytest.raises(UnknownNameError, match="raspberry-pi-5"):
        wb.decide(MODEL, "raspbery-pi-5", *ENDS[1:])
    with pytest.raises(ModelNotFoundError, match="llama-3-8b"):
        wb.decide("llama-3-8", *ENDS)
    with pytest.raises(InfeasibleError):
        wb.decide(MODEL, *ENDS, limits=Limits(ttft_s=1e-6))


def test_features_are_placed_by_what_their_modules_answered() -> None:
    mix = {"sort": 2.0, "reverse": 1.0, "arithmetic": 1.0, "continue": 1.0}
    asked = placing(mix, "raspberry-pi-5", "h100-sxm", "lte", limits=PlacingLimits(relative_quality=0.95))
    found = place(asked)
    assert found.best.values["quality"] >= 0.95 * asked.best_quality
    assert found.plan.features["reverse"].adapter == "reverse"
    assert found.best.values["latency"] < found.baselines["cloud-only"].values["latency"]  # type: ignore[union-attr]
    best = place(replace(asked, limits=PlacingLimits(), aim="quality"))
    assert best.best.values["quality"] == pytest.approx(asked.best_quality)
    with pytest.raises(UnknownNameError, match="measured feature"):
        placing({"sotr": 1.0}, "raspberry-pi-5", "h100-sxm", "lte")
