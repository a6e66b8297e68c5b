"""A table of losses is made of real evaluations, one block or codec at a time, and goes on where it was."""

from __future__ import annotations

from threading import Event

import pytest

from workbench.errors import CancelledRunError, PlanError
from workbench.evaluation import Suite, additivity, evaluate, sensitivity
from workbench.models import Model
from workbench.plan import EDGE, Partition, Plan


def test_a_table_is_what_evaluations_differ_by(toy: Model, suite: Suite) -> None:
    steps: list[tuple[int, int, str]] = []
    table = sensitivity(toy, bits=(4,), wires=("int4",), suite=suite, on_step=lambda *it: steps.append(it))
    assert [done for done, _, _ in steps] == list(range(1, 7))
    assert {total for _, total, _ in steps} == {6}
    assert table.n_blocks == 4
    assert table.fingerprint == toy.fingerprint

    def bits_per_byte(partition: Partition, wire: str = "fp16") -> float:
        prose = Suite(suite.name, suite.texts, ())  # other rows in a batch round otherwise
        return evaluate(toy, Plan.of(toy.name, partition, wire), suite=prose).bits_per_byte

    assert table.base == bits_per_byte(Partition.unsplit(4, EDGE))
    packed = bits_per_byte(Partition.unsplit(4, EDGE, [16, 4, 16, 16]))
    assert table.blocks[4][1] == packed - table.base
    assert table.wires["int4"] == bits_per_byte(Partition.split(4, 2), "int4") - table.base
    assert any(table.blocks[4])


def test_what_was_evaluated_is_not_evaluated_again(toy: Model, suite: Suite) -> None:
    stop = Event()

    def interrupt(done: int, total: int, title: str) -> None:
        if done == 3:
            stop.set()

    with pytest.raises(CancelledRunError):
        sensitivity(toy, bits=(4,), wires=(), suite=suite, on_step=interrupt, stop=stop)
    whole = sensitivity(toy, bits=(4,), wires=(), suite=suite)
    assert sensitivity(toy, bits=(4,), wires=(), suite=suite, stop=stop) == whole  # all of it is kept by now


def test_sums_are_set_beside_real_evaluations(toy: Model, suite: Suite) -> None:
    table = sensitivity(toy, bits=(8, 4), suite=suite)
    found = additivity(toy, table, n=4, suite=suite)
    assert [bool(it.plan.partition.split_points) for it in found] == [False, True, False, True]
    for it in found:
        assert it.predicted == table.of(it.plan.default)
        real = evaluate(toy, it.plan, suite=Suite(suite.name, suite.texts, ())).bits_per_byte
        assert it.measured == pytest.approx(real - table.base)
    assert found == additivity(toy, table, n=4, suite=suite)


def test_what_packs_nothing_is_refused(toy: Model, suite: Suite) -> None:
    with pytest.raises(PlanError, match="below 16"):
        sensitivity(toy, bits=(16,), suite=suite)
    with pytest.raises(PlanError, match="codecs"):
        sensitivity(toy, wires=("int3",), suite=suite)
