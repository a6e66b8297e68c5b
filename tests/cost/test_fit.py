"""Overhead and bandwidth of a device: fitted to published rates, and the shipped fits repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import profiles
from workbench.cost import decode_rate, fit_decode
from workbench.errors import ProfileError
from workbench.profiles import DecodeRate, Source

DEVICES = profiles.device_profiles()
POINTS = [(device, rate) for device in DEVICES.values() for rate in device.decode_rates]


def _rate(n_blocks: int, n_bytes: float, tokens_per_s: float) -> DecodeRate:
    return DecodeRate("drawn", n_blocks, n_bytes, tokens_per_s, Source("drawn"))


@pytest.mark.parametrize(("device", "rate"), POINTS, ids=lambda x: getattr(x, "name", None) or x.model)
def test_published_rates_are_met(device: profiles.DeviceProfile, rate: DecodeRate) -> None:
    """These are the points that the numbers were fitted to: this shows that the model's shape holds them.

    It does not validate the model: no point was kept apart.
    """
    kernel = device.kernel(16)
    modelled = decode_rate(rate.n_blocks, rate.n_bytes, kernel.block_overhead_s, kernel.bandwidth_bytes_per_s)
    assert modelled == pytest.approx(rate.tokens_per_s, rel=0.10)


@pytest.mark.parametrize("name", DEVICES)
def test_the_shipped_numbers_are_the_fit(name: str) -> None:
    device = DEVICES[name]
    kept = None if len({r.n_bytes // 1e9 for r in device.decode_rates}) > 1 else device.block_overhead_s
    overhead, bandwidth = fit_decode(device.decode_rates, kept)
    assert device.block_overhead_s == pytest.approx(overhead, rel=1e-3)
    assert device.bandwidth_efficiency == pytest.approx(bandwidth / device.bandwidth_bytes_per_s, rel=1e-3)
    assert device.bandwidth_efficiency < 1


def test_one_rate_kept_apart_is_predicted() -> None:
    """The Galaxy S24 has rates of five models: each is predicted from the other four."""
    rates = DEVICES["galaxy-s24"].decode_rates
    for left_out in rates:
        fitted = fit_decode([r for r in rates if r is not left_out])
        modelled = decode_rate(left_out.n_blocks, left_out.n_bytes, *fitted)
        assert modelled == pytest.approx(left_out.tokens_per_s, rel=0.15)


@given(st.floats(0, 1e-2), st.floats(1e8, 1e13), st.integers(1, 100), st.integers(1, 100))
def test_a_fit_finds_what_made_the_rates(overhead: float, bandwidth: float, n: int, m: int) -> None:
    sizes = [(n, 1e9), (m, 1e9 * m / n * 3)]
    rates = [_rate(blocks, size, decode_rate(blocks, size, overhead, bandwidth)) for blocks, size in sizes]
    found = fit_decode(rates)
    for blocks, size in sizes:
        assert decode_rate(blocks, size, *found) == pytest.approx(
            decode_rate(blocks, size, overhead, bandwidth), rel=1e-3
        )


def test_an_overhead_below_zero_is_not_believed() -> None:
    overhead, bandwidth = fit_decode([_rate(10, 1e9, 10.0), _rate(10, 2e9, 4.0)])
    assert overhead == 0.0
    assert 8e9 < bandwidth < 10e9


def test_one_rate_alone_says_nothing_of_the_overhead() -> None:
    with pytest.raises(ProfileError, match="give an overhead"):
        fit_decode([_rate(32, 4e9, 10.0)])
    assert fit_decode([_rate(32, 4e9, 10.0)], 1e-3) == (1e-3, pytest.approx(4e9 / (0.1 - 0.032)))


def test_an_overhead_that_leaves_no_time_is_refused() -> None:
    with pytest.raises(ProfileError, match="more than the rates leave"):
        fit_decode([_rate(32, 4e9, 10.0)], 1.0)
