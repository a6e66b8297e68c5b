"""A setting is run as it says, one at a time, and stops when it is told to."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import workbench as wb
from tests.exploration.conftest import make_setting
from workbench.cache import cache_folder
from workbench.errors import CancelledRunError, DoesNotFitError, LinkError, PromptError
from workbench.exploration import Setting, measure, netem_missing, prompt_of
from workbench.exploration.measure import turn
from workbench.models import Model


@pytest.fixture(scope="module")
def posed() -> Setting:
    """Devices that any host can pose as: the wall clock."""
    slow = replace(wb.device("raspberry-pi-5"), name="slow", block_overhead_s=0.02)
    link = wb.LinkProfile(rtt_s=0.02, uplink_bps=10e6, downlink_bps=20e6)
    return make_setting(edge=slow, cloud=slow, link=link, prompt_tokens=33, new_tokens=5, batch=2)


def test_a_run_is_of_just_that_request(model: Model, posed: Setting) -> None:
    stages: list[str] = []
    pieces: list[str] = []
    run = measure(model, posed, on_stage=stages.append, on_token=pieces.append)
    assert (run.measured.prompt_tokens, run.measured.n_tokens, run.measured.batch) == (33, 5, 2)
    assert (run.measured.label, run.measured.clock) == ("measured", "wall")
    assert run.predicted.bytes_up == run.measured.bytes_up
    assert run.predicted.bytes_down == run.measured.bytes_down
    assert "".join(pieces) == run.measured.text
    assert stages[-1] == "running on the wall clock"
    assert run.setting == replace(posed, link_kind="proxy")
    assert run.predicted == wb.predict(
        posed.plan, posed.edge, posed.cloud, posed.link, model=model, link_kind="proxy", **posed.request
    )


def test_a_prompt_of_ones_own_counts_with_its_own_length(model: Model, posed: Setting) -> None:
    run = measure(model, replace(posed, batch=1), prompt="def read(")
    assert run.setting.prompt_tokens == run.measured.prompt_tokens < 33


@pytest.mark.parametrize("delay_s", [0.0, 0.2, 1.0])
def test_a_stop_at_any_time_leaves_no_process(model: Model, posed: Setting, delay_s: float) -> None:
    before, stop = psutil.Process().children(recursive=True), threading.Event()
    threading.Timer(delay_s, stop.set).start()
    with pytest.raises(CancelledRunError):
        measure(model, replace(posed, new_tokens=500), stop=stop)
    assert psutil.Process().children(recursive=True) == before


def test_what_does_not_fit_is_refused(model: Model, posed: Setting) -> None:
    small = replace(posed.edge, memory_bytes=100_000)
    with pytest.raises(DoesNotFitError, match="edge needs"):
        measure(model, replace(posed, edge=small))


@pytest.mark.skipif(not netem_missing(), reason="this machine can make netem links")
def test_predicted_as_netem_it_runs_over_netem_or_not_at_all(model: Model, posed: Setting) -> None:
    with pytest.raises(LinkError, match="proxy"):
        measure(model, replace(posed, link_kind="netem"))


@pytest.mark.parametrize("n", [1, 2, 64, 700])
def test_a_prompt_has_exactly_the_tokens_asked_for(model: Model, n: int) -> None:
    text = prompt_of(model, n)
    assert len(model.tokenizer(text)["input_ids"]) == n


def test_a_length_that_no_prose_has_is_refused(model: Model) -> None:
    with pytest.raises(PromptError, match="another length"):
        prompt_of(model, 10_000_000)


_HOLD = """
import threading, time
from workbench.exploration.measure import turn
with turn(threading.Event()):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_never_measure_at_once_and_a_dead_one_gives_its_turn_away() -> None:
    waited: list[bool] = []
    with subprocess.Popen([sys.executable, "-c", _HOLD], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(CancelledRunError, match="waiting"), turn(stop, lambda: waited.append(True)):
            pass
        assert waited == [True]
        other.kill()
        with turn(threading.Event()):
            pass


def test_a_cache_that_cannot_be_written_takes_no_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file"))
    assert cache_folder().is_file()
    with turn(threading.Event()):
        assert time.monotonic() > 0
