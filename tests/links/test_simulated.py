"""The arithmetic of TCP, against measurements through netem and against its own limits.

Measured through veth and netem at 100 Mbit and 50 ms each way: 4 MiB and the answer to it took 1004 to 1164
ms on a cold connection, 452 on a warm one, 709 after 2 s idle; 100 KB at 50 Mbit 312 cold and 117 warm.
"""

from __future__ import annotations

import math
import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import LinkError
from workbench.links import SimulatedLink, TcpFlow, goodput_bps, tcp_transfer_s
from workbench.links.simulated import INITIAL_WINDOW, MSS_BYTES
from workbench.profiles import LinkProfile, links

RETURN_S = 0.05
FAST = LinkProfile(0.1, goodput_bps(100e6), goodput_bps(100e6))
HALF = LinkProfile(0.1, goodput_bps(50e6), goodput_bps(50e6))
LARGE = 4 << 20

rates = st.floats(1e4, 1e11)
profiles = st.builds(
    LinkProfile,
    rtt_s=st.floats(0, 2),
    uplink_bps=rates,
    downlink_bps=rates,
    loss=st.just(0.0) | st.floats(0, 0.5),
)
sizes = st.integers(0, 20 * MSS_BYTES) | st.integers(0, 10**9)
windows = st.floats(1, 1e6) | st.just(math.inf)


@pytest.mark.parametrize(
    ("profile", "n_bytes", "window", "measured_s"),
    [
        (FAST, LARGE, INITIAL_WINDOW, 1.004),
        (FAST, LARGE, math.inf, 0.452),
        (HALF, 100_000, INITIAL_WINDOW, 0.312),
        (HALF, 100_000, math.inf, 0.117),
    ],
)
def test_measured_transfers(profile: LinkProfile, n_bytes: int, window: float, measured_s: float) -> None:
    took_s = tcp_transfer_s(n_bytes, profile, "up", window=window) + RETURN_S
    assert took_s == pytest.approx(measured_s, rel=0.01)


def test_a_connection_over_time() -> None:
    """Cold, warm, and after two seconds idle."""
    flow, at_s = TcpFlow(FAST, "up"), 0.0
    for gap_s, measured_s, tolerance in ((0.0, 1.004, 0.01), (0.0, 0.452, 0.01), (2.0, 0.709, 0.05)):
        at_s += gap_s
        took_s = flow.transfer_s(LARGE, at_s) + RETURN_S
        at_s += took_s
        assert took_s == pytest.approx(measured_s, rel=tolerance)


def test_a_long_idle_connection_is_as_cold_as_a_fresh_one() -> None:
    flow = TcpFlow(FAST, "up")
    cold_s = flow.transfer_s(LARGE, 0.0)
    assert flow.transfer_s(LARGE, 1.0) < cold_s
    assert flow.transfer_s(LARGE, 1e4) == cold_s


def test_small_messages_do_not_open_the_window() -> None:
    flow = TcpFlow(FAST, "up")
    for step in range(100):
        flow.transfer_s(300, step * 0.15)
    assert flow.window == INITIAL_WINDOW


def test_a_token_takes_half_a_round_trip() -> None:
    assert tcp_transfer_s(100, FAST, "down") == pytest.approx(0.05, rel=1e-3)


@given(profiles, sizes, windows, st.sampled_from(["up", "down"]))
def test_never_faster_than_delay_and_rate(profile: LinkProfile, n: int, window: float, way: str) -> None:
    rate_bps = profile.uplink_bps if way == "up" else profile.downlink_bps
    took_s = tcp_transfer_s(n, profile, way, window=window)  # type: ignore[arg-type]
    assert took_s >= (profile.rtt_s / 2 + n * 8 / rate_bps) * (1 - 1e-9)
    assert math.isfinite(took_s)


@given(profiles, sizes, sizes, windows)
def test_more_takes_longer(profile: LinkProfile, n: int, more: int, window: float) -> None:
    less_s = tcp_transfer_s(n, profile, "up", window=window)
    assert tcp_transfer_s(n + more, profile, "up", window=window) >= less_s * (1 - 1e-9)


@given(profiles, sizes, windows, windows)
def test_a_wider_window_is_at_least_as_fast(profile: LinkProfile, n: int, one: float, other: float) -> None:
    narrow_s = tcp_transfer_s(n, profile, "up", window=min(one, other))
    wide_s = tcp_transfer_s(n, profile, "up", window=max(one, other))
    # The last round of a narrow window may end within the first of a wide one: one segment's time apart.
    assert wide_s <= narrow_s * (1 + 1e-9) + 2 * MSS_BYTES * 8 / profile.uplink_bps


@given(profiles, sizes)
def test_loss_never_helps(profile: LinkProfile, n: int) -> None:
    lossless = LinkProfile(profile.rtt_s, profile.uplink_bps, profile.downlink_bps)
    assert tcp_transfer_s(n, profile, "up") >= tcp_transfer_s(n, lossless, "up")


def test_one_percent_loss_takes_seconds() -> None:
    """Mathis et al. (1997): about 1.22 MSS / (RTT sqrt(p)), 1.4 Mbit/s here."""
    lossy = LinkProfile(0.1, goodput_bps(100e6), 1e6, loss=0.01)
    mathis_s = LARGE * 8 / (1.22 * MSS_BYTES * 8 / (0.1 * math.sqrt(0.01)))
    assert tcp_transfer_s(LARGE, lossy, "up") == pytest.approx(mathis_s, rel=0.15)


def test_loss_adds_its_timeout_to_a_single_segment() -> None:
    lossy = LinkProfile(0.1, 1e9, 1e9, loss=0.01)
    assert tcp_transfer_s(100, lossy, "up") == pytest.approx(0.05 + 0.01 * 0.3, rel=1e-3)


@given(profiles, sizes)
def test_a_path_without_tcp_is_delay_and_rate(profile: LinkProfile, n: int) -> None:
    took_s = tcp_transfer_s(n, profile, "down", slow_start=False)
    assert took_s == profile.rtt_s / 2 + n * 8 / profile.downlink_bps


@pytest.mark.parametrize(("n_bytes", "window"), [(-1, 10.0), (1, 0.0), (1, math.nan)])
def test_what_cannot_be_is_refused(n_bytes: int, window: float) -> None:
    with pytest.raises(LinkError, match="window"):
        tcp_transfer_s(n_bytes, FAST, "up", window=window)


def test_the_simulated_link_keeps_its_own_time() -> None:
    with SimulatedLink(FAST) as link:
        cold_s = link.transfer_s(LARGE, "up")
        assert link.now_s == cold_s
        link.wait(2.0)
        restarted_s = link.transfer_s(LARGE, "up")
        assert FAST.rtt_s / 2 + LARGE * 8 / FAST.uplink_bps < restarted_s < cold_s
        assert link.now_s == cold_s + 2.0 + restarted_s
        assert link.transfer_s(LARGE, "down") == cold_s  # each direction has its window


@pytest.mark.parametrize("name", sorted(links()))
def test_every_shipped_link_gives_a_time(name: str) -> None:
    profile = links()[name]
    assert 0 < tcp_transfer_s(100, profile, "up") <= tcp_transfer_s(LARGE, profile, "up") < 200


def test_it_is_arithmetic() -> None:
    """No loop over segments: a terabyte costs what a megabyte does."""
    once_s = timeit.timeit(lambda: tcp_transfer_s(10**12, FAST, "up"), number=100) / 100
    assert once_s < 0.01
