"""``workbench plan`` and ``workbench architectures``."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import cli, profiles
from workbench.models import architectures, read_architecture
from workbench.plan import Plan
from workbench.planner import AIMS, Answer, plan
from workbench.planner.quantity import quantity
from workbench.planner.scenario import read_scenario
from workbench.trace import RequestTrace

SCENARIOS = profiles.DATA / "scenarios"
CHAT = str(SCENARIOS / "chat_on_lte.yaml")
TITLES = {
    "ttft": "TTFT",
    "tpot": "TPOT",
    "total": "total",
    "throughput": "throughput",
    "bytes": "over the user's link",
    "edge_energy": "energy of the user's device",
    "price": "price per token",
}


def _answer(path: str = CHAT) -> Answer:
    scenario = read_scenario(path)
    return plan(scenario.problem(read_architecture(scenario.model)))


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["plan", *arguments]) == 0
    return capsys.readouterr().out


def _rows(text: str) -> dict[str, list[str]]:
    """Cells by row: columns are two spaces or more apart."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) > 1}


def _columns(answer: Answer) -> list:
    splits = [answer.best_split] if answer.best_split and answer.best_split.plan != answer.best.plan else []
    return [answer.best, *splits, *(p for p in answer.baselines.values() if p.plan != answer.best.plan)]


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_table_has_the_answers_numbers(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, answer = _run(capsys, str(path)), _answer(str(path))
    rows, columns = _rows(text), _columns(answer)
    shown = [name for name in TITLES if name != "price" or answer.problem.prices.per_hour]
    for name in shown:
        assert rows[TITLES[name]] == [
            *(quantity(p.values[name], AIMS[name].unit) for p in columns),
            "modelled",
        ]
    for place in answer.problem.devices:
        held = [quantity(p.trace.memory_bytes.get(place, 0), "B") for p in columns]
        assert rows[f"memory of {place}"] == [*held, "modelled"]
    assert rows["keeps every limit"] == ["no" if p.broken else "yes" for p in columns]
    assert answer.verdict in text
    assert f"{answer.n_plans:,} plans considered by the {answer.planner} planner" in text
    assert all(reason in text for p in columns for reason in p.broken)


def test_the_front_is_a_row_each(capsys: pytest.CaptureFixture[str]) -> None:
    rows, answer = _rows(_run(capsys, CHAT)), _answer()
    assert len(answer.front) > 1
    for found in answer.front:
        cells = [quantity(found.values[name], AIMS[name].unit) for name in answer.problem.front]
        assert cells in [row for title, row in rows.items() if title.startswith(str(found.plan.partition))]


def test_json_is_the_answer_beside_its_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(_run(capsys, CHAT, "--json"))
    scenario, seconds = found.pop("scenario"), found.pop("seconds")
    assert found == json.loads(json.dumps(_answer().to_dict()))
    assert read_scenario(scenario) == read_scenario(CHAT)
    assert seconds > 0
    for proposal in (found["best"], found["best_split"], *found["baselines"].values(), *found["front"]):
        Plan.from_dict(proposal["plan"])
        assert RequestTrace.from_dict(proposal["trace"]).label == "modelled"


@pytest.mark.parametrize("name", ["chat_on_lte", "phone_edge_cloud"])
def test_the_page_has_the_answers_numbers_and_needs_no_network(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path, page = str(SCENARIOS / f"{name}.yaml"), tmp_path / "page.html"
    _run(capsys, path, "--html", str(page))
    text, answer = page.read_text(), _answer(path)
    cells = {html.unescape(cell) for cell in re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", text)}
    for proposal in _columns(answer):
        assert {
            quantity(proposal.values[name], AIMS[name].unit) for name in TITLES if name != "price"
        } <= cells
        assert str(proposal.plan) in cells
    for found in answer.front:
        assert {quantity(found.values[name], AIMS[name].unit) for name in answer.problem.front} <= cells
    assert html.escape(answer.verdict) in text
    assert "every number modelled" in text
    assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=", text.replace("<script>", ""))


def test_the_page_shows_what_a_scenario_says_as_text(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    _run(capsys, CHAT, "--set", "title=<img src=x onerror=alert(1)>", "--html", str(page))
    assert "<img" not in page.read_text().partition("<body>")[2]


def test_no_file_takes_the_options_of_predict(capsys: pytest.CaptureFixture[str]) -> None:
    options = (
        "--model",
        "llama-3-8b",
        "--edge",
        "jetson-agx-orin",
        "--cloud",
        "a100-80gb",
        "--link",
        "wifi-6",
    )
    changes = ("--rtt-ms", "7", "--up-mbps", "20", "--down-mbps", "30", "--loss-percent", "1")
    request = ("--prompt-tokens", "40", "--new-tokens", "6", "--batch", "2", "--objective", "tpot,bytes")
    found = json.loads(_run(capsys, *options, *changes, *request, "--json"))["scenario"]
    assert found["model"] == "llama-3-8b"
    assert found["devices"]["edge"]["name"] == "jetson-agx-orin"
    assert found["devices"]["cloud"]["name"] == "a100-80gb"
    link = found["links"][0]
    assert (link["rtt_s"], link["uplink_bps"], link["downlink_bps"], link["loss"]) == (
        0.007,
        20e6,
        30e6,
        0.01,
    )
    assert link["jitter_s"] == profiles.link("wifi-6").jitter_s
    assert found["request"] == {"prompt_tokens": 40, "new_tokens": 6, "batch": 2}
    assert found["objective"] == ["tpot", "bytes"]


def test_options_and_set_change_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(
        _run(capsys, CHAT, "--edge", "rtx-4090", "--rtt-ms", "3", "--set", "constraints.tpot=1 s", "--json")
    )["scenario"]
    assert found["devices"]["edge"]["name"] == "rtx-4090"
    assert found["links"][0]["rtt_s"] == 0.003
    assert found["constraints"] == {"ttft_s": 3, "tpot_s": 1}
    assert found["request"]["prompt_tokens"] == 256


def test_every_planner_finds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    small = ("--model", "tiny", "--json", "--planner")
    names = ("auto", "exhaustive", "chains")
    best = [json.loads(_run(capsys, *small, name))["best"]["values"]["total"] for name in names]
    assert best == pytest.approx([best[0]] * 3, rel=1e-9)


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["nowhere.yaml"], 2, "cannot be read as a scenario"),
        ([CHAT, "--set", "constraint.ttft=1 s"], 2, "did you mean 'constraints'"),
        ([CHAT, "--set", "constraints.ttft=-1 s"], 2, "not negative"),
        ([CHAT, "--edge", "raspberry-pi-6"], 2, "did you mean 'raspberry-pi-5'"),
        ([CHAT, "--link", "ltee"], 2, "did you mean 'lte'"),
        ([CHAT, "--model", "llama-3-8bb"], 2, "Did you mean 'llama-3-8b'"),
        ([CHAT, "--planner", "exhausted"], 2, "did you mean 'exhaustive'"),
        ([CHAT, "--objective", "totl"], 2, "did you mean 'total'"),
        ([CHAT, "--set", "constraints.ttft=1 µs"], 3, "keeps every limit"),
        ([CHAT, "--set", "model={model_type: lama}"], 1, "did you mean 'llama'"),
        ([CHAT, "--rtt-ms", "-1"], 2, "not negative"),
    ],
)
def test_bad_input_is_one_line(
    options: list[str], code: int, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plan", *options]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert reason in printed.err


def test_a_page_that_cannot_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert cli.main(["plan", CHAT, "--html", str(tmp_path / "file" / "page.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["constraints.ttft", "=3"])
def test_set_takes_a_key_and_a_value(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["plan", CHAT, "--set", text])
    assert end.value.code == 2
    assert "KEY=VALUE" in capsys.readouterr().err


def test_a_model_of_70_b_is_planned_without_torch_once_its_configuration_was_read() -> None:
    path = str(SCENARIOS / "private_prompts_70b.yaml")
    assert read_architecture("llama-3-70b").params > 70e9
    script = (
        f"import sys; from workbench.cli import main; assert main(['plan', {path!r}]) == 0; "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "llama-3-70b" in done.stdout


def test_architectures_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["architectures"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert {row.split()[0] for row in rows} == set(architectures())
    assert cli.main(["architectures", "llama-3-8b", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["llama-3-8b"]
    assert profiles.ModelProfile.from_dict(found) == read_architecture("llama-3-8b")
    assert cli.main(["architectures", "llama-3-8bb"]) == 2
    assert "Did you mean 'llama-3-8b'" in capsys.readouterr().err
