"""Two processes, a shaped link, a real run: what a notebook holds."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import psutil
import pytest

import workbench as wb
from tests.control_groups import version_here
from workbench.devices import AffinityThrottle, CgroupThrottle
from workbench.errors import (
    CancelledRunError,
    DoesNotFitError,
    LinkError,
    PeerLostError,
    PlanError,
    ThrottleError,
)
from workbench.links import LinkTrace, Tolerance
from workbench.models import Model
from workbench.plan import Partition, Plan, Stage

PROMPT = "def read("
FULL_LENGTH = wb.Sampling(ignore_eos=True)


@pytest.fixture(scope="module")
def model() -> Model:
    return wb.load_model("tiny")


@pytest.fixture(scope="module")
def slow(model: Model) -> wb.DeviceProfile:
    """A device that any host can pose as."""
    return replace(wb.device("raspberry-pi-5"), name="slow", block_overhead_s=0.02)


LINK = wb.LinkProfile(rtt_s=0.04, uplink_bps=10e6, downlink_bps=20e6)


def test_a_split_runs_on_the_wall_clock_over_a_shaped_link(
    gone: Callable[[int], bool], model: Model, slow: wb.DeviceProfile
) -> None:
    plan = wb.split(model, at=3, edge_bits=32, cloud_bits=32, wire="fp32")
    pieces: list[str] = []
    with wb.deploy(plan, slow, slow, LINK) as run:
        pids = run.pids
        assert len(set(pids) | {os.getpid()}) == 3
        trace = run.generate(PROMPT, max_new_tokens=5, sampling=FULL_LENGTH, on_token=pieces.append)
        predicted = run.predict_same(trace)
    assert (trace.clock, trace.label, trace.facts["link kind"]) == ("wall", "measured", "proxy")
    assert "".join(pieces) == trace.text
    # a device's time and a link's delay can only be waited for, never skipped
    assert trace.tpot_s >= model.n_blocks * slow.block_overhead_s + LINK.rtt_s
    assert (trace.bytes_up, trace.bytes_down) == (predicted.bytes_up, predicted.bytes_down)
    assert predicted.label == "modelled"
    assert all(gone(pid) for pid in pids)
    with wb.deploy(wb.edge_only(model, bits=32), slow, slow, LINK) as run:
        assert run.generate(PROMPT, max_new_tokens=5, sampling=FULL_LENGTH).token_ids == trace.token_ids


def test_a_host_that_is_too_slow_uses_the_virtual_clock_and_says_so(model: Model) -> None:
    fast = replace(wb.device("h100-sxm"), block_overhead_s=0.0, forward_overhead_s=0.0)
    plan = wb.split(model, at=3)
    with wb.deploy(plan, wb.device("raspberry-pi-5"), fast, wb.link("lte")) as run:
        trace = run.generate(PROMPT, max_new_tokens=4, sampling=FULL_LENGTH)
        predicted = run.predict_same(trace)
    assert (trace.clock, trace.label, trace.bytes_label) == ("virtual", "modelled", "measured")
    assert any("slower than h100-sxm" in note for note in trace.notes)
    assert trace.total_s == pytest.approx(predicted.total_s, rel=1e-3)
    with pytest.raises(ThrottleError, match="pose as both devices"):
        wb.deploy(plan, wb.device("raspberry-pi-5"), fast, wb.link("lte"), clock="wall")


def test_a_stage_that_does_not_fit_is_refused_before_anything_starts(model: Model) -> None:
    small = replace(wb.device("raspberry-pi-5"), memory_bytes=100_000)
    before = psutil.Process().children()
    with pytest.raises(DoesNotFitError, match="edge"):
        wb.deploy(wb.split(model, at=4), small, wb.device("h100-sxm"), LINK)
    with pytest.raises(DoesNotFitError, match="edge"):
        wb.predict(wb.split(model, at=4), small, wb.device("h100-sxm"), LINK)
    assert psutil.Process().children() == before


def test_a_place_beyond_edge_and_cloud_is_refused(model: Model, slow: wb.DeviceProfile) -> None:
    n = model.n_blocks
    chain = Partition(
        n, (Stage("edge", 0, 2, embedding=True), Stage("fog", 2, 4), Stage("cloud", 4, n, head=True))
    )
    with pytest.raises(PlanError, match="fog"):
        wb.deploy(Plan.of("tiny", chain), slow, slow, LINK)
    with pytest.raises(PlanError, match="clock 'sundial'"):
        wb.deploy(wb.split(model, at=3), slow, slow, LINK, clock="sundial")


def test_cancel_from_another_thread_ends_a_run_and_the_next_one_works(
    model: Model, slow: wb.DeviceProfile
) -> None:
    with wb.deploy(wb.split(model, at=3), slow, slow, LINK) as run:
        timer = threading.Timer(0.5, run.cancel)
        timer.start()
        started = time.monotonic()
        with pytest.raises(CancelledRunError):
            run.generate(PROMPT, max_new_tokens=500, sampling=FULL_LENGTH)
        assert time.monotonic() - started < 30
        assert run.generate(PROMPT, max_new_tokens=2, sampling=FULL_LENGTH).n_tokens == 2


def test_a_stop_while_the_sides_start_leaves_nothing_of_them(model: Model, slow: wb.DeviceProfile) -> None:
    before, stop = psutil.Process().children(recursive=True), threading.Event()
    threading.Timer(0.5, stop.set).start()
    started = time.monotonic()
    with pytest.raises(CancelledRunError, match="before the request"):
        wb.deploy(wb.split(model, at=3), slow, slow, LINK, stop=stop)
    assert time.monotonic() - started < 30
    assert psutil.Process().children(recursive=True) == before


def test_a_stop_ends_a_run_and_where_a_step_is_long_both_sides_too(
    gone: Callable[[int], bool], model: Model, slow: wb.DeviceProfile
) -> None:
    hour = replace(slow, block_overhead_s=3600.0)
    for device, stands in ((slow, True), (hour, False)):
        with wb.deploy(wb.split(model, at=3), device, device, LINK) as run:
            pids, stop = run.pids, threading.Event()
            threading.Timer(0.3, stop.set).start()
            with pytest.raises(CancelledRunError, match="stopped"):
                run.generate(PROMPT, max_new_tokens=500, sampling=FULL_LENGTH, stop=stop)
            if stands:
                assert run.generate(PROMPT, max_new_tokens=2, sampling=FULL_LENGTH).n_tokens == 2
            else:
                assert all(gone(pid) for pid in pids)


def test_a_side_that_dies_in_a_run_is_an_error_that_says_so(
    gone: Callable[[int], bool], model: Model, slow: wb.DeviceProfile
) -> None:
    with wb.deploy(wb.split(model, at=3), slow, slow, LINK) as run:
        pids = run.pids
        threading.Timer(0.5, os.kill, (pids[0], signal.SIGKILL)).start()
        with pytest.raises(PeerLostError):
            run.generate(PROMPT, max_new_tokens=500, sampling=FULL_LENGTH)
    assert all(gone(pid) for pid in pids)


def test_ctrl_c_and_a_killed_notebook_leave_no_process(gone: Callable[[int], bool]) -> None:
    script = textwrap.dedent("""
        import workbench as wb
        from dataclasses import replace
        slow = replace(wb.device("raspberry-pi-5"), block_overhead_s=0.02)
        link = wb.LinkProfile(rtt_s=0.04, uplink_bps=10e6, downlink_bps=20e6)
        with wb.deploy(wb.split(wb.load_model("tiny"), at=3), slow, slow, link) as run:
            print(*run.pids, flush=True)
            run.generate("def", max_new_tokens=500, sampling=wb.Sampling(ignore_eos=True))
    """)
    for end in (signal.SIGINT, signal.SIGKILL):
        command = [sys.executable, "-c", script]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as notebook:
            assert notebook.stdout is not None
            pids = [int(pid) for pid in notebook.stdout.readline().split()]
            family = [p.pid for p in psutil.Process(notebook.pid).children(recursive=True)]
            assert set(pids) <= set(family)
            time.sleep(0.5)
            notebook.send_signal(end)
            notebook.wait(30)
        assert all(gone(pid) for pid in family)


# ---- what holds the host, and what shapes the path


@pytest.mark.skipif(not version_here(), reason="no control group may be made here: see `workbench doctor`")
def test_a_memory_limit_ends_a_stage_and_says_so(model: Model, slow: wb.DeviceProfile) -> None:
    throttle = {"edge": CgroupThrottle(1.0, 64 * 2**20)}
    with pytest.raises(ThrottleError, match=r"edge_worker process was ended.*memory limit of 64.0 MiB"):
        wb.deploy(wb.split(model, at=4), slow, slow, LINK, model=model, throttle=throttle)


def test_a_throttle_of_ones_own_leaves_the_time_as_measured(model: Model, slow: wb.DeviceProfile) -> None:
    plan, throttle = wb.split(model, at=4), AffinityThrottle(1)
    with wb.deploy(plan, slow, slow, LINK, model=model, throttle={"edge": throttle}) as run:
        trace = run.generate("def", max_new_tokens=2)
        assert throttle.settings
    assert (trace.facts["edge throttle"], trace.clock) == ("affinity", "wall")
    assert trace.label == "measured"


def test_a_throttle_for_nobody_is_refused(model: Model, slow: wb.DeviceProfile) -> None:
    with pytest.raises(ThrottleError, match="no place \\['moon'\\]"):
        wb.deploy(wb.split(model, at=4), slow, slow, LINK, model=model, throttle={"moon": "dilation"})


def test_a_path_changes_while_it_is_used(model: Model, slow: wb.DeviceProfile) -> None:
    with wb.deploy(wb.split(model, at=4), slow, slow, LINK, model=model, clock="wall") as run:
        run.follow(LinkTrace.outage(0.0, 0.4))
        trace = run.generate("def", max_new_tokens=2)
        assert trace.ttft_s >= 0.35
        assert run.verify_link(Tolerance(rtt_share=5, rate_share=0.9, seconds=0.1)).kind == "proxy"


def test_where_nothing_crosses_there_is_no_path(model: Model, slow: wb.DeviceProfile) -> None:
    with (
        wb.deploy(wb.edge_only(model), slow, slow, LINK, model=model) as run,
        pytest.raises(LinkError, match="no path to shape"),
    ):
        run.follow(LinkTrace.outage(0.0, 1.0))


@pytest.mark.netem
@pytest.mark.slow
def test_a_request_over_the_kernels_path_pays_for_it(model: Model, slow: wb.DeviceProfile) -> None:
    slow = replace(slow, flops={16: 2e10})  # a system call takes long where this may run
    link = wb.LinkProfile(0.1, 2e6, 4e6, name="slow path")
    plan = wb.split(model, at=4)
    with wb.deploy(plan, slow, slow, link, model=model, link_kind="netem", clock="wall") as run:
        trace = run.generate("def read(", max_new_tokens=4)
        predicted = run.predict_same(trace)
    assert trace.facts["link kind"] == "netem"
    assert trace.label == "measured"
    assert trace.ttft_s >= 0.99 * predicted.ttft_s
    assert trace.tpot_s >= 0.99 * predicted.tpot_s
