"""``workbench route``, ``replay`` and ``model answers``: who answers, and what became of a workload."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from workbench import cli
from workbench.routing import AnswerTable, Request, Workload, shipped_answers

PLAN = """
model: tiny
features:
  default: {place: cloud, fallback: small}
  small: {place: edge, model: tiny@4}
  sort: {place: edge, model: tiny@4}
bounds: {name: edge, health: cloud}
"""
SIDES = ("--edge", "raspberry-pi-5", "--cloud", "h100-sxm", "--link", "lte")


@pytest.fixture
def plan(tmp_path: Path) -> str:
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN, encoding="utf-8")
    return str(file)


def _decisions(capsys: pytest.CaptureFixture[str], *options: str, code: int = 0) -> list[dict]:
    assert cli.main(["route", "--json", *options]) == code
    return json.loads(capsys.readouterr().out)["decisions"]


def test_a_prompt_goes_where_its_feature_is(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = ("--prompt", "sort: q c a =", "--prompt", "Once upon a time there was a")
    sorting, prose = _decisions(capsys, "--plan", plan, *prompts)
    assert (sorting["module"], sorting["outcome"], sorting["if unsure"]) == ("sort", "as routed", "default")
    assert prose["module"] == "default"
    assert cli.main(["route", "--plan", plan, *prompts]) == 0
    assert "degraded to small" in capsys.readouterr().out


def test_bounds_and_a_lost_link_show(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    secret, ill = "My name is Ada Lovelace", "She was given chemotherapy for leukemia"
    prompts = ("--prompt", secret, "--prompt", f"{secret}. {ill}")
    named, refused = _decisions(capsys, "--plan", plan, *prompts, code=1)
    assert (named["outcome"], named["module"], named["bound"]) == ("moved", "small", "name stays on the edge")
    assert refused["outcome"] == "refused"
    assert "BoundError" in refused["reason"]
    (offline,) = _decisions(capsys, "--plan", plan, "--offline", "--prompt", "Once upon a time")
    assert (offline["outcome"], offline["module"]) == ("degraded", "small")


def test_prompts_come_from_standard_input(
    plan: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("sort: b a =\n\ncopy: a b =\n"))
    assert len(_decisions(capsys, "--plan", plan, "--policy", "classified", "--prompt", "-")) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--threshold", "1.5"), "threshold"),
        (("--feature", "sotr", "--policy", "tagged"), "did you mean 'sort'"),
        (("--plan", "hybird"), "hybird"),
    ],
)
def test_what_cannot_be_is_bad_input(
    plan: str, options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = options if "--plan" in options else ("--plan", plan, *options)
    assert cli.main(["route", *given, "--prompt", "a"]) == 2
    assert said in capsys.readouterr().err


def test_a_replay_is_shown_beside_its_prediction(
    plan: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work, out = tmp_path / "work.jsonl", tmp_path / "report.json"
    requests = (
        Request("sort: q c a =", "sort", 6, answer="a c q"),
        Request("Once upon a time", max_new_tokens=3, arrival_s=0.1),
        Request("Once upon a day", max_new_tokens=3, arrival_s=0.6),
    )
    Workload(requests).save(work)
    options = ("--plan", plan, "--workload", str(work), "--clock", "virtual", "--policy", "tagged", *SIDES)
    assert cli.main(["replay", *options, "--outage", "0.5,1", "--json", "--out", str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["measured"]["outcomes"] == {
        "as routed": 2, "moved": 0, "degraded": 1, "queued": 0, "refused": 0
    }  # fmt: skip
    means = [found[which]["latency_mean_s"] for which in ("predicted", "measured")]
    assert means[0] == pytest.approx(means[1], rel=0.05)
    assert len(json.loads(out.read_text(encoding="utf-8"))["served"]) == 3
    assert cli.main(["replay", *options]) == 0
    text = capsys.readouterr().out
    assert "latency, predicted (modelled)" in text
    assert "deciding took" in text


def test_an_unknown_feature_of_a_workload_is_bad_input(
    plan: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "work.csv"
    work.write_text("arrival_s,prompt,feature\n0,a,sotr\n", encoding="utf-8")
    assert cli.main(["replay", "--plan", plan, "--workload", str(work), *SIDES, "--clock", "virtual"]) == 2
    assert "did you mean 'sort'" in capsys.readouterr().err


def test_answers_are_measured_again_as_they_are_shipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, out = tmp_path / "small.yaml", tmp_path / "answers.json"
    small.write_text("model: tiny@2\nfeatures: {default: {place: edge}}\n", encoding="utf-8")
    options = ("--examples", "calibration", "--n", "8", "--out", str(out))
    assert cli.main(["model", "answers", "--plan", str(small), *options]) == 0
    assert "tiny@2 @16b" in capsys.readouterr().out
    measured, shipped = AnswerTable.load(out), shipped_answers("calibration")
    known = dict(zip(shipped.prompts, shipped.of("tiny@2 @16b").right, strict=True))
    both = [
        (right, known[prompt])
        for prompt, right in zip(measured.prompts, measured.of("tiny@2 @16b").right, strict=True)
        if prompt in known
    ]
    assert len(both) > 20
    assert sum(a == b for a, b in both) / len(both) > 0.95


def test_shipped_tables_hold_different_examples() -> None:
    test, calibration = shipped_answers("test"), shipped_answers("calibration")
    assert not set(test.prompts) & set(calibration.prompts)
    assert set(test.modules) == set(calibration.modules)
    assert test.quality("tiny@4 @16b + arithmetic", "arithmetic") > test.quality("tiny@4 @16b", "arithmetic")
