"""``workbench devices`` and ``workbench links``."""

from __future__ import annotations

import json

import pytest

from workbench import cli, profiles
from workbench.links import link_traces


@pytest.mark.parametrize(
    ("command", "known"), [("devices", profiles.device_profiles), ("links", profiles.link_profiles)]
)
def test_the_list_has_every_profile(command: str, known: object, capsys: pytest.CaptureFixture[str]) -> None:
    names = set(known())  # type: ignore[operator]
    assert names
    assert cli.main([command]) == 0
    rows = capsys.readouterr().out.partition("\n\n")[0].splitlines()[2:]
    assert {row.split()[0] for row in rows} == names
    assert cli.main([command, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == names


def test_one_profile_comes_with_its_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["devices", "raspberry-pi-5"]) == 0
    text = capsys.readouterr().out
    assert "17,100,000,000" in text
    assert "published" in text


def test_json_of_one_profile_can_be_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["links", "lte", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert profiles.LinkProfile.from_dict(data) == profiles.link("lte")


def test_an_unknown_name_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["devices", "raspberry-pi-6"]) == 2
    assert "did you mean 'raspberry-pi-5'?" in capsys.readouterr().err


def test_the_list_of_links_has_every_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["links"]) == 0
    traces = capsys.readouterr().out.partition("\n\n")[2].splitlines()[2:]
    assert {row.split()[0] for row in traces} == set(link_traces())
