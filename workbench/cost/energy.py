"""Energy of one request: what each place draws while it works and waits, and what sending costs the radio."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from workbench.plan import EDGE
from workbench.profiles import DeviceProfile
from workbench.trace import BUSY_KINDS, Span

__all__ = ["request_energy_j"]


def request_energy_j(
    spans: Iterable[Span],
    total_s: float,
    devices: Mapping[str, DeviceProfile],
    sent_bytes: int,
    user: str = EDGE,
) -> dict[str, float]:
    """Joules per place, and of the radio of the user's device.

    The user's device works for this request alone: it draws its idle power while it waits. Others serve more
    than one meanwhile: only their busy time counts. Energy is active power x time: an upper bound where a
    device is not fully loaded.

    Args:
        sent_bytes: what the user's device sent; profiles say what sending one byte costs, receiving is not
            counted.
        user: the place where the user sits.
    """
    busy = dict.fromkeys(devices, 0.0)
    for span in spans:
        if span.kind in BUSY_KINDS:
            busy[span.place] = busy.get(span.place, 0.0) + span.duration_s
    energy = {place: device.active_w * busy[place] for place, device in devices.items()}
    if user in devices:
        energy[user] += devices[user].idle_w * max(0.0, total_s - busy[user])
        energy["radio"] = devices[user].radio_j_per_byte * sent_bytes
    return energy
