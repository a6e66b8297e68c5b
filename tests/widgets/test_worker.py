"""One thread, jobs in order, the last of a burst counts, errors stop nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.widgets.worker import Worker


@pytest.fixture
def errors() -> list[Exception]:
    return []


@pytest.fixture
def worker(errors: list[Exception]) -> Iterator[Worker]:
    made = Worker("under test", errors.append)
    yield made
    made.close()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers())))
def test_of_each_key_the_last_job_is_done_in_the_order_of_the_last(jobs: list[tuple[str, int]]) -> None:
    done: list[tuple[str, int]] = []
    worker, gate = Worker("under test", lambda _: None), threading.Event()
    try:
        worker.post("gate", gate.wait)
        while worker.waiting("gate"):
            pass
        for job in jobs:
            worker.post(job[0], lambda job=job: done.append(job))
        gate.set()
        assert worker.drain(10)
    finally:
        worker.close()
    assert sorted(done) == sorted(dict(jobs).items())
    assert [key for key, _ in done] == list(dict.fromkeys(key for key, _ in reversed(jobs)))[::-1]


def test_an_error_is_told_and_the_next_job_done(worker: Worker, errors: list[Exception]) -> None:
    done: list[str] = []
    worker.post("bad", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    worker.post("good", lambda: done.append(threading.current_thread().name))
    assert worker.drain(10)
    assert [type(error) for error in errors] == [ZeroDivisionError]
    assert done == ["under test"]


def test_a_job_may_post_and_sees_what_waits(worker: Worker) -> None:
    seen: list[bool] = []

    def first() -> None:
        worker.post("next", lambda: seen.append(worker.waiting("next")))
        seen.append(worker.waiting("next"))

    worker.post("first", first)
    assert worker.drain(10)
    assert seen == [True, False]


def test_draining_takes_no_longer_than_asked(worker: Worker) -> None:
    gate = threading.Event()
    worker.post("gate", lambda: gate.wait(10) and None)
    assert not worker.drain(0.05)
    gate.set()
    assert worker.drain(10)


def test_closed_it_forgets_what_waits_and_ends_its_thread() -> None:
    done: list[int] = []
    worker, gate = Worker("to be closed", lambda _: None), threading.Event()
    worker.post("gate", lambda: gate.wait(10) and None)
    worker.post("later", lambda: done.append(1))
    threading.Timer(0.1, gate.set).start()
    worker.close()
    worker.close()
    worker.post("after", lambda: done.append(2))
    assert worker.drain(1)
    assert done == []
    assert "to be closed" not in {thread.name for thread in threading.enumerate()}


def test_a_job_may_close_its_own_worker(worker: Worker) -> None:
    worker.post("close", worker.close)
    assert worker.drain(10)
