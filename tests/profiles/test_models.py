"""A model's profile as a file: what was saved comes back, and what contradicts itself is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from tests.cost.models import LLAMA_8B, SMALL
from tests.profiles.tables import table_of, with_times
from tests.strategies import model_profiles
from workbench.errors import ProfileError
from workbench.profiles import ModelProfile

MODEL = replace(SMALL, config_key="0123456789abcdef")
TABLE = table_of(MODEL.n_blocks, lambda block, tokens, context, batch: 1e-3 * tokens * batch)
MEASURED = with_times(MODEL, (16, TABLE), (4, TABLE))


@given(model_profiles())
def test_any_profile_survives_json(model: ModelProfile) -> None:
    assert ModelProfile.from_dict(json.loads(json.dumps(model.to_dict()))) == model


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    for model in (LLAMA_8B, MEASURED):
        model.save(tmp_path / "folder" / "model.json")
        assert ModelProfile.load(tmp_path / "folder" / "model.json") == model


def test_times_are_found_by_device_and_width() -> None:
    assert MEASURED.times_on("host", 16) == TABLE
    assert MEASURED.times_on("host", 8) is None
    assert MEASURED.times_on("raspberry-pi-5", 16) is None
    assert MODEL.times_on("host", 16) is None


def test_a_measured_model_can_still_be_a_key() -> None:
    assert {MEASURED: 1}[with_times(MODEL, (16, TABLE), (4, TABLE))] == 1


def _changed(**changes: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(MEASURED.to_dict())), **changes}


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in _changed().items() if key != name}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_without("version"), "version None"),
        (_changed(version=99), "version 99.*workbench model profile"),
        (_without("hidden"), "hidden"),
        (_changed(colour="red"), "colour"),
        (_changed(config_key="another"), "another model"),
        (_changed(hidden=0), "hidden must be above 0"),
        (_changed(kv_elements=[-1] * 8), "kv_elements must not be negative"),
        (_changed(window=[1] * 7), "do not fit 8 blocks"),
        (_changed(n_blocks="eight"), "eight"),
        (_changed(times=[{"device": "host"}]), "missing"),
        (_changed(times="soon"), "is no ModelTimes|is no ModelProfile"),
    ],
)
def test_a_file_that_cannot_be_is_refused(data: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ProfileError, match=said):
        ModelProfile.load(path)


def test_times_of_other_blocks_are_refused() -> None:
    with pytest.raises(ProfileError, match="8 blocks, its times on 'host' have 3"):
        with_times(MODEL, (16, table_of(3, lambda *_: 1e-3)))


@pytest.mark.parametrize("text", ["", "[]", "{", "7"])
def test_what_is_no_profile_says_so(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProfileError, match=r"model\.json"):
        ModelProfile.load(path)


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="workbench model profile"):
        ModelProfile.load(tmp_path / "none.json")
