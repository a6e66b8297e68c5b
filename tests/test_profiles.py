"""Devices and links as data: each value has a source, and what cannot be is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from tests.strategies import links as drawn_links
from tests.strategies import model_profiles
from workbench import profiles
from workbench.errors import InputError, ProfileError, UnknownNameError
from workbench.profiles import DecodeRate, DeviceProfile, Kernel, LinkProfile, ModelProfile, Source

DEVICES, LINKS = profiles.device_profiles(), profiles.link_profiles()
_NUMBERS = (
    "flops",
    "flops_efficiency",
    "memory_bytes",
    "bandwidth_bytes_per_s",
    "bandwidth_efficiency",
    "block_overhead_s",
    "idle_w",
    "active_w",
)
# What a device that can be bought lies within: a slip of a unit or of a thousand does not.
_SANE: dict[str, tuple[float, float]] = {
    "memory_bytes": (1e9, 1e12),
    "bandwidth_bytes_per_s": (1e9, 1e13),
    "bandwidth_efficiency": (0.1, 1),
    "flops_efficiency": (0.01, 1),
    "block_overhead_s": (1e-6, 1e-2),
    "idle_w": (0.1, 200),
    "active_w": (1, 1500),
    "radio_j_per_byte": (0, 1e-4),
}
_KINDS = {"phone", "sbc", "embedded", "laptop", "desktop-gpu", "server-gpu"}
_REQUIRED = {"title", "kind", "sources", "decode_rates", *_NUMBERS} - {"flops_efficiency"}


def test_the_devices_and_links_that_were_promised_are_there() -> None:
    assert {"raspberry-pi-5", "jetson-orin-nano", "jetson-agx-orin", "macbook-m1-pro"} <= set(DEVICES)
    assert {"rtx-4090", "a100-80gb", "h100-sxm", "h200-sxm"} <= set(DEVICES)
    assert sum(d.kind == "phone" for d in DEVICES.values()) >= 2
    assert {"3g", "4g", "lte", "5g", "dsl", "cable", "fibre", "starlink", "geostationary"} <= set(LINKS)
    assert {"wifi-5", "wifi-6", "datacenter", "ethernet", "loopback"} <= set(LINKS)


@pytest.mark.parametrize("name", DEVICES)
def test_every_number_of_a_device_has_a_source(name: str) -> None:
    device = DEVICES[name]
    given = set(json.loads((profiles.DATA / "devices" / f"{name}.json").read_text(encoding="utf-8")))
    assert given - {"title", "kind", "sources", "decode_rates"} <= set(device.sources)
    assert {n for n in _NUMBERS if n in given} <= set(device.sources)
    assert all(source.text for source in device.sources.values())
    assert device.decode_rates
    assert all(r.source.label == "published" and r.source.url for r in device.decode_rates)


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_has_every_field_in_a_sane_range(name: str) -> None:
    device = DEVICES[name]
    given = json.loads((profiles.DATA / "devices" / f"{name}.json").read_text(encoding="utf-8"))
    assert set(given) >= _REQUIRED
    assert device.kind in _KINDS
    for field, (least, most) in _SANE.items():
        assert least <= getattr(device, field) <= most, field
    assert device.idle_w < device.active_w
    assert ("radio_j_per_byte" in given) == (device.kind in {"phone", "sbc", "embedded", "laptop"})


@pytest.mark.parametrize("name", DEVICES)
def test_compute_is_given_at_16_8_and_4_bits_dense(name: str) -> None:
    device = DEVICES[name]
    assert {16, 8, 4} <= set(device.flops)
    assert set(device.flops) <= {32, 16, 8, 4}
    assert all(1e10 <= flops <= 1e16 for flops in device.flops.values())
    peaks = [device.flops[bits] for bits in (16, 8, 4)]
    assert peaks == sorted(peaks)  # narrower is never slower
    if device.flops[8] > device.flops[16] and "flops[8]" in device.sources:
        assert (
            device.flops[8] / device.flops[16] == pytest.approx(2, rel=0.01) or device.kind == "desktop-gpu"
        )
    widths = {key for key in device.sources if key.startswith("flops[")}
    assert widths <= {f"flops[{bits}]" for bits in device.flops}
    reached = [device.kernel(bits).flops for bits in (16, 8, 4)]
    assert all(reach <= peak for reach, peak in zip(reached, peaks, strict=True))


@pytest.mark.parametrize("name", LINKS)
def test_every_number_of_a_link_has_a_source(name: str) -> None:
    given = set(json.loads((profiles.DATA / "links" / f"{name}.json").read_text(encoding="utf-8")))
    assert given - {"title", "sources"} == set(LINKS[name].sources)


@pytest.mark.parametrize(
    "source", [s for p in (*DEVICES.values(), *LINKS.values()) for s in p.sources.values()]
)
def test_what_is_called_published_says_where(source: Source) -> None:
    assert source.url.startswith("https://") or source.label != "published"


@pytest.mark.parametrize("profile", [*DEVICES.values(), *LINKS.values()], ids=lambda p: p.name)
def test_profiles_survive_json(profile: DeviceProfile | LinkProfile) -> None:
    assert type(profile).from_dict(json.loads(json.dumps(profile.to_dict()))) == profile


def test_a_measured_device_survives_json() -> None:
    kernels = {16: Kernel(1e-4, 1e10, 1e11), 4: Kernel(2e-4, 2e10, 1e11)}
    device = replace(DEVICES["raspberry-pi-5"], name="host", kernels=kernels, forward_overhead_s=1e-4)
    again = DeviceProfile.from_dict(json.loads(json.dumps(device.to_dict())))
    assert again == device
    assert again.kernel(4) == kernels[4]
    assert again.kernel(8) == DEVICES["raspberry-pi-5"].kernel(8)


@given(drawn_links())
def test_any_valid_link_survives_json(link: LinkProfile) -> None:
    assert LinkProfile.from_dict(json.loads(json.dumps(link.to_dict()))) == link


def test_a_device_of_your_own_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "my-board.json"
    data = DEVICES["raspberry-pi-5"].to_dict()
    path.write_text(json.dumps({key: value for key, value in data.items() if key != "name"}))
    assert profiles.device(str(path)) == replace(DEVICES["raspberry-pi-5"], name="my-board")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file"),
        ("{", "no JSON object"),
        ("[1]", "no JSON object"),
        ('{"title": "x"}', "lacks the field\\(s\\) kind, flops, memory_bytes"),
    ],
)
def test_a_file_that_is_no_profile_is_named_with_the_way_out(
    text: str | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "my-board.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ProfileError, match=reason) as failed:
        profiles.device(str(path))
    assert str(path) in str(failed.value)
    assert "data/devices" in str(failed.value)


@pytest.mark.parametrize("values", [{"memory_bytes": 0}, {"flops": {"8": 1}}, {"speed": 1}])
def test_a_file_with_a_field_that_cannot_be_is_named(values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "my-board.json"
    path.write_text(json.dumps({**DEVICES["raspberry-pi-5"].to_dict(), **values}))
    with pytest.raises(ProfileError, match=r"my-board\.json.*(memory_bytes|16 bits|speed)"):
        profiles.device(str(path))


@pytest.mark.parametrize("name", ["h100", "H100-SXM", "raspberry-pi5", "", None])
def test_an_unknown_device_suggests_the_nearest(name: Any) -> None:
    with pytest.raises(UnknownNameError, match="known are a100-80gb"):
        profiles.device(name)


def test_an_unknown_link_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'starlink'"):
        profiles.link("starlnk")


def test_the_tables_that_are_handed_out_are_copies() -> None:
    profiles.device_profiles().clear()
    assert profiles.device_profiles() == DEVICES


_BAD_DEVICE: list[dict[str, Any]] = [
    {"flops": {}},
    {"flops": {8: 1e12}},
    {"flops": {16: 0}},
    {"flops": {16: "fast"}},
    {"flops": {"wide": 1e12}},
    {"flops": [1e12]},
    {"flops": None},
    {"flops_efficiency_at": {8: 0}},
    {"memory_bytes": 0},
    {"memory_bytes": "8 GB"},
    {"bandwidth_bytes_per_s": -1},
    {"bandwidth_bytes_per_s": float("nan")},
    {"bandwidth_bytes_per_s": float("inf")},
    {"bandwidth_efficiency": 0},
    {"block_overhead_s": -1e-6},
    {"forward_overhead_s": -1e-6},
    {"idle_w": -1},
    {"unknown": 1},
    {"sources": {"flops": {"text": "x", "label": "guessed"}}},
    {"sources": {"flops": {"words": "x"}}},
    {"sources": [1]},
    {"kernels": {"16": {"flops": 1}}},
    {"kernels": {"16": {"block_overhead_s": 0, "bandwidth_bytes_per_s": 1, "flops": -1}}},
    {"decode_rates": [{"model": "x"}]},
    {
        "decode_rates": [
            {"model": "x", "n_blocks": 1, "n_bytes": 1, "tokens_per_s": 0, "source": {"text": "x"}}
        ]
    },
]


@pytest.mark.parametrize("values", _BAD_DEVICE, ids=str)
def test_devices_that_cannot_be(values: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        DeviceProfile.from_dict({**DEVICES["h100-sxm"].to_dict(), **values})


@pytest.mark.parametrize(
    "values",
    [{"rtt_s": -1}, {"uplink_bps": 0}, {"downlink_bps": "x"}, {"loss": 1}, {"loss": -0.1}, {"latency": 1}],
    ids=str,
)
def test_links_that_cannot_be(values: dict[str, Any]) -> None:
    with pytest.raises(ProfileError):
        LinkProfile.from_dict({**LINKS["lte"].to_dict(), **values})


@pytest.mark.parametrize("data", [None, [], "lte", 3])
def test_what_is_no_profile_is_refused(data: Any) -> None:
    with pytest.raises(ProfileError):
        LinkProfile.from_dict(data)


def test_a_missing_width_takes_the_next_wider_one() -> None:
    device = replace(DEVICES["h100-sxm"], flops={32: 1.0, 16: 2.0, 8: 3.0})
    assert [device.flops_at(bits) for bits in (32, 16, 8, 4)] == [1.0, 2.0, 3.0, 3.0]
    assert replace(device, flops={16: 2.0}).flops_at(32) == 2.0


def test_dense_rates_are_meant_never_sparse_ones() -> None:
    assert DEVICES["h100-sxm"].flops_at(16) == 989e12
    assert DEVICES["a100-80gb"].flops_at(16) == 312e12
    assert DEVICES["rtx-4090"].flops_at(16) == 165.2e12
    assert DEVICES["jetson-orin-nano"].flops_at(16) < 67e12 / 2


@given(model_profiles())
def test_parameters_count_a_tied_tensor_once(model: ModelProfile) -> None:
    ends = model.embedding_params + (0 if model.tied else model.head_params)
    assert model.params == sum(model.block_params) + ends


@given(model_profiles(n_blocks=3))
def test_tuples_have_one_entry_per_block(model: ModelProfile) -> None:
    with pytest.raises(ProfileError, match="kv_elements"):
        replace(model, kv_elements=(1, 2))
    with pytest.raises(ProfileError, match="boundary_elements"):
        replace(model, boundary_elements=(1, 2, 3))


def test_a_rate_must_be_a_rate() -> None:
    with pytest.raises(ProfileError):
        DecodeRate("x", 32, 1e9, -1.0, Source("x"))
