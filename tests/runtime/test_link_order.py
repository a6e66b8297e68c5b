"""Profile, trace and outage of a watched link: each may change and leaves the others as they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import ProfileError
from workbench.links import LinkTrace, SimulatedLink, link_trace
from workbench.links.traces import LinkStep
from workbench.profiles import LinkProfile
from workbench.runtime.link_order import LinkOrder, from_here, read_trace, trace_to_dict

LINK = LinkProfile(0.05, 5e6, 20e6)
TRACE = LinkTrace("two", (LinkStep(1, uplink_bps=1e6), LinkStep(3, uplink_bps=2e6, loss=1)), 4.0)
SLOPE = LinkTrace("slope", tuple(LinkStep(i, uplink_bps=1e6 * (i + 1)) for i in range(5)), 5.0)


@given(st.sampled_from([TRACE, SLOPE]), st.integers(0, 40), st.integers(0, 40), st.booleans())
def test_the_rest_of_a_trace_is_what_it_says_from_there_on(
    trace: LinkTrace, at: int, later: int, loop: bool
) -> None:
    at_s, later_s = at / 4 + 0.125, later / 4  # never at a step itself, where rounding decides
    rest = from_here(trace, at_s, loop=loop)
    found, said = rest.at(later_s, loop=loop), trace.at(at_s + later_s, loop=loop)
    assert (found.uplink_bps, found.loss) == (said.uplink_bps, said.loss)


def test_a_trace_that_has_not_begun_is_itself() -> None:
    assert from_here(TRACE, 0.0, loop=True) is TRACE


def test_an_outage_lies_over_the_trace_and_ends_by_itself() -> None:
    order = LinkOrder(LINK)
    order.follow(TRACE, 10.0, loop=False)
    order.outage(1.0, 11.5)
    assert order.at(10.5) == (LINK, frozenset({"up", "down"}))  # an outage holds until it ends
    assert order.at(12.0)[1] == {"up", "down"}
    assert order.next_s(12.0) == 12.5
    profile, out = order.at(12.6)
    assert (profile.uplink_bps, out) == (1e6, frozenset())
    assert order.at(13.5)[1] == {"up", "down"}  # the trace's own
    order.follow(None, 13.5, loop=False)
    assert order.at(14.0) == (LINK, frozenset())


def test_a_profile_below_a_trace_changes_what_the_trace_leaves_out() -> None:
    order = LinkOrder(LINK)
    order.follow(TRACE, 0.0, loop=False)
    order.change(LinkProfile(0.1, 7e6, 9e6))
    profile, _ = order.at(2.0)
    assert (profile.rtt_s, profile.uplink_bps, profile.downlink_bps) == (0.1, 1e6, 9e6)


def test_a_link_is_told_what_holds_now() -> None:
    order = LinkOrder(LINK)
    with SimulatedLink(LINK) as link:
        order.follow(TRACE, 0.0, loop=False)
        order.enact(link, 2.0)
        assert link.profile.uplink_bps == 1e6
        link.wait(1.5)
        assert link.profile.uplink_bps == 2e6
        order.follow(None, 3.0, loop=False)
        order.outage(1.0, 3.0)
        order.enact(link, 3.0)
        order.resume()
        order.enact(link, 3.5)
        assert link.transfer_s(1000, "up") < 1


def test_a_trace_that_cannot_lie_on_the_profile_is_refused_and_changes_nothing() -> None:
    order = LinkOrder(LinkProfile(0.05, 5e6, 20e6, loss=0.01, loss_burst=1.2))
    lossy = LinkTrace("lossy", (LinkStep(0, loss=0.9),), 1.0)
    with pytest.raises(ProfileError, match="lossy"):
        order.follow(lossy, 0.0, loop=False)
    assert order.at(1.0)[0].loss == 0.01


def test_a_trace_survives_json() -> None:
    shipped = link_trace("starlink")
    again = read_trace(trace_to_dict(shipped))
    assert (again.steps, again.duration_s, again.title) == (shipped.steps, shipped.duration_s, shipped.title)
