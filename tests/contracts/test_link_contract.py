"""What every link guarantees, whichever way it shapes the path."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from workbench.errors import LinkError, UnknownNameError
from workbench.links import LINK_KINDS, Direction, Link, LinkStats, make_flow, make_link
from workbench.profiles import LinkProfile

PROFILE = LinkProfile(rtt_s=0.02, uplink_bps=8e6, downlink_bps=80e6, name="test")
RATES: dict[Direction, float] = {"up": 8e6, "down": 80e6}
CLOCKS = 0.999  # two clocks of one host may differ by this much


@pytest.fixture(params=sorted(LINK_KINDS))
def link(request: pytest.FixtureRequest) -> Iterator[Link]:
    with make_link(request.param, PROFILE) as made:
        yield made


def test_a_link_says_what_it_is(link: Link) -> None:
    assert link.kind in LINK_KINDS
    assert isinstance(link, LINK_KINDS[link.kind])
    assert link.profile == PROFILE
    assert "delay" in link.models
    assert link.omits
    assert link.notes == ()


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("n_bytes", [1, 5000, 100_000])
def test_nothing_is_faster_than_delay_and_rate(link: Link, direction: Direction, n_bytes: int) -> None:
    took_s = link.transfer_s(n_bytes, direction)
    assert took_s >= CLOCKS * (PROFILE.rtt_s / 2 + n_bytes * 8 / RATES[direction])


@pytest.mark.parametrize("direction", ["up", "down"])
def test_its_own_model_is_never_slower_than_it(link: Link, direction: Direction) -> None:
    predicted_s = make_flow(link.kind, PROFILE, direction).transfer_s(50_000, 0.0)
    assert link.transfer_s(50_000, direction) >= CLOCKS * predicted_s


def test_what_was_carried_is_counted(link: Link) -> None:
    assert link.stats() == LinkStats(0, 0)
    link.transfer_s(3000, "up")
    link.transfer_s(70, "down")
    link.transfer_s(1, "up")
    assert link.stats() == LinkStats(3001, 70)


def test_a_change_holds_from_the_next_byte_on(link: Link) -> None:
    slow = LinkProfile(0.1, 1e6, 1e6, name="slow")
    link.transfer_s(1000, "up")
    link.change(slow)
    assert link.profile == slow
    assert link.transfer_s(10_000, "up") >= CLOCKS * (0.05 + 0.08)
    assert link.transfer_s(1, "down") >= CLOCKS * 0.05


def test_a_closed_link_stays_closed(link: Link) -> None:
    link.transfer_s(500, "up")
    link.close()
    link.close()
    with pytest.raises(LinkError, match="closed"):
        link.transfer_s(1, "up")
    with pytest.raises(LinkError, match="closed"):
        link.change(PROFILE)


def test_it_is_used_from_any_thread(link: Link) -> None:
    took_s: list[float] = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: took_s.append(link.transfer_s(100, "down")))
        thread.start()
        thread.join()
    assert min(took_s) >= CLOCKS * PROFILE.rtt_s / 2


def test_netem_is_not_promised() -> None:
    for make in (lambda: make_link("netem", PROFILE), lambda: make_flow("netem", PROFILE, "up")):
        with pytest.raises(LinkError, match=r"'proxy'.*'simulated'"):
            make()


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'proxy'"):
        make_link("proxi", PROFILE)
    with pytest.raises(UnknownNameError, match="link kind"):
        make_flow("", PROFILE, "up")
