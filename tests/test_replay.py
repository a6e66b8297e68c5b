"""Plans of several features at work: who answers, what waits, what is refused."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

import workbench as wb
from workbench.deployment.plan_files import read_plan
from workbench.errors import (
    AdapterError,
    BoundError,
    DoesNotFitError,
    InputError,
    OfflineError,
    PeerLostError,
    PlanError,
    UnknownNameError,
)
from workbench.plan import CLOUD, DEFAULT_FEATURE, EDGE, QUEUE, Bound, Partition, Placement, Plan
from workbench.routing import Cascade, EdgeOnly, Hybrid, Outages, Request, Tagged, Workload

LINK = wb.LinkProfile(rtt_s=0.04, uplink_bps=10e6, downlink_bps=20e6)
SMALL = Placement(Partition.unsplit(4, EDGE), model="tiny@4")
PLAN = Plan(
    "tiny",
    {
        DEFAULT_FEATURE: Placement(Partition.unsplit(8, CLOUD), fallback="small"),
        "small": SMALL,
        "sort": SMALL,
        "copy": Placement(Partition.split(8, 3), "fp32", fallback=QUEUE),
        "recall": Placement(Partition.unsplit(8, CLOUD)),
    },
    (Bound("name", EDGE),),
)
SORT = Request("sort: q c a =", "sort", 8, answer="a c q")
COPY = Request("copy: q c a =", "copy", 8, answer="q c a")
RECALL = Request("recall: q C a B ; a", "recall", 4, answer="B")


@pytest.fixture(scope="module")
def slow() -> wb.DeviceProfile:
    """A device that any host can pose as."""
    return replace(wb.device("raspberry-pi-5"), name="slow", block_overhead_s=0.02)


@pytest.fixture(scope="module")
def virtual() -> Iterator[wb.Deployment]:
    devices = wb.device("raspberry-pi-5"), wb.device("h100-sxm")
    with wb.deploy(PLAN, *devices, LINK, clock="virtual", slots=2) as run:
        yield run


@pytest.fixture(scope="module")
def wall(slow: wb.DeviceProfile) -> Iterator[wb.Deployment]:
    with wb.deploy(PLAN, slow, slow, LINK, slots=3) as run:
        assert run.clock == "wall"
        yield run


def test_each_feature_is_answered_where_the_plan_places_it(virtual: wb.Deployment) -> None:
    for request, places in ((SORT, {EDGE}), (RECALL, {EDGE, CLOUD, "link"})):
        served = virtual.ask(request, Tagged())
        assert served.trace is not None
        assert {span.place for span in served.trace.spans} <= places
        assert (served.outcome, served.on_edge) == ("as routed", places == {EDGE})
        assert served.trace.facts["feature"] == request.feature
        assert served.trace.facts["policy"] == "tagged"
        assert served.where_made[0] == (EDGE if served.on_edge else CLOUD)
    copied = virtual.ask(COPY, Tagged())
    assert copied.right
    assert copied.trace is not None
    assert copied.trace.bytes_up > 0


def test_a_feature_runs_as_a_deployment_of_it_alone_would(virtual: wb.Deployment) -> None:
    sampling = wb.Sampling(ignore_eos=True)
    text = virtual.generate(COPY.prompt, max_new_tokens=6, sampling=sampling, feature="copy")
    devices = wb.device("raspberry-pi-5"), wb.device("h100-sxm")
    with wb.deploy(PLAN, *devices, LINK, clock="virtual", feature="copy") as alone:
        same = alone.generate(COPY.prompt, max_new_tokens=6, sampling=sampling)
        with pytest.raises(UnknownNameError, match="deployed feature"):
            alone.generate("a", feature="sort")
    assert (text.token_ids, text.bytes_up, text.total_s) == (same.token_ids, same.bytes_up, same.total_s)
    assert text.total_s == pytest.approx(virtual.predict_same(text).total_s, rel=1e-3)


def test_an_answer_that_is_not_sure_enough_is_asked_for_again(virtual: wb.Deployment) -> None:
    never, always = Cascade(threshold=0.0), Cascade(threshold=1.0)
    once, twice = virtual.ask(SORT, never), virtual.ask(SORT, always)
    assert (once.escalated, len(once.traces)) == (False, 1)
    assert (twice.escalated, [t.facts["feature"] for t in twice.traces]) == (True, ["sort", DEFAULT_FEATURE])
    assert twice.confidence is not None
    assert twice.confidence < 1
    assert twice.trace is not None
    assert twice.trace.total_s == pytest.approx(sum(t.total_s for t in twice.traces))
    assert twice.trace.bytes_up == twice.traces[1].bytes_up > 0
    assert twice.where_made[0] == CLOUD
    assert twice.right


def test_what_is_bound_to_the_edge_stays_there_or_is_refused(virtual: wb.Deployment) -> None:
    secret = "My name is Ada Lovelace, remember me"
    served = virtual.ask(Request(secret, max_new_tokens=3), Tagged())
    assert (served.outcome, served.on_edge) == ("moved", True)
    assert served.trace is not None
    assert served.trace.facts["bound"] == "name stays on the edge"
    with pytest.raises(BoundError, match="name stays on the edge"):
        virtual.generate(secret, feature="recall", max_new_tokens=2)
    away = Plan("tiny", {DEFAULT_FEATURE: Placement(Partition.unsplit(8, CLOUD))}, PLAN.bounds)
    devices = wb.device("raspberry-pi-5"), wb.device("h100-sxm")
    with wb.deploy(away, *devices, LINK, clock="virtual") as run:
        with pytest.raises(BoundError, match="name stays on the edge"):
            run.ask(secret, Tagged())
        assert run.ask("sort: a =", Tagged()).refused is None


def test_with_no_link_the_edge_goes_on_and_the_rest_does_as_the_plan_says(virtual: wb.Deployment) -> None:
    virtual.unplug()
    try:
        assert virtual.ask(SORT, Tagged()).outcome == "as routed"
        degraded = virtual.ask(Request("tell me", max_new_tokens=3), Tagged())
        assert (degraded.outcome, degraded.module, degraded.on_edge) == ("degraded", "small", True)
        with pytest.raises(OfflineError, match="recall has no fallback"):
            virtual.ask(RECALL, Tagged())
        with pytest.raises(OfflineError, match="no link"):
            virtual.generate("a", feature="copy")
        with pytest.raises(OfflineError, match="nobody plugged one in"):
            virtual.ask(COPY, Tagged())
    finally:
        virtual.plug_in()
    assert virtual.ask(RECALL, Tagged()).refused is None


def test_a_workload_in_modelled_time_says_what_waited(virtual: wb.Deployment) -> None:
    work = Workload(tuple(replace(r, arrival_s=0.1 * i) for i, r in enumerate((SORT, COPY, RECALL, SORT))))
    report = virtual.replay(work, Tagged(), outages=[(0.05, 0.15), (0.18, 0.25)])
    assert [s.outcome for s in report.served] == ["as routed", "queued", "refused", "as routed"]
    queued = report.served[1]
    assert queued.ready_s == 0.15
    assert queued.latency_s is not None
    assert queued.latency_s >= 0.05
    assert report.quality["sort"] == 1.0
    assert report.confusion() == {"copy": {"copy": 1}, "recall": {"recall": 1}, "sort": {"sort": 2}}
    predicted = virtual.predict_replay(report)
    assert predicted.outcomes == report.outcomes
    for ran, said in zip(report.served, predicted.served, strict=True):
        assert said.latency_s == (ran.latency_s and pytest.approx(ran.latency_s, rel=0.01))
        assert said.queued_s == pytest.approx(ran.queued_s, abs=1e-6)


def test_requests_run_at_once_on_the_wall_clock_and_each_device_is_one(
    wall: wb.Deployment, slow: wb.DeviceProfile
) -> None:
    at_once = Workload((RECALL, COPY, SORT))
    report = wall.replay(at_once, Tagged())
    alone = [wall.ask(request, Tagged()) for request in at_once]
    assert all(s.refused is None for s in report.served)
    assert [s.trace.token_ids for s in report.served] == [s.trace.token_ids for s in alone]  # type: ignore[union-attr]
    waited = sum(span.duration_s for s in report.served for span in s.trace.spans if span.kind == "wait")  # type: ignore[union-attr]
    assert waited > slow.block_overhead_s  # sorting and copying share the edge
    one_by_one = sum(s.latency_s for s in alone if s.latency_s is not None)
    assert max(s.finished_s for s in report.served) < one_by_one
    assert report.label == "measured"
    predicted = wall.predict_replay(report)
    assert predicted.label == "modelled"
    assert predicted.latency_s["mean"] == pytest.approx(report.latency_s["mean"], rel=0.3)


def test_an_outage_on_the_wall_clock_queues_and_ends(wall: wb.Deployment) -> None:
    work = Workload((replace(COPY, arrival_s=0.1), replace(SORT, arrival_s=0.15)))
    report = wall.replay(work, Tagged(), outages=[(0.05, 1.5)])
    copied, sorted_ = report.served
    assert (copied.outcome, sorted_.outcome) == ("queued", "as routed")
    assert copied.finished_s > 1.5 > sorted_.finished_s
    assert wall.online


def test_a_stop_ends_a_replay_and_the_deployment_stands(wall: wb.Deployment) -> None:
    stop = threading.Event()
    long = replace(COPY, answer=None, max_new_tokens=200)
    work = Workload(tuple(replace(long, arrival_s=0.2 * i) for i in range(9)))
    threading.Timer(0.6, stop.set).start()
    report = wall.replay(work, Tagged(), stop=stop)
    assert len(report.served) < 9
    assert wall.ask(SORT, EdgeOnly()).right


def test_bad_input_is_refused(virtual: wb.Deployment) -> None:
    with pytest.raises(UnknownNameError, match=r"'sotr'.*did you mean 'sort'"):
        virtual.replay(Workload((replace(SORT, feature="sotr"),)))
    with pytest.raises(InputError, match="an outage lasts"):
        virtual.replay(Workload((SORT,)), outages=[(2.0, 1.0)])
    with pytest.raises(InputError, match="threshold"):
        Hybrid(threshold=1.5)
    with pytest.raises(PlanError, match="slots"):
        wb.deploy(PLAN, wb.device("raspberry-pi-5"), wb.device("h100-sxm"), LINK, slots=0)
    other = Plan("tiny", {DEFAULT_FEATURE: SMALL, "a": replace(SMALL, adapter="nobody")})
    with pytest.raises(UnknownNameError, match="adapter"):
        wb.deploy(other, wb.device("raspberry-pi-5"), wb.device("h100-sxm"), LINK, clock="virtual")
    other = Plan("tiny", {DEFAULT_FEATURE: SMALL, "a": replace(SMALL, adapter="reverse")})
    with pytest.raises(AdapterError, match="tiny@2"):
        wb.deploy(other, wb.device("raspberry-pi-5"), wb.device("h100-sxm"), LINK, clock="virtual")
    tight = replace(wb.device("raspberry-pi-5"), memory_bytes=5_000_000)
    packed = [Placement(Partition.unsplit(8, EDGE, bits)) for bits in (8, 4)]
    both = dict(zip((DEFAULT_FEATURE, "a"), packed, strict=True))
    with pytest.raises(DoesNotFitError, match="'a'"):
        wb.deploy(Plan("tiny", both), tight, wb.device("h100-sxm"), LINK, clock="virtual")


def test_the_shipped_hybrid_serves_every_feature_it_names() -> None:
    plan = read_plan("hybrid")
    devices = wb.device("raspberry-pi-5"), wb.device("h100-sxm")
    predicted = {f: wb.predict(plan, *devices, wb.link("lte"), feature=f) for f in plan.features}
    assert predicted["sort"].total_s < predicted["default"].total_s < predicted["continue"].total_s
    with wb.deploy(plan, *devices, wb.link("lte"), clock="virtual") as run:
        for feature in plan.features:
            assert run.generate("sort: b a =", max_new_tokens=2, feature=feature).n_tokens


# ---- what must not leak from one request into another


def test_a_replay_that_breaks_leaves_nothing_to_the_next_request(wall: wb.Deployment) -> None:
    open_text = [Request(text, max_new_tokens=30) for text in ("Once upon a time", "The second", "A third")]
    expected = wall.generate(COPY.prompt, feature="copy", max_new_tokens=6).text

    def breaks(served: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        wall.replay(Workload((SORT, *open_text)), Tagged(), on_served=breaks)
    for _ in range(2):
        assert wall.generate(COPY.prompt, feature="copy", max_new_tokens=6).text == expected


def test_a_stop_in_an_outage_ends_soon_and_the_link_is_as_it_was(wall: wb.Deployment) -> None:
    stop, began_s = threading.Event(), time.monotonic()
    threading.Timer(0.8, stop.set).start()
    wall.replay(Workload((replace(COPY, max_new_tokens=60),)), Tagged(), outages=[(0.3, 500.0)], stop=stop)
    assert time.monotonic() - began_s < 15
    assert wall.online
    assert wall.ask(COPY, Tagged()).right


def test_outages_that_touch_or_overlap_are_one(wall: wb.Deployment, virtual: wb.Deployment) -> None:
    assert Outages.of([(0.0, 0.5), (0.5, 1.0)]) == Outages.of([(0.0, 1.0), (0.2, 0.4)])
    late = Workload((replace(COPY, arrival_s=0.6),))
    for run in (wall, virtual):
        for spans in ([(0.0, 0.5), (0.5, 1.0)], [(0.0, 1.0), (0.2, 0.4)]):
            served = run.replay(late, Tagged(), outages=spans).served[0]
            assert (served.outcome, served.ready_s >= 1.0) == ("queued", True)
            assert served.queued_s >= 0.39


def test_one_feature_alone_is_not_routed() -> None:
    devices = wb.device("raspberry-pi-5"), wb.device("h100-sxm")
    with (
        wb.deploy(PLAN, *devices, LINK, clock="virtual", feature="sort") as run,
        pytest.raises(PlanError, match="only sort of the plan runs here"),
    ):
        run.ask(SORT, Tagged())


def test_a_side_that_dies_ends_a_replay(slow: wb.DeviceProfile) -> None:
    for clock in ("wall", "virtual"):
        with wb.deploy(PLAN, slow, slow, LINK, clock=clock, slots=2) as run:
            os.kill(run.pids[-1], signal.SIGKILL)
            with pytest.raises(PeerLostError):
                run.replay(Workload((SORT, COPY)), Tagged())
