"""``workbench devices`` and ``workbench links``."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable
from typing import Any

from workbench import profiles
from workbench.cli.text import print_json, quantity, table
from workbench.links import LinkTrace, link_traces
from workbench.profiles import DeviceProfile, LinkProfile

__all__ = ["profile_text", "run"]

_INDENT = " " * 28
_WRAP = textwrap.TextWrapper(  # addresses stay whole
    110, initial_indent=_INDENT, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False
)


def run(args: argparse.Namespace) -> int:
    """List the shipped profiles of a kind, or show one of them."""
    if args.name:
        _show_one(
            profiles.device(args.name) if args.kind == "device" else profiles.link(args.name), args.json
        )
    elif args.json:
        listed = profiles.device_profiles if args.kind == "device" else profiles.link_profiles
        known: dict[str, Any] = dict(listed())
        print_json({name: profile.to_dict() for name, profile in known.items()})
    elif args.kind == "device":
        print(_device_table(profiles.device_profiles().values()))
    else:
        print(_link_table(profiles.link_profiles().values()))
        print()
        print(_trace_table(link_traces().values()))
    return 0


def _show_one(profile: DeviceProfile | LinkProfile, as_json: bool) -> None:
    print_json(profile.to_dict()) if as_json else print(profile_text(profile))


def profile_text(profile: DeviceProfile | LinkProfile) -> str:
    """A profile as a table: each field with its value, its label and its source."""
    data = profile.to_dict()
    sources = data.pop("sources")
    lines = [
        line
        for name, value in data.items()
        if value not in ({}, (), [])
        for line in _field_lines(name, value, sources.get(name))
        + [more for key in sources if key.startswith(f"{name}[") for more in _source_lines(key, sources[key])]
    ]
    return "\n".join(lines)


def _field_lines(name: str, value: Any, source: dict[str, str] | None) -> list[str]:
    label = source["label"] if source else ""
    several = [f"{'':24}{part}" for part in map(_flat, value)] if isinstance(value, tuple | list) else []
    first = f"{name:24}{'' if several else _flat(value):26}  {label}".rstrip()
    return [first, *several, *_WRAP.wrap(_said(source))]


def _source_lines(name: str, source: dict[str, str]) -> list[str]:
    return [f"  {name:22}{'':26}  {source['label']}".rstrip(), *_WRAP.wrap(_said(source))]


def _said(source: dict[str, str] | None) -> str:
    return " ".join((source["text"], source["url"])).strip() if source else ""


def _flat(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.12g}"
    if not isinstance(value, dict):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return ", ".join(f"{k}: {_flat(v)}" for k, v in value.items() if k != "source")


def _device_table(devices: Iterable[DeviceProfile]) -> str:
    rows = [
        [
            d.name,
            d.kind,
            quantity(d.memory_bytes, "B"),
            quantity(d.bandwidth_bytes_per_s, "B/s"),
            quantity(d.flops_at(16), "FLOP/s"),
            f"{d.active_w:g} W",
        ]
        for d in devices
    ]
    return table(["device", "kind", "memory", "bandwidth", "peak at 16 bits", "active"], rows)


def _link_table(links: Iterable[LinkProfile]) -> str:
    rows = [
        [
            link.name,
            quantity(link.rtt_s, "s"),
            quantity(link.jitter_s, "s"),
            quantity(link.uplink_bps, "bit/s"),
            quantity(link.downlink_bps, "bit/s"),
            f"{link.loss * 100:g} %",
        ]
        for link in links
    ]
    return table(["link", "round trip", "jitter", "up", "down", "loss"], rows)


def _trace_table(traces: Iterable[LinkTrace]) -> str:
    rows = [[trace.name, quantity(trace.duration_s, "s"), trace.label, trace.title] for trace in traces]
    return table(["trace", "lasts", "", "of"], rows)
