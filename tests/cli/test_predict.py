"""``workbench predict`` and ``workbench models``, on the shipped model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench import cli, profiles
from workbench.plan import Plan
from workbench.trace import RequestTrace

SIDES = ("--edge", "raspberry-pi-5", "--cloud", "h100-sxm", "--link", "lte")


def _json(capsys: pytest.CaptureFixture[str], *options: str) -> dict:
    assert cli.main(["predict", *SIDES, "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_one_split_stands_beside_both_baselines(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", "--split", "3", *SIDES]) == 0
    text = capsys.readouterr().out
    header = next(line for line in text.splitlines() if "label" in line)
    assert header.split("  ")[-1].strip() == "label"
    assert all(title in header for title in ("split at 3", "edge-only", "cloud-only"))
    assert "modelled" in text
    assert "split" in text.splitlines()[-1].lower()


def test_json_holds_plans_and_traces_that_can_be_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, "--split", "3", "--new-tokens", "5")
    assert found["chosen"] == "split at 3"
    assert set(found["plans"]) == {"split at 3", "edge-only", "cloud-only"}
    for entry in found["plans"].values():
        Plan.from_dict(entry["plan"])
        assert RequestTrace.from_dict(entry["trace"]).n_tokens == 5


def test_no_split_means_every_split(capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys)
    splits = [title for title in found["plans"] if title.startswith("split at")]
    assert len(splits) == Plan.from_dict(found["plans"]["edge-only"]["plan"]).partition.n_blocks + 1
    assert cli.main(["predict", *SIDES]) == 0
    rows = capsys.readouterr().out
    assert all(title in rows for title in splits)


@pytest.mark.parametrize(
    ("options", "places"),
    [
        (["--edge-only"], ["edge"]),
        (["--cloud-only"], ["cloud"]),
        (["--split", "2,5"], ["edge", "cloud", "edge"]),
    ],
)
def test_every_shape_of_plan(
    options: list[str], places: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = _json(capsys, *options, "--edge-bits", "4", "--wire", "int8")
    stages = found["plans"][found["chosen"]]["plan"]["features"]["default"]["partition"]["stages"]
    assert [stage["place"] for stage in stages] == places


def test_a_link_may_be_changed_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--rtt-ms", "500", "--up-mbps", "2", "--down-mbps", "3", "--loss-percent", "1")
    link = _json(capsys, "--split", "3", *options)["link"]
    assert (link["rtt_s"], link["uplink_bps"], link["downlink_bps"], link["loss"]) == (0.5, 2e6, 3e6, 0.01)
    assert link["jitter_s"] == profiles.link("lte").jitter_s


def test_profiles_may_come_from_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    device, link = tmp_path / "my-board.json", tmp_path / "my-link.json"
    data = profiles.device("raspberry-pi-5").to_dict() | {"title": "my board"}
    device.write_text(json.dumps({k: v for k, v in data.items() if k != "name"}))
    link.write_text(json.dumps({"rtt_s": 0.01, "uplink_bps": 1e6, "downlink_bps": 1e6}))
    assert cli.main(["predict", "--split", "3", "--edge", str(device), "--link", str(link), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["edge"]["title"], found["link"]["name"]) == ("my board", "my-link")


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["--split", "99"], 2, "out of range"),
        (["--split", "5,2"], 2, "out of range"),
        (["--split", "3", "--model", "tinny"], 2, "did you mean 'tiny'"),
        (["--split", "3", "--edge", "raspberry-pi-6"], 2, "did you mean 'raspberry-pi-5'"),
        (["--split", "3", "--link", "lteee"], 2, "did you mean 'lte'"),
        (["--split", "3", "--edge", "nowhere.json"], 2, "cannot be read"),
        (["--split", "3", "--loss-percent", "100"], 2, "below 1"),
        (["--split", "3", "--rtt-ms", "-1"], 2, "not negative"),
    ],
)
def test_bad_input_is_one_line(
    options: list[str], code: int, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["predict", *options]) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert reason in error


def test_what_does_not_fit_is_code_3(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    small = profiles.device("raspberry-pi-5").to_dict() | {"memory_bytes": 1_000_000}
    path = tmp_path / "small.json"
    path.write_text(json.dumps(small))
    assert cli.main(["predict", "--split", "7", "--edge", str(path)]) == 3
    assert "edge needs" in capsys.readouterr().err
    assert cli.main(["predict", "--cloud-only", "--edge", str(path)]) == 0
    assert "edge-only cannot be" in capsys.readouterr().out
    assert cli.main(["predict", "--edge", str(path)]) == 0
    assert "does not fit" in capsys.readouterr().out


def test_models_are_listed_with_their_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == 0
    assert "LlamaForCausalLM" in capsys.readouterr().out
    assert cli.main(["models", "tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tiny"]["n_blocks"] >= 8
