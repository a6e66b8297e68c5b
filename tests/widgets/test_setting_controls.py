"""Controls say just the setting that they were given; presets, numbers and ones own links agree."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.exploration.conftest import make_setting
from workbench.errors import InputError
from workbench.exploration import SHAPES, Setting
from workbench.plan import BITS, WIRE_CODECS
from workbench.profiles import LinkProfile
from workbench.widgets.setting_controls import CUSTOM, SettingControls

MAX_POSITIONS = 1024
OWN_LINKS = st.builds(
    LinkProfile,
    rtt_s=st.floats(1e-4, 3),
    uplink_bps=st.floats(1e4, 1e11),
    downlink_bps=st.floats(1e4, 1e11),
    loss=st.floats(0, 0.3),
    jitter_s=st.sampled_from([0.0, 0.004]),
)
SHIPPED = st.sampled_from(["lte", "wifi-6", "5g"]).map(wb.link)
DEVICES = st.sampled_from(["raspberry-pi-5", "h100-sxm", "rtx-4090"]).map(wb.device)
OWN_DEVICES = DEVICES.map(lambda d: replace(d, name="mine", block_overhead_s=0.01))


@st.composite
def any_setting(draw: st.DrawFn) -> Setting:
    back, shape = draw(st.integers(1, 8)), draw(st.sampled_from(SHAPES))
    return make_setting(
        shape=shape,
        split=draw(st.integers(0, back - 1 if shape == "U-shape" else 8)),
        back=back,
        edge_bits=draw(st.sampled_from(BITS)),
        cloud_bits=draw(st.sampled_from(BITS)),
        wire=draw(st.sampled_from(WIRE_CODECS)),
        prompt_tokens=draw(st.integers(1, 1023)),
        new_tokens=draw(st.integers(1, 1023)),
        batch=draw(st.integers(1, 32)),
        link=draw(SHIPPED | OWN_LINKS),
        link_kind=draw(st.sampled_from(["netem", "simulated", "proxy"])),
        edge=draw(DEVICES | OWN_DEVICES),
        cloud=draw(DEVICES),
    )


def make_controls(setting: Setting | None = None) -> tuple[SettingControls, list[None]]:
    told: list[None] = []
    made = SettingControls(setting or make_setting(), MAX_POSITIONS, lambda: told.append(None))
    return made, told


@settings(max_examples=40)  # each makes forty widgets
@given(any_setting(), any_setting())
def test_what_is_set_is_what_is_said(first: Setting, second: Setting) -> None:
    controls, _ = make_controls(first)
    assert controls.setting == first
    controls.setting = second
    assert controls.setting == second
    assert controls.follow() is False
    assert controls.setting == second


def test_a_preset_puts_its_numbers_in_and_a_moved_number_makes_the_link_ones_own() -> None:
    controls, told = make_controls()
    controls.link.value = "wifi-6"
    assert told
    assert controls.follow()
    assert controls.setting.link == wb.link("wifi-6")
    controls._link_rows["rtt_s"].value = 7
    assert controls.follow()
    assert controls.link.value == CUSTOM
    link = controls.setting.link
    assert link.rtt_s == pytest.approx(0.007)
    assert link.uplink_bps == wb.link("wifi-6").uplink_bps
    controls.link.value = "lte"
    controls.follow()
    assert controls.setting.link == wb.link("lte")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"prompt_tokens": 1024}, "prompt_tokens"),
        ({"new_tokens": 5000}, "new_tokens"),
        ({"batch": 33}, "batch"),
        ({"link": LinkProfile(rtt_s=4.0, uplink_bps=1e6, downlink_bps=1e6)}, "rtt_s"),
        ({"link": LinkProfile(rtt_s=0.1, uplink_bps=1e12, downlink_bps=1e6)}, "uplink_bps"),
    ],
)
def test_what_no_control_reaches_is_refused_and_nothing_changes(
    changes: dict[str, object], name: str
) -> None:
    controls, _ = make_controls()
    before = controls.setting
    with pytest.raises(InputError, match=f"{name} reaches from"):
        controls.setting = replace(before, **changes)  # type: ignore[arg-type]
    assert controls.setting == before


def test_what_a_shape_does_not_use_cannot_be_moved() -> None:
    controls, _ = make_controls()
    expected = {
        "split": (True, False, True, True),
        "U-shape": (True, True, True, True),
        "edge-only": (False, False, True, False),
        "cloud-only": (False, False, False, True),
    }
    for shape, wanted in expected.items():
        controls.shape.value = shape
        controls.follow()
        rows = (controls.split, controls.back, controls.edge_bits, controls.cloud_bits)
        assert tuple(row.enabled for row in rows) == wanted
        assert controls.wire.enabled == wanted[0]


def test_the_second_split_point_stays_behind_the_first() -> None:
    controls, _ = make_controls(make_setting(shape="U-shape", split=3, back=6))
    controls.split.value = 8
    assert controls.follow()
    assert (controls.split.value, controls.back.value) == (7, 8)
    assert controls.setting.plan.partition.split_points == (7, 8)


def test_every_control_tells_of_its_change() -> None:
    controls, told = make_controls()
    for count, row in enumerate(controls._all.values(), start=1):
        if hasattr(row, "slider"):
            row.slider.value = row.slider.max if row.slider.value != row.slider.max else 0
        else:
            others = [value for _, value in _options(row.widget) if value != row.value]
            row.value = others[0]
        assert len(told) >= count


def _options(dropdown: object) -> list[tuple[str, object]]:
    return [o if isinstance(o, tuple) else (o, o) for o in dropdown.options]  # type: ignore[attr-defined]
