"""Studies that run the shipped model: accuracy is found once per stages and codec, whatever else changes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import StudyError
from workbench.evaluation import evaluate
from workbench.models import Model, load_model
from workbench.profiles import LinkProfile
from workbench.studies import Space, Study

FEW = Space(splits=(4,), edge_bits=(16,), cloud_bits=(16,), wires=("int8", "int4"))


@pytest.fixture(scope="module")
def tiny() -> Model:
    return load_model("tiny")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry per real run of stages over a suite."""
    module = sys.modules[evaluate.__module__]
    real, seen = module._run, []

    def counted(model: Model, placement: object, *rest: object) -> object:
        seen.append(placement)
        return real(model, placement, *rest)

    monkeypatch.setattr(module, "_run", counted)
    return seen


def test_another_link_or_device_evaluates_nothing_again(
    tiny: Model, make_study: Any, runs: list[object]
) -> None:
    first = make_study(model=tiny, space=FEW, objectives=("latency", "accuracy"))
    first.optimize(9)
    assert len(first.records()) == 4
    assert len(runs) == 4  # the float32 reference, unsplit once for both baselines, two splits
    for changes in (
        {"link": LinkProfile(0.2, 1e6, 1e6)},
        {"edge": replace(first.question.edge, active_w=20)},
    ):
        again = make_study(model=tiny, space=FEW, objectives=("latency", "accuracy"), **changes)
        again.optimize(9)
        assert {r.plan.key: r.values["accuracy"] for r in again.records()} == {
            r.plan.key: r.values["accuracy"] for r in first.records()
        }
    assert len(runs) == 4


def test_records_carry_accuracy_with_its_interval(tiny: Model, make_study: Any) -> None:
    study = make_study(model=tiny, space=FEW, objectives=("latency", "bits_per_byte"))
    study.optimize(2)
    found = evaluate(tiny, study.records()[0].plan)
    record = study.records()[0]
    assert record.values["bits_per_byte"] == found.bits_per_byte
    assert record.values["agreement"] == found.agreement.value
    assert record.intervals["accuracy"] == (found.mean_exact_match.low, found.mean_exact_match.high)


def test_a_study_read_from_its_file_finds_its_model(tiny: Model, make_study: Any, file: Path) -> None:
    make_study(model=tiny, space=FEW, objectives=("accuracy",), storage=file).optimize(1)
    opened = Study.open(file)
    opened.optimize(1)
    assert "accuracy" in opened.records()[1].values


def test_other_weights_are_refused(tiny: Model, make_study: Any, file: Path, monkeypatch: Any) -> None:
    study = make_study(model=tiny, space=FEW, objectives=("accuracy",), storage=file)
    opened = Study.open(file)
    opened._trier._question = replace(study.question, fingerprint="other")
    with pytest.raises(StudyError, match="weights differ"):
        opened.optimize(1)
