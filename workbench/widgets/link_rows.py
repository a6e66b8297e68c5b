"""A link by name or by numbers: a preset fills the numbers in, a number that is moved makes it one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isclose

from workbench import profiles
from workbench.profiles import LinkProfile
from workbench.widgets.controls import Choice, NumberRow

__all__ = ["CUSTOM", "KIND_TITLES", "PER", "LinkRows"]

CUSTOM = "custom"
PER = {
    "rtt_s": 1e3,
    "uplink_bps": 1e-6,
    "downlink_bps": 1e-6,
    "jitter_s": 1e3,
    "loss": 100.0,
    "loss_burst": 1.0,
}
"""What a field of a link profile is multiplied with to be shown: ms, Mbit/s, per cent and packets."""
KIND_TITLES = {
    "netem": "the kernel's netem (TCP, loss)",
    "proxy": "relay (delay, rate, no slow start)",
    "simulated": "TCP, simulated (slow start, loss)",
}
"""By link kind: whose model of a path it is."""


class LinkRows:
    """A list of shipped links and rows of numbers, which together say a link profile.

    Args:
        link: to begin with; what of it has no row is kept.
        fields: of `LinkProfile`, those that have a row.
    """

    def __init__(self, link: LinkProfile, fields: Sequence[str]) -> None:
        self._base = link
        self._applied = ""  # the preset whose numbers stand in the controls
        shipped = profiles.link_profiles().values()
        titles = [*((link.title, link.name) for link in shipped), ("your own numbers", CUSTOM)]
        self.choice = Choice("Link", titles, CUSTOM, hint="A published network, to be changed below")
        rows = _rows()
        self.rows: Mapping[str, NumberRow] = {name: rows[name] for name in fields}
        self.show(link)

    @property
    def profile(self) -> LinkProfile:
        """The profile that was given, where its numbers still stand; else one's own with the rest of it."""
        values = {name: row.value / PER[name] for name, row in self.rows.items()}
        known = profiles.link_profiles().get(self.choice.value, self._base)
        for profile in (known, self._base):
            if all(isclose(values[name], getattr(profile, name), abs_tol=1e-12) for name in values):
                return profile
        return replace(self._base, **values, name=CUSTOM, title="your own numbers", sources={})

    def show(self, link: LinkProfile) -> None:
        """Have the controls say this link."""
        self._base = link
        for name, row in self.rows.items():
            row.value = getattr(link, name) * PER[name]
        named = profiles.link_profiles().get(link.name) == link
        self._applied = self.choice.value = link.name if named else CUSTOM

    def follow(self) -> bool:
        """A preset that was chosen puts its numbers in, a moved number leaves it; True where any changed."""
        chosen = self.choice.value
        if chosen not in (self._applied, CUSTOM):
            self.show(profiles.link(chosen))
            return True
        if chosen != CUSTOM and self.profile.name != chosen:
            self._applied = self.choice.value = CUSTOM
            return True
        if chosen == CUSTOM:
            self._applied = CUSTOM
        return False


def _rows() -> dict[str, NumberRow]:
    """A row for every field that can have one."""
    burst = "Packets lost in a row, on average: 1 loses each by itself"
    return {
        "rtt_s": NumberRow("Round trip", "ms", 50, 0.01, 3000, log=True, hint="RTT without load"),
        "uplink_bps": NumberRow("Uplink", "Mbit/s", 10, 0.01, 1e5, log=True, hint="To the cloud"),
        "downlink_bps": NumberRow("Downlink", "Mbit/s", 10, 0.01, 1e5, log=True, hint="From it"),
        "jitter_s": NumberRow("Jitter", "ms", 0, 0, 500, hint="Standard deviation of the one-way delay"),
        "loss": NumberRow("Loss", "%", 0, 0, 30, hint="Packets lost; the relay reproduces none"),
        "loss_burst": NumberRow("Loss burst", "pkts", 1, 1, 50, hint=burst),
    }
