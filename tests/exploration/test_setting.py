"""A setting says a plan, its link and the code that makes both; what it cannot say is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import workbench as wb
from tests.exploration.conftest import make_setting
from tests.strategies import plans
from workbench.errors import InputError, PlanError, UnknownNameError
from workbench.exploration import SHAPES, Setting
from workbench.plan import BITS, EDGE, WIRE_CODECS, Partition, Plan, Stage


@st.composite
def settings(draw: st.DrawFn) -> Setting:
    back = draw(st.integers(1, 8))
    shape = draw(st.sampled_from(SHAPES))
    top = back - 1 if shape == "U-shape" else 8
    return make_setting(
        shape=shape,
        split=draw(st.integers(0, top)),
        back=back,
        edge_bits=draw(st.sampled_from(BITS)),
        cloud_bits=draw(st.sampled_from(BITS)),
        wire=draw(st.sampled_from(WIRE_CODECS)),
        prompt_tokens=draw(st.integers(1, 500)),
        new_tokens=draw(st.integers(1, 40)),
        batch=draw(st.integers(1, 4)),
        link=draw(st.sampled_from([wb.link("lte"), wb.LinkProfile(0.033, 1.5e6, 2e7, loss=0.01)])),
        link_kind=draw(st.sampled_from(["netem", "simulated", "proxy"])),
    )


@examples(max_examples=20)  # each loads the model
@given(settings())
def test_its_code_makes_the_same_plan_link_and_prediction(setting: Setting) -> None:
    made: dict[str, Any] = {}
    exec(setting.code(), made)
    assert made["plan"] == setting.plan
    assert made["link"] == setting.link
    expected = wb.predict(
        setting.plan,
        setting.edge,
        setting.cloud,
        setting.link,
        model=made["model"],
        link_kind=setting.link_kind,
        **setting.request,
    )
    assert made["predicted"] == expected


def test_its_code_writes_a_device_of_ones_own_out() -> None:
    own = replace(wb.device("raspberry-pi-5"), name="mine", block_overhead_s=0.01)
    made: dict[str, Any] = {}
    exec(make_setting(edge=own).code(), made)
    assert made["edge"] == own


@given(settings())
def test_it_survives_json_and_its_own_plan(setting: Setting) -> None:
    again = Setting.from_dict(json.loads(json.dumps(setting.to_dict())))
    assert again == setting
    assert again.key == setting.key
    assert setting.with_plan(setting.plan).plan == setting.plan


@given(settings())
def test_its_positions_hold_the_chosen_one_between_both_baselines(setting: Setting) -> None:
    names = setting.positions
    assert (names[0], names[-1]) == ("cloud-only", "edge-only")
    assert len(set(names)) == len(names)
    assert setting.plan_at(setting.position) == setting.plan
    for name in names[1:-1]:
        assert len(setting.plan_at(name).partition.split_points) == (2 if setting.shape == "U-shape" else 1)


@given(plans())
def test_another_models_plan_is_refused(plan: Plan) -> None:
    with pytest.raises(PlanError, match="explore that model"):
        make_setting().with_plan(replace(plan, model="another"))


def test_a_plan_that_the_controls_cannot_say_is_refused(setting: Setting) -> None:
    n = setting.n_blocks
    uneven = Partition(
        n, (Stage(EDGE, 0, 2, embedding=True, bits=4), Stage("cloud", 2, 6), Stage(EDGE, 6, n, head=True))
    )
    chain = Partition(n, (Stage(EDGE, 0, 2, embedding=True), Stage("fog", 2, n, head=True)))
    for partition in (uneven, chain):
        with pytest.raises(PlanError, match="controls cannot say"):
            setting.with_plan(Plan.of("tiny", partition))


def test_what_a_shape_does_not_use_changes_no_key(setting: Setting) -> None:
    assert replace(setting, back=7).key == setting.key
    assert replace(setting, split=4).key != setting.key
    edge = replace(setting, shape="edge-only")
    assert replace(edge, link=wb.link("5g"), cloud=wb.device("rtx-4090"), wire="fp32").key == edge.key
    assert replace(edge, edge_bits=8).key != edge.key


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="U-shape"):
        make_setting(shape="U")
    with pytest.raises(InputError, match="batch"):
        make_setting(batch=0)
    with pytest.raises(InputError, match="no setting"):
        Setting.from_dict({"model": "tiny"})
