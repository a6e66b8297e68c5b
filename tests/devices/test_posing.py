"""Which share of a host poses as a device, and what cannot."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.control_groups import stage
from workbench import devices
from workbench.devices import (
    AffinityThrottle,
    CgroupThrottle,
    DilationThrottle,
    GpuMemoryThrottle,
    apply_options,
    make_throttle,
    usable_cores,
)
from workbench.errors import ThrottleError, UnknownNameError
from workbench.profiles import DeviceProfile, device

PI, H100 = device("raspberry-pi-5"), device("h100-sxm")


def _host(times: float) -> DeviceProfile:
    """A host whose one core does as much as ``times`` Raspberry Pis."""
    flops = times * PI.flops_at(16) * PI.flops_efficiency
    return replace(PI, name="host", kind="host", flops={16: flops}, flops_efficiency=1.0)


def test_dilation_needs_to_know_nothing() -> None:
    assert isinstance(make_throttle("dilation", PI), DilationThrottle)


def test_a_quota_is_the_ratio_of_the_compute() -> None:
    throttle = make_throttle("cgroup", PI, _host(4), threads=1)
    assert isinstance(throttle, CgroupThrottle)
    assert throttle.threads == 1
    assert throttle._quota_us / throttle._period_us == pytest.approx(0.25)
    assert throttle._memory_bytes == PI.memory_bytes // 4096 * 4096


def test_a_host_measured_with_all_its_cores_gives_a_share_of_them() -> None:
    throttle = make_throttle("cgroup", PI, _host(4))
    assert throttle._quota_us / throttle._period_us == pytest.approx(usable_cores() / 4)  # type: ignore[attr-defined]


def test_affinity_gives_whole_cores_or_says_so() -> None:
    throttle = make_throttle("affinity", PI, _host(1.05), threads=1)
    assert isinstance(throttle, AffinityThrottle)
    assert throttle.threads == 1
    with pytest.raises(ThrottleError, match="throttle='cgroup'"):
        make_throttle("affinity", PI, _host(4), threads=1)


@pytest.mark.parametrize("kind", ["cgroup", "affinity"])
def test_a_device_faster_than_the_host_is_told_with_the_way_out(kind: str) -> None:
    with pytest.raises(ThrottleError, match=r"h100-sxm.*clock='virtual'"):
        make_throttle(kind, H100, _host(4))


@pytest.mark.parametrize("kind", ["cgroup", "affinity", "gpu-memory"])
def test_a_host_that_was_not_measured_is_told(kind: str) -> None:
    with pytest.raises(ThrottleError, match=r"wb\.device\('host'\)"):
        make_throttle(kind, PI)


def test_a_share_of_a_card() -> None:
    throttle = make_throttle("gpu-memory", device("jetson-orin-nano"), H100)
    assert isinstance(throttle, GpuMemoryThrottle)
    assert throttle.options() == {"gpu_memory_fraction": pytest.approx(6.5 / 79)}
    with pytest.raises(ThrottleError, match="more than rtx-4090"):
        make_throttle("gpu-memory", H100, device("rtx-4090"))
    with pytest.raises(ThrottleError, match="says nothing of its GPU"):
        make_throttle("gpu-memory", PI, _host(4))


def test_an_unknown_throttle_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'cgroup'"):
        make_throttle("cgroups", PI, _host(4))


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1, float("nan")])
def test_a_share_that_cannot_be(fraction: float) -> None:
    with pytest.raises(ThrottleError, match="above 0 and at most 1"):
        GpuMemoryThrottle(fraction)


def test_what_the_process_reports_has_to_be_what_was_asked_for() -> None:
    throttle = GpuMemoryThrottle(0.25)
    throttle.confirm({"gpu_memory_fraction": 0.25 - 1e-9})  # whole bytes
    assert throttle.settings["gpu_memory_fraction"] == pytest.approx(0.25)
    for wrong in ({}, {"gpu_memory_fraction": 0.5}):
        with pytest.raises(ThrottleError, match="asked for"):
            throttle.confirm(wrong)


def test_options_that_a_process_cannot_set() -> None:
    assert apply_options({}) == {}
    with pytest.raises(ThrottleError, match="cannot set"):
        apply_options({"voltage": 1.0})


def test_without_a_card_a_share_of_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ThrottleError, match="throttle='cgroup'"):
        apply_options({"gpu_memory_fraction": 0.5})


@pytest.mark.gpu
def test_a_card_keeps_to_its_share() -> None:
    import torch

    throttle = GpuMemoryThrottle(0.05)
    try:
        throttle.confirm(apply_options(throttle.options()))
        total = torch.cuda.get_device_properties(0).total_memory
        torch.empty(int(0.02 * total), dtype=torch.uint8, device="cuda")
        with pytest.raises(torch.cuda.OutOfMemoryError):
            torch.empty(int(0.1 * total), dtype=torch.uint8, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("cpus", [0, -1, 10_000, (), (10_000,)])
def test_cores_that_cannot_be(cpus: int | tuple[int, ...]) -> None:
    with pytest.raises(ThrottleError, match="this process may use cores"):
        AffinityThrottle(cpus)


def test_threads_of_a_process_that_runs_already_move_too() -> None:
    threads = "import sys, threading\nfor _ in range(5): threading.Thread(target=sys.stdin.read).start()"
    core = max(os.sched_getaffinity(0))
    with stage(threads + "\nprint('up', flush=True)") as process, AffinityThrottle([core]) as throttle:
        assert process.stdout is not None
        process.stdout.readline()
        throttle.hold(process.pid)
        tasks = [int(path.name) for path in Path(f"/proc/{process.pid}/task").iterdir()]
        assert len(tasks) > 1
        assert all(os.sched_getaffinity(task) == {core} for task in tasks)


def test_threads_keep_to_what_a_throttle_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.devices import threads

    monkeypatch.setattr(threads, "usable_cores", lambda: 8)

    class _Model:
        hidden = 2048

    assert devices.threads_for(_Model()) == 8  # type: ignore[arg-type]
    assert devices.threads_for(_Model(), most=3) == 3  # type: ignore[arg-type]
