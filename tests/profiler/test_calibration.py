"""Calibration of this host for real: measured once, kept, and honest about failures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench import profiler
from workbench.cost import StageCost, predict
from workbench.errors import CheckpointError, ThrottleError
from workbench.models import Model, load_model
from workbench.plan import CLOUD, EDGE, Partition, Plan, Stage
from workbench.profiler import circumstances, process
from workbench.profiles import link

pytestmark = pytest.mark.slow  # a process that imports torch, several times


def test_this_host_is_measured_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    host = profiler.calibrate_host(model, bits=(16,), budget_s=0.5, on_step=steps.append)
    assert any("16 bits" in step for step in steps)
    assert (host.name, host.kind) == ("host", "host")
    assert host.kernels[16].block_overhead_s >= 0
    assert min(host.encode_s, host.sample_s, host.tokenize_s_per_token) > 0
    assert min(host.message_overhead_s, host.stream_overhead_s, host.request_overhead_s) >= 0
    assert StageCost.of(model.profile, Stage(EDGE, 0, 2, embedding=True), host).step_s(1, 8) > 0

    def not_again(*args: Any, **options: Any) -> None:
        raise AssertionError("it was measured again")

    monkeypatch.setattr(process.subprocess, "Popen", not_again)
    assert profiler.calibrate_host(model, bits=(16,), budget_s=0.5) == host
    plan = Plan.of(model.name, Partition.split(4, 2))
    trace = predict(plan, model.profile, {EDGE: host, CLOUD: host}, link("lte"), new_tokens=4)
    assert trace.seconds_by()["cloud", "sample"] == pytest.approx(4 * host.sample_s)


def test_what_was_measured_beside_others_is_measured_again(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circumstances.time, "time", lambda: 1e12)  # long after
    monkeypatch.setattr(circumstances, "_QUIET", 2.0)  # nothing is that quiet
    first = profiler.calibrate_host(model, bits=(32,), budget_s=0.2, again=True)
    assert profiler.calibrate_host(model, bits=(32,)) == first
    monkeypatch.setattr(circumstances.time, "time", lambda: 2e12)
    monkeypatch.setattr(process.sys, "executable", "/bin/false")
    with pytest.raises(ThrottleError):
        profiler.calibrate_host(model, bits=(32,))


def test_a_broken_model_fails_as_itself(model: Model, tmp_path: Path) -> None:
    for path in model.source.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    broken = load_model(tmp_path)
    assert broken.fingerprint  # known before the file is damaged
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError):
        profiler.calibrate_host(broken, bits=(16,), budget_s=0.1, again=True)


def test_a_process_that_dies_is_reported(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.sys, "executable", "/bin/false")
    with pytest.raises(ThrottleError, match="failed"):
        profiler.calibrate_host(model, bits=(16,), again=True)
