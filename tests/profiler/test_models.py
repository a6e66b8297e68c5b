"""A model measured block by block: once per width, kept, read back, and used where this host is a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from torch import Tensor

from tests.profiles.tables import FACTS, table_of
from workbench import deployment, profiles
from workbench.errors import ThrottleError
from workbench.models import Model
from workbench.models.slice import StageModel
from workbench.plan import EDGE, Stage
from workbench.profiler import circumstances, kept_times, measure_model, models, passes, process
from workbench.profiler.repeat import quantile, repeat, spread

HOST = replace(profiles.device("raspberry-pi-5"), name="host", kind="host", message_overhead_s=0.0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """What the measuring process was asked for, without the seconds that it takes."""
    widths: list[list[int]] = []

    def ask(task: str, model: Model, bits: Any, budget_s: float, on_step: Any) -> dict[str, Any]:
        widths.append(sorted(bits))
        table = table_of(model.n_blocks, lambda block, *shape: 1e-3 * (block + 1) * shape[0] * shape[2])
        return {"widths": {str(b): asdict(table) for b in bits}, "notes": [], "cpu_share": FACTS.cpu_share}

    monkeypatch.setattr(models, "ask", ask)
    return widths


def test_each_width_is_measured_once(model: Model, asked: list[list[int]]) -> None:
    first = measure_model(model, bits=(16, 8))
    assert measure_model(model, bits=(8, 4)).times_on("host", 8) == first.times_on("host", 8)
    assert asked == [[8, 16], [4]]
    every = kept_times(model.profile)
    assert [every.times_on("host", b) is not None for b in (32, 16, 8, 4)] == [False, True, True, True]
    assert every.times[0].host.processor == circumstances.processor()
    measure_model(model, bits=(16,), again=True)
    assert asked[-1] == [16]


def test_what_was_measured_at_once_is_one_record(model: Model, asked: list[list[int]]) -> None:
    (times,) = measure_model(model, bits=(16, 8, 4)).times
    assert list(times.widths) == [16, 8, 4]


def test_what_was_measured_beside_others_says_so_and_is_soon_measured_again(
    model: Model, asked: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circumstances, "_QUIET", 2.0)  # nothing is that quiet
    (times,) = measure_model(model, bits=(16,)).times
    assert "beside other programs" in times.notes[0]
    measure_model(model, bits=(16,))
    assert len(asked) == 1
    monkeypatch.setattr(circumstances.time, "time", lambda: 1e12)  # long after
    assert kept_times(model.profile).times == ()
    measure_model(model, bits=(16,))
    assert len(asked) == 2


def test_a_prediction_for_this_host_uses_what_is_kept(model: Model, asked: list[list[int]]) -> None:
    plan = deployment.split(model, at=2)
    cloud, link = profiles.device("h100-sxm"), profiles.link("lte")
    before = deployment.predict(plan, HOST, cloud, link, model=model)
    measured = measure_model(model, bits=(16,))
    after = deployment.predict(plan, HOST, cloud, link, model=model)
    assert after == deployment.predict(plan, HOST, cloud, link, model=measured)
    table = measured.times_on("host", 16)
    assert table is not None
    expected = sum(table.blocks_s(64)[:2]) + table.embedding_s(64) + table.overhead_s
    assert after.seconds_by(phase="prefill")["edge", "compute"] == pytest.approx(expected)
    assert before.seconds_by(phase="prefill")["edge", "compute"] != pytest.approx(expected)


def test_another_device_asks_for_nothing(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "read_cached", lambda *_: pytest.fail("it was looked for"))
    device = profiles.device("raspberry-pi-5")
    assert deployment.profile_for(model, [device, replace(device, kind="host")]) is model.profile


def test_nothing_is_kept_of_a_model_that_nobody_can_name(model: Model, asked: list[list[int]]) -> None:
    measure_model(model, bits=(16,))
    nameless = replace(model.profile, config_key="")
    assert kept_times(nameless) is nameless


@pytest.mark.slow
def test_a_model_is_measured_for_real(model: Model) -> None:
    steps: list[str] = []
    profile = measure_model(model, bits=(16,), budget_s=2.0, on_step=steps.append)
    assert any("16 bits" in step for step in steps)
    table = profile.times_on("host", 16)
    assert table is not None
    assert table.n_blocks == 4
    assert {p.batch for p in table.passes} == {1, 4}
    assert table.overhead_s > 0
    for measured in table.passes:
        parts_s = sum(measured.blocks_s) + measured.embedding_s + measured.head_s
        assert min(*measured.blocks_s, measured.embedding_s, measured.head_s) > 0
        assert parts_s < 3 * measured.total_s  # beside other programs too


@pytest.mark.slow
def test_a_process_that_dies_is_reported(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.sys, "executable", "/bin/false")
    with pytest.raises(ThrottleError, match="failed"):
        measure_model(model, bits=(16,))


def test_repetitions_are_counted_and_warmed_up() -> None:
    calls: list[int] = []

    def once() -> tuple[float, float]:
        calls.append(1)
        return float(len(calls)), 0.0

    assert repeat(once, 0.0, least=3, warm_ups=2) == [[3.0, 4.0, 5.0], [0.0] * 3]
    assert len(repeat(once, 10.0, most=7)[0]) <= 7


def test_the_spread_is_half_of_what_lies_between_the_tenths() -> None:
    seconds = [float(n) for n in range(1, 12)]
    assert (quantile(seconds, 0.1), quantile(seconds, 0.9)) == (2.0, 10.0)
    assert spread(seconds) == pytest.approx(4 / 6)
    assert spread([2.0]) == 0.0


def test_one_slow_first_pass_leaves_no_length_out(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model.load_stage(Stage(EDGE, 0, model.n_blocks, embedding=True, head=True))
    real, slow_s = passes.prompt, 5.0

    def first_is_slow(stage: StageModel, inputs: Tensor) -> Callable[[], float]:
        run, seconds = real(stage, inputs), iter([slow_s])
        return lambda: next(seconds, None) or run()

    monkeypatch.setattr(passes, "prompt", first_is_slow)
    monkeypatch.setattr(passes, "_LENGTHS", {1: (1, 4, 16, 64)})
    assert list(passes._prompts(model, whole, slow_s / 2)) == [(t, 0, 1) for t in (1, 4, 16, 64)]
