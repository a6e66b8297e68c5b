"""What a place holds for several features: what they share is there once, and what does not fit is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cost.models import SMALL, llama
from tests.strategies import model_profiles, partitions
from workbench import profiles
from workbench.cost import base_of, fits_together, place_bytes
from workbench.errors import DoesNotFitError, UnknownNameError
from workbench.plan import CLOUD, EDGE, Partition, Placement, Plan
from workbench.profiles import DeviceProfile, ModelProfile

HUGE = {name: replace(profiles.device("h100-sxm"), memory_bytes=10**15, title=name) for name in (EDGE, CLOUD)}
EXIT = llama("small@4", 4, 256, 704, 8, 2, 2048, tied=True)
MODELS = {"small": SMALL, "small@4": EXIT}
WHOLE = Placement(Partition.unsplit(8, EDGE))
EARLY = Placement(Partition.unsplit(4, EDGE), model="small@4")
REMOTE = Placement(Partition.unsplit(8, CLOUD))


def _edge(n_bytes: int) -> dict[str, DeviceProfile]:
    return {**HUGE, EDGE: replace(HUGE[EDGE], memory_bytes=n_bytes)}


def _weights(*placements: Placement, place: str = EDGE) -> int:
    default, *others = placements
    features = {"default": default, **{f"f{i}": p for i, p in enumerate(others)}}
    return fits_together(Plan("small", features), MODELS, HUGE)[place].weights


@given(st.data())
def test_one_feature_holds_what_it_would_alone(data: st.DataObject) -> None:
    model: ModelProfile = data.draw(model_profiles())
    placement = Placement(data.draw(partitions(model.n_blocks)))
    together = fits_together(Plan("m", {"default": placement}), {"m": model}, HUGE)
    alone = place_bytes(model, placement)
    assert set(together) == set(alone)
    for place, need in alone.items():
        found, n_stages = together[place], len(placement.partition.on(place))
        assert abs(found.weights - need.weights) <= n_stages  # each stage rounds
        assert (found.cache, found.activations) == (need.cache, need.activations)


@given(st.lists(partitions(8), min_size=1, max_size=4))
def test_sharing_takes_no_more_than_all_and_no_less_than_the_largest(drawn: list[Partition]) -> None:
    placements = [Placement(partition) for partition in drawn]
    features = {"default": placements[0], **{f"f{i}": p for i, p in enumerate(placements)}}
    together = fits_together(Plan("small", features), MODELS, HUGE)
    backward = {"default": placements[-1], **{f"f{i}": p for i, p in enumerate(placements)}}
    assert fits_together(Plan("small", backward), MODELS, HUGE) == together
    for place, found in together.items():
        alone = [place_bytes(SMALL, p).get(place) for p in placements]
        needs = [need for need in alone if need is not None]
        assert max(n.weights for n in needs) - 8 <= found.weights <= sum(n.weights for n in needs) + 8
        assert found.total - found.weights == max(n.cache + n.activations for n in needs)


def test_an_exit_adds_nothing_to_its_base() -> None:
    assert _weights(WHOLE, EARLY) == _weights(WHOLE)
    assert _weights(REMOTE, EARLY) == place_bytes(EXIT, EARLY)[EDGE].weights < _weights(WHOLE)
    assert [base_of(name) for name in ("tiny@4", "tiny", "org/m@main", "@4")] == [
        "tiny",
        "tiny",
        "org/m@main",
        "@4",
    ]


def test_splits_of_one_model_share_their_blocks() -> None:
    splits = [Placement(Partition.split(8, at)) for at in (2, 5)]
    assert _weights(*splits) == _weights(splits[1])
    assert _weights(*splits, place=CLOUD) == _weights(splits[0], place=CLOUD)
    split_and_whole = _weights(splits[1], WHOLE)
    assert split_and_whole == _weights(WHOLE)  # the tied table, too, is there once


def test_other_widths_and_other_models_share_nothing() -> None:
    packed = Placement(Partition.unsplit(8, EDGE, bits=4))
    table = 2 * SMALL.embedding_params
    assert _weights(WHOLE, packed) == _weights(WHOLE) + _weights(packed) - table
    other = replace(WHOLE, model="other")
    plan = Plan("small", {"default": WHOLE, "f": other})
    held = fits_together(plan, {**MODELS, "other": SMALL}, HUGE)[EDGE]
    assert held.weights == 2 * _weights(WHOLE)


def test_an_adapter_lies_beside_its_base() -> None:
    tuned = replace(WHOLE, adapter="a")
    plan = Plan("small", {"default": WHOLE, "f": tuned, "g": tuned})
    held = fits_together(plan, MODELS, HUGE, adapter_bytes={"a": 12_345})[EDGE]
    assert held.weights == _weights(WHOLE) + 12_345
    with pytest.raises(UnknownNameError, match="adapter"):
        fits_together(plan, MODELS, HUGE)


def test_the_cache_is_that_of_the_longest_request() -> None:
    plan = Plan("small", {"default": WHOLE, "f": WHOLE})
    held = fits_together(plan, MODELS, HUGE, tokens={"f": (500, 100)})[EDGE]
    alone = place_bytes(SMALL, WHOLE, prompt_tokens=500, new_tokens=100)[EDGE]
    assert held == alone


def test_what_does_not_fit_is_named_with_how_much() -> None:
    packed = Placement(Partition.unsplit(8, EDGE, bits=8))
    plan = Plan("small", {"default": REMOTE, "sort": WHOLE, "copy": packed})
    need = fits_together(plan, MODELS, HUGE)[EDGE].total
    assert fits_together(plan, MODELS, _edge(need))[EDGE].total == need
    with pytest.raises(DoesNotFitError, match=r"'copy' \('small'\) beside 'sort': .* 0\.50 MB more than"):
        fits_together(plan, MODELS, _edge(need - 500_000))
    with pytest.raises(DoesNotFitError, match=r"cannot hold 'sort' \('small'\): "):
        fits_together(plan, MODELS, _edge(10**6))


def test_some_features_can_be_left_out() -> None:
    plan = Plan("small", {"default": REMOTE, "sort": WHOLE, "copy": EARLY})
    assert set(fits_together(plan, MODELS, HUGE, features=["sort"])) == {EDGE}
    only = fits_together(plan, MODELS, HUGE, features=["default", "copy"])
    assert only[EDGE].weights == place_bytes(EXIT, EARLY)[EDGE].weights
    with pytest.raises(UnknownNameError, match="feature"):
        fits_together(plan, MODELS, HUGE, features=["nothing"])


def test_missing_profiles_and_devices_are_named() -> None:
    plan = Plan("small", {"default": REMOTE, "f": EARLY})
    with pytest.raises(UnknownNameError, match="model with a profile"):
        fits_together(plan, {"small": SMALL}, HUGE)
    with pytest.raises(UnknownNameError, match="place with a device"):
        fits_together(plan, MODELS, {EDGE: HUGE[EDGE]})
