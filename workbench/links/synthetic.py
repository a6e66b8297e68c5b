"""The shipped link traces: drawn from models whose parameters have a source, none of it recorded.

``python -m workbench.links.synthetic [--out DIR] [--seed N]`` writes them. One seed gives the same bytes
everywhere.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from workbench.links.traces import LinkStep, LinkTrace
from workbench.profiles import DATA, Source

__all__ = ["SEED", "lte_drive", "main", "starlink", "traces", "wifi_walk"]

SEED = 1
"""Of the shipped traces."""

_STEP_S = 0.5
_PACKET_BITS = 1448 * 8  # of an application, in a packet of 1500 bytes


# ---- LTE in a moving car

_DRIVE_S = 300.0
_WANDER_BPS = 200 * _PACKET_BITS  # per square root of a second
_DOWN_BPS, _UP_BPS = (0.5e6, 40e6), (0.2e6, 12e6)
_HANDOVER_EVERY_S, _HANDOVER_S = 20.0, (0.03, 0.08)
_GAP_EVERY_S, _GAP_S = 90.0, 1.0

_SPROUT = Source(
    "Winstein, Sivaraman, Balakrishnan: Stochastic Forecasts Achieve High Throughput and Low Delay over "
    "Cellular Networks (NSDI 2013), which takes a cellular link's rate as a Brownian motion of 200 packets/s "
    "per √s and its outages as lasting a second on average; limits, spacing and the slower uplink are ours",
    "modelled",
    "https://www.usenix.org/conference/nsdi13/technical-sessions/presentation/winstein",
)
_HANDOVER = Source(
    "a handover interrupts both directions for some 50 ms (3GPP TR 36.881, handover execution) and leads to "
    "a cell with a rate of its own; one every 20 s on average is ours",
    "modelled",
    "https://www.techplayon.com/lte-handover-latency-calculation-access-node/",
)
_LTE_RTT = Source(
    "45 ms, and up to 100 ms more where the rate is low and a scheduler makes a sender wait (ours)",
    "modelled",
)


def lte_drive(dice: random.Random) -> LinkTrace:
    """A car drives through cells: wandering rates, handovers and gaps in the coverage."""
    down_bps, up_bps = dice.uniform(*_DOWN_BPS), dice.uniform(*_UP_BPS)
    handovers, gaps = _moments(dice, _DRIVE_S, _HANDOVER_EVERY_S), _moments(dice, _DRIVE_S, _GAP_EVERY_S)
    breaks = {at_s: dice.uniform(*_HANDOVER_S) for at_s in handovers}
    breaks |= {at_s: max(0.2, dice.expovariate(1 / _GAP_S)) for at_s in gaps}
    steps = []
    for at_s in _times(_DRIVE_S, _STEP_S):
        if any(at_s - _STEP_S < moment <= at_s for moment in breaks):
            down_bps, up_bps = dice.uniform(*_DOWN_BPS), dice.uniform(*_UP_BPS)
        spread_bps = _WANDER_BPS * math.sqrt(_STEP_S)
        down_bps = _reflected(down_bps + dice.gauss(0, spread_bps), _DOWN_BPS)
        up_bps = _reflected(up_bps + dice.gauss(0, spread_bps * _UP_BPS[1] / _DOWN_BPS[1]), _UP_BPS)
        rtt_s = 0.045 + 0.1 * (1 - down_bps / _DOWN_BPS[1]) ** 2 + abs(dice.gauss(0, 0.004))
        steps.append(_step(at_s, up_bps, down_bps, rtt_s))
    return LinkTrace(
        "lte-drive",
        _with_breaks(steps, breaks, _DRIVE_S),
        _DRIVE_S,
        "LTE in a moving car (synthetic)",
        "modelled",
        {"uplink_bps": _SPROUT, "downlink_bps": _SPROUT, "rtt_s": _LTE_RTT, "outages": _HANDOVER},
    )


# ---- Starlink

_SKY_S = 300.0
_SLOT_S, _FIRST_SLOT_S = 15.0, 12.0
_AFTER_S, _BEFORE_S = 0.14, 0.075
_SLOT_DOWN_BPS, _SLOT_UP_BPS, _SLOT_SPREAD = 104.71e6, 14.84e6, 0.3
_SLOT_RTT_S, _SLOT_RTT_SPREAD_S = 0.045, 0.008
_BLOCKED_SHARE, _BLOCKED_S = 1 / 12, (0.3, 1.5)

_SLOTS = Source(
    "Mohan et al.: A Multifaceted Look at Starlink Performance (WWW 2024): links are rearranged every 15 s, "
    "and round trips and rates change with them; the spread from slot to slot is ours, the medians are those "
    "of the shipped profile",
    "modelled",
    "https://arxiv.org/abs/2310.09242",
)
_BOUNDARIES = Source(
    "Statistical Characterization and Prediction of E2E Latency over LEO Satellite Networks (2026): round "
    "trips are high for some 140 ms after and 75 ms before a rearrangement; how high, and the losses then, "
    "are ours",
    "modelled",
    "https://arxiv.org/abs/2601.08439",
)


def starlink(dice: random.Random) -> LinkTrace:
    """A dish under a moving constellation: every 15 s another path."""
    steps: list[LinkStep] = []
    breaks: dict[float, float] = {}
    begin_s, end_s = 0.0, _FIRST_SLOT_S
    while begin_s < _SKY_S:
        steps += _slot(dice, begin_s, min(end_s, _SKY_S))
        if dice.random() < _BLOCKED_SHARE:
            breaks[round(dice.uniform(begin_s + 1, end_s - 2), 3)] = dice.uniform(*_BLOCKED_S)
        begin_s, end_s = end_s, end_s + _SLOT_S
    sources = {"uplink_bps": _SLOTS, "downlink_bps": _SLOTS, "rtt_s": _BOUNDARIES, "loss": _BOUNDARIES}
    title = "Starlink, rearranged every 15 s (synthetic)"
    return LinkTrace("starlink", _with_breaks(steps, breaks, _SKY_S), _SKY_S, title, "modelled", sources)


def _slot(dice: random.Random, begin_s: float, end_s: float) -> Iterator[LinkStep]:
    down_bps = _SLOT_DOWN_BPS * math.exp(dice.gauss(0, _SLOT_SPREAD))
    up_bps = _SLOT_UP_BPS * math.exp(dice.gauss(0, _SLOT_SPREAD))
    rtt_s = max(0.02, dice.gauss(_SLOT_RTT_S, _SLOT_RTT_SPREAD_S))
    drift_s = dice.gauss(0, 0.0003)  # per second: the satellite moves on
    yield _step(begin_s, up_bps, down_bps, rtt_s + dice.uniform(0.03, 0.09), dice.uniform(0.02, 0.08))
    at_s = begin_s + _AFTER_S
    while at_s < end_s - _BEFORE_S:
        wobble = 1 + dice.gauss(0, 0.05)
        yield _step(
            at_s,
            up_bps * wobble,
            down_bps * wobble,
            max(0.015, rtt_s + drift_s * (at_s - begin_s) + dice.gauss(0, 0.0015)),
            0.0005,
        )
        at_s = math.floor(at_s / _STEP_S + 1) * _STEP_S
    yield _step(
        end_s - _BEFORE_S, up_bps, down_bps, rtt_s + dice.uniform(0.01, 0.04), dice.uniform(0.005, 0.03)
    )


# ---- Wi-Fi on foot

_PACE_M_PER_S, _NEAR_M, _FAR_M, _STAY_S = 0.6, 3.0, 25.0, 20.0
_SENT_DBM, _MHZ, _EXPONENT, _MARGIN_DB = 20.0, 5200.0, 3.0, 6.0
_SHADOW_DB, _SHADOW_M = 4.0, 3.0
_SENSITIVITY_DBM = (-76, -73, -71, -68, -64, -60, -59, -58, -53, -51)  # MCS 0 to 9, 80 MHz
_PHY_BPS = (65e6, 130e6, 195e6, 260e6, 390e6, 520e6, 585e6, 650e6, 780e6, 866.7e6)  # two streams
_SHARE = 0.6  # of the physical rate that an application gets

_MCS = Source(
    "IEEE 802.11ac, 80 MHz, two streams: data rate by MCS, of which an application gets 60 % (ours)",
    "modelled",
    "https://www.ligowave.com/wiki/?p=2533",
)
_SIGNAL = Source(
    "smallest input level by MCS as IEEE 802.11 asks for it; path loss in the form of Rec. ITU-R P.1238 with "
    "an exponent of 3, shadowing of 4 dB and a margin of 6 dB (ours)",
    "modelled",
    "https://3roam.com/wi-fi-receiver-sensitivity/",
)
_RETRIES = Source(
    "2 ms near by, up to 30 ms and 1 % loss at the edge, where frames are sent again (ours)", "modelled"
)


def wifi_walk(dice: random.Random) -> LinkTrace:
    """Somebody walks away from an access point, stays at the edge of its reach, and comes back."""
    walk_s = (_FAR_M - _NEAR_M) / _PACE_M_PER_S
    duration_s = math.ceil(2 * walk_s + _STAY_S)
    shadow_db, steps = 0.0, []
    for at_s in _times(duration_s, _STEP_S):
        kept = math.exp(-_PACE_M_PER_S * _STEP_S / _SHADOW_M)  # Gudmundson 1991
        shadow_db = kept * shadow_db + math.sqrt(1 - kept**2) * dice.gauss(0, _SHADOW_DB)
        away_s = min(at_s, walk_s, max(0.0, 2 * walk_s + _STAY_S - at_s))
        steps.append(_wifi_step(at_s, _NEAR_M + _PACE_M_PER_S * away_s, shadow_db, dice))
    sources = {
        "uplink_bps": _MCS,
        "downlink_bps": _MCS,
        "signal": _SIGNAL,
        "rtt_s": _RETRIES,
        "loss": _RETRIES,
    }
    title = "Wi-Fi, walking out of reach and back (synthetic)"
    return LinkTrace("wifi-walk", tuple(steps), duration_s, title, "modelled", sources)


def _wifi_step(at_s: float, distance_m: float, shadow_db: float, dice: random.Random) -> LinkStep:
    loss_db = 20 * math.log10(_MHZ) - 28 + 10 * _EXPONENT * math.log10(distance_m)
    received_dbm = _SENT_DBM - loss_db - shadow_db - _MARGIN_DB
    mcs = sum(received_dbm >= needed for needed in _SENSITIVITY_DBM) - 1
    if mcs < 0:
        return LinkStep(at_s, 0.0, 0.0, 0.03, 0.01)
    rate_bps, far = _SHARE * _PHY_BPS[mcs], 1 - mcs / (len(_PHY_BPS) - 1)
    return _step(at_s, rate_bps, rate_bps, 0.002 + 0.028 * far**2 * dice.uniform(0.5, 1), 0.01 * far**3)


# ---- all of them

_MAKERS: Mapping[str, Callable[[random.Random], LinkTrace]] = {
    "lte-drive": lte_drive,
    "starlink": starlink,
    "wifi-walk": wifi_walk,
}


def traces(seed: int = SEED) -> list[LinkTrace]:
    """All of them, each from dice of its own."""
    return [make(random.Random(f"{name} {seed}")) for name, make in _MAKERS.items()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the traces."""
    parser = argparse.ArgumentParser(prog="python -m workbench.links.synthetic", description=__doc__)
    parser.add_argument("--out", type=Path, default=DATA / "traces", metavar="DIR")
    parser.add_argument("--seed", type=int, default=SEED, metavar="N")
    options = parser.parse_args(arguments)
    for trace in traces(options.seed):
        path = options.out / f"{trace.name}.csv"
        trace.to_csv(path)
        sys.stdout.write(f"{path}: {len(trace.steps)} rows, {trace.duration_s:g} s\n")


