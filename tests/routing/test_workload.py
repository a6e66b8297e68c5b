"""Workloads: drawn as asked, kept in files, and refused with file and line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.routing.plans import mixed_plan
from workbench.errors import InputError, UnknownNameError
from workbench.routing import Request, Workload, bursts, poisson, shipped_pool

REQUESTS = st.builds(
    Request,
    st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])),
    st.sampled_from([None, "copy", "translate"]),
    st.integers(1, 99),
    st.sampled_from([None, "a b", 'ä, "b"']),
    st.sampled_from([None, "copy"]),
    st.floats(0, 1e6),
)


def test_arrivals_come_at_their_rate() -> None:
    """The mean of 4000 exponential gaps lies within five standard errors of 1 / rate."""
    load = poisson({"copy": 1.0}, 8.0, 4000, seed=3)
    assert load.duration_s == pytest.approx(4000 / 8.0, rel=5 / math.sqrt(4000))
    gaps = [b.arrival_s - a.arrival_s for a, b in zip(load.requests, load.requests[1:], strict=False)]
    mean = sum(gaps) / len(gaps)
    spread = math.sqrt(sum((g - mean) ** 2 for g in gaps) / len(gaps))
    assert spread == pytest.approx(mean, rel=0.1)  # as of an exponential


def test_bursts_come_together_and_at_the_same_rate() -> None:
    load = bursts({"copy": 1.0}, 8.0, 5, 4000, seed=3)
    times = [r.arrival_s for r in load]
    assert len(set(times)) == 800
    assert all(len(set(times[i : i + 5])) == 1 for i in range(0, 4000, 5))
    assert load.duration_s == pytest.approx(4000 / 8.0, rel=5 / math.sqrt(800))


def test_the_mix_is_kept_and_the_same_seed_gives_the_same() -> None:
    load = poisson({"copy": 3, "continue": 1}, 1.0, 2000, seed=1)
    share = sum(r.feature == "copy" for r in load) / len(load)
    assert share == pytest.approx(0.75, abs=5 * math.sqrt(0.75 * 0.25 / 2000))
    assert load == poisson({"copy": 3, "continue": 1}, 1.0, 2000, seed=1)
    assert load != poisson({"copy": 3, "continue": 1}, 1.0, 2000, seed=2)


def test_lengths_are_drawn_of_what_is_given() -> None:
    assert {r.max_new_tokens for r in poisson({"copy": 1}, 1.0, 200, max_new_tokens=(4, 8, 64))} == {4, 8, 64}
    assert {r.max_new_tokens for r in poisson({"copy": 1}, 1.0, 9, max_new_tokens=7)} == {7}


def test_the_shipped_pool_holds_every_feature() -> None:
    pool = shipped_pool()
    assert len(pool) == 8
    assert all(len(requests) >= 100 for requests in pool.values())
    assert all(
        (r.answer is None) == (name == "continue") for name, requests in pool.items() for r in requests
    )
    assert all(40 <= len(r.prompt) <= 120 for r in pool["continue"])


def test_nobody_says_what_untagged_requests_are_but_it_is_known() -> None:
    load = poisson({"copy": 1.0}, 1.0, 5).untagged()
    assert {(r.feature, r.truth) for r in load} == {(None, "copy")}


@pytest.mark.parametrize("name", ["w.csv", "w.jsonl"])
@given(requests=st.lists(REQUESTS, min_size=1, max_size=6))
def test_it_is_read_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, name: str, requests: list[Request]
) -> None:
    path = tmp_path_factory.mktemp("workload") / name
    load = Workload(tuple(sorted(requests, key=lambda r: r.arrival_s)))
    load.save(path)
    assert Workload.load(path) == load


def test_a_plan_is_checked_for_the_tags() -> None:
    load = Workload((Request("x", "copy"), Request("x")))
    load.check(mixed_plan())
    with pytest.raises(UnknownNameError, match="did you mean 'translate'"):
        Workload((Request("x", "translte"),)).check(mixed_plan())


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("w.csv", "feature,prompt\ncopy,x\n", "line 1: lacks arrival_s"),
        ("w.csv", "arrival_s,prompt,colour\n0,x,red\n", "line 1: .'colour'. mean nothing"),
        ("w.csv", "arrival_s,prompt\n0,x\nsoon,y\n", "line 3: arrival_s is no number: 'soon'"),
        ("w.csv", "arrival_s,prompt\n0,x\n-1,y\n", "line 3: a request arrives at a finite time"),
        ("w.csv", "arrival_s,prompt\n2,x\n1,y\n", "line 3: arrives at 1.0 s, before the line above at 2.0 s"),
        ("w.csv", "arrival_s,prompt\nnan,x\n", "line 2: a request arrives at a finite time"),
        ("w.csv", "arrival_s,prompt\n0,x,y\n", "line 2: has other columns"),
        ("w.csv", "arrival_s,prompt\n0\n", "line 2: has other columns"),
        ("w.csv", "arrival_s,prompt,max_new_tokens\n0,x,1.5\n", "line 2: max_new_tokens is no number: '1.5'"),
        (
            "w.csv",
            "arrival_s,prompt,max_new_tokens\n0,x,0\n",
            "line 2: a request asks for at least one token",
        ),
        ("w.csv", "arrival_s,prompt\n", "holds no request"),
        ("w.jsonl", "", "holds no request"),
        ("w.jsonl", '{"arrival_s": 0, "prompt": "x"}\n{"arrival_s": 1}\n', "line 2: lacks prompt"),
        ("w.jsonl", '{"arrival_s": 0, "prompt": 3}\n', "line 1: a prompt is text: got 3"),
        (
            "w.jsonl",
            '{"arrival_s": null, "prompt": "x"}\n',
            "line 1: arrival_s is a number of seconds: got None",
        ),
        ("w.jsonl", '{"arrival_s": true, "prompt": "x"}\n', "line 1: arrival_s is a number of seconds"),
        ("w.jsonl", '{"arrival_s": 0, "prompt"\n', "line 1: no JSON"),
        ("w.jsonl", "[1]\n", "line 1: a request is a JSON object"),
    ],
)
def test_a_file_that_cannot_be_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=rf"{name}.*{message}"):
        Workload.load(path)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "w.csv", tmp_path / "none.csv"):
        with pytest.raises(InputError, match="cannot be read as a workload"):
            Workload.load(path)


def test_what_cannot_be_drawn() -> None:
    for call in (
        lambda: poisson({"copy": -1.0}, 1.0, 5),
        lambda: poisson({"copy": 0.0}, 1.0, 5),
        lambda: poisson({}, 1.0, 5),
        lambda: poisson({"copy": float("nan")}, 1.0, 5),
        lambda: poisson({"copi": 1.0}, 1.0, 5),
        lambda: poisson({"copy": 1.0}, 0.0, 5),
        lambda: poisson({"copy": 1.0}, math.inf, 5),
        lambda: poisson({"copy": 1.0}, 1.0, 0),
        lambda: poisson({"copy": 1.0}, 1.0, 5, max_new_tokens=()),
        lambda: poisson({"copy": 1.0}, 1.0, 5, max_new_tokens=0),
        lambda: bursts({"copy": 1.0}, 1.0, 0, 5),
        lambda: Workload((Request("x", arrival_s=2), Request("x", arrival_s=1))),
        lambda: Request("x", max_new_tokens=0),
        lambda: Request("x", max_new_tokens=True),
        lambda: Request("x", arrival_s=-1),
        lambda: Request(None),  # type: ignore[arg-type]
        lambda: Request("x", feature=3),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError):
            call()


def test_an_answer_is_compared_up_to_the_newline() -> None:
    request = Request("copy: a b =", answer="a b")
    assert request.is_right(" a b\ncopy: c")
    assert not request.is_right(" a b c\n")
    assert Request("x").is_right("anything") is None
