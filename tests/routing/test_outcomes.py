"""Reports: sums over requests, by hand."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from workbench.errors import InputError
from workbench.routing import Report, Request, Route, Served, Settled
from workbench.trace import RequestTrace, Span


def _trace(place: str, joules: float = 1.0) -> RequestTrace:
    spans = (Span("compute", place, 0, 0.0, 0.5, "modelled", 10),)
    return RequestTrace(
        plan="p",
        clock="virtual",
        label="modelled",
        prompt_tokens=3,
        token_times_s=(0.5,),
        spans=spans,
        bytes_up=0 if place == "edge" else 10,
        bytes_down=0 if place == "edge" else 4,
        bytes_label="measured",
        memory_bytes={},
        memory_label="measured",
        energy_j={"edge": joules},
    )


def _served(truth: str, taken: str, place: str, right: bool | None, latency_s: float) -> Served:
    request = Request("x", None, answer="y" if right is not None else None, truth=truth, arrival_s=1.0)
    settled = Settled("copy", "as routed", "r")
    return Served(
        request,
        Route(taken, "copy", "r"),
        settled,
        "copy",
        place == "cloud",
        _trace(place),
        finished_s=1.0 + latency_s,
        started_s=1.0,
        right=right,
        routing_s=1e-4,
        where_made=(place,) * 2,
    )


REFUSED = Served(
    Request("x", "sort", answer="y"), Route("sort", "copy", "r"), refused="health stays on the edge"
)
REPORT = Report(
    (
        _served("copy", "copy", "edge", True, 0.5),
        _served("copy", "sort", "cloud", False, 1.0),
        _served("continue", "continue", "cloud", None, 1.5),
        REFUSED,
    )
)


def test_sums_by_hand() -> None:
    assert REPORT.confusion() == {
        "continue": {"continue": 1},
        "copy": {"copy": 1, "sort": 1},
        "sort": {"sort": 1},
    }
    assert REPORT.misrouted == 0.25
    assert REPORT.edge_share == pytest.approx(1 / 3)
    assert REPORT.edge_tokens_share == pytest.approx(1 / 3)
    assert REPORT.escalated_share == pytest.approx(2 / 3)
    assert REPORT.quality == {"copy": 0.5, "sort": 0.0}
    assert REPORT.mean_quality == pytest.approx(1 / 3)
    assert REPORT.latency_s == pytest.approx({"mean": 1.0, "p50": 1.0, "p95": 1.45})
    assert (REPORT.energy_j, REPORT.bytes_up, REPORT.bytes_down) == (3.0, 20, 8)
    assert REPORT.outcomes == {"as routed": 3, "moved": 0, "degraded": 0, "queued": 0, "refused": 1}
    assert REPORT.label == "modelled"


def test_a_table_and_plain_json() -> None:
    rows = list(REPORT.rows())
    assert [(row["feature"], row["requests"]) for row in rows] == [
        ("continue", 1),
        ("copy", 2),
        ("sort", 1),
        ("all", 4),
    ]
    assert rows[2]["edge_share"] is None
    assert rows[2]["latency_p95_s"] is None
    data = json.loads(json.dumps(REPORT.to_dict()))
    assert data["quality"] == {"copy": 0.5, "sort": 0.0}
    assert len(data["features"]) == 3


def test_an_empty_report_says_nothing() -> None:
    report = Report(())
    assert (report.misrouted, report.edge_share, report.mean_quality, report.latency_s) == (
        None,
        None,
        None,
        {},
    )
    assert report.label == "none"
    assert [row["requests"] for row in report.rows()] == [0]


def test_without_a_trace_the_tokens_say_where() -> None:
    one = Served(Request("x"), None, Settled("copy", "as routed", "r"), where_made=("edge", "edge"))
    assert one.on_edge
    assert not Served(Request("x"), None, where_made=("edge", "cloud")).on_edge
    with pytest.raises(InputError, match="edge"):
        Served(Request("x"), None, where_made=("moon",))
    with pytest.raises(InputError, match="ends before it starts"):
        Served(Request("x"), None, started_s=2.0, finished_s=1.0)


def test_routing_brings_nothing_heavy() -> None:
    script = "import sys, json, workbench.routing; json.dump(sorted(sys.modules), sys.stdout)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(json.loads(done.stdout)) & {"torch", "transformers", "optuna", "plotly", "pandas", "zmq"}