def _step(at_s: float, up_bps: float, down_bps: float, rtt_s: float, loss: float | None = None) -> LinkStep:
    """Rounded: to what a table needs, and so that every machine writes the same."""
    rounded = None if loss is None else round(loss, 4)
    return LinkStep(round(at_s, 3), round(up_bps, -3), round(down_bps, -3), round(rtt_s, 4), rounded)


def _times(duration_s: float, step_s: float) -> Iterator[float]:
    return (index * step_s for index in range(math.ceil(duration_s / step_s)))


def _moments(dice: random.Random, until_s: float, every_s: float) -> Iterator[float]:
    """A Poisson process, though not at the very beginning or end."""
    at_s = dice.expovariate(1 / every_s)
    while at_s < until_s - 5:
        if at_s > 1:
            yield round(at_s, 3)
        at_s += dice.expovariate(1 / every_s)


def _reflected(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    if value < low:
        value = 2 * low - value
    return max(low, min(high, 2 * high - value if value > high else value))


def _with_breaks(
    steps: Sequence[LinkStep], breaks: Mapping[float, float], until_s: float
) -> tuple[LinkStep, ...]:
    """Put outages into steps: nothing gets through from a moment on, for so long."""
    merged = {step.at_s: step for step in steps}
    for begin_s, for_s in breaks.items():
        end_s = min(round(begin_s + for_s, 3), until_s)
        held = {at_s: step for at_s, step in merged.items() if at_s <= end_s}
        after = held[max(held)]
        merged = {at_s: step for at_s, step in merged.items() if not begin_s <= at_s <= end_s}
        merged[begin_s] = LinkStep(begin_s, 0.0, 0.0, after.rtt_s, after.loss)
        merged[end_s] = LinkStep(end_s, after.uplink_bps, after.downlink_bps, after.rtt_s, after.loss)
    return tuple(merged[at_s] for at_s in sorted(merged))


if __name__ == "__main__":
    main()
