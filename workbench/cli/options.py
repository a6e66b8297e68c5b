"""What the arguments of a command name: a model, a plan, devices, a link, a request."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from workbench import deployment, profiles
from workbench.errors import InputError
from workbench.links import LinkTrace, link_trace
from workbench.models import Model, load_model
from workbench.plan import Plan
from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile

__all__ = [
    "Request",
    "Setting",
    "device_of",
    "link_of",
    "model_of",
    "plan_of",
    "profile_of",
    "request_of",
    "setting_of",
    "trace_of",
]


@dataclass(frozen=True)
class Setting:
    """Where a plan runs."""

    edge: DeviceProfile
    cloud: DeviceProfile
    link: LinkProfile


class Request(TypedDict):
    """A request, as ``deployment.predict`` and ``Study`` take it."""

    prompt_tokens: int
    new_tokens: int
    batch: int


def setting_of(args: argparse.Namespace) -> Setting:
    """The devices and the link that a command names."""
    return Setting(device_of(args.edge), device_of(args.cloud), link_of(args))


def model_of(args: argparse.Namespace) -> Model:
    """The model that a command names."""
    return load_model(args.model)


def profile_of(args: argparse.Namespace) -> ModelProfile:
    """The model that a command names as numbers: from its file, or read from the model."""
    return ModelProfile.load(args.profile) if args.profile is not None else model_of(args).profile


def plan_of(args: argparse.Namespace, model: Model | ModelProfile) -> Plan | None:
    """The plan that a command names; None where it names no split and no baseline."""
    if args.edge_only:
        return deployment.edge_only(model, bits=args.edge_bits)
    if args.cloud_only:
        return deployment.cloud_only(model, bits=args.cloud_bits)
    if args.split is None:
        return None
    return deployment.split(
        model, at=args.split, edge_bits=args.edge_bits, cloud_bits=args.cloud_bits, wire=args.wire
    )


def request_of(args: argparse.Namespace) -> Request:
    """The request that a command names."""
    return Request(prompt_tokens=args.prompt_tokens, new_tokens=args.new_tokens, batch=args.batch)


def device_of(text: str) -> DeviceProfile:
    """A device by name, or from a JSON file of the same form as those in ``data/devices``."""
    return deployment.device(text)


def link_of(args: argparse.Namespace) -> LinkProfile:
    """A link by name or from a JSON file, with what the command says otherwise."""
    base = LinkProfile.from_dict(_read(args.link)) if _is_file(args.link) else profiles.link(args.link)
    changes = {
        "rtt_s": _scaled(args.rtt_ms, 1e-3),
        "uplink_bps": _scaled(args.up_mbps, 1e6),
        "downlink_bps": _scaled(args.down_mbps, 1e6),
        "loss": _scaled(args.loss_percent, 1e-2),
    }
    changed: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    if not changed:
        return base
    return replace(base, name=f"{base.name}-changed", title=f"{base.title}, changed", sources={}, **changed)


def trace_of(args: argparse.Namespace) -> LinkTrace | None:
    """How the path changes: a trace by name or from a CSV file, or an outage."""
    if args.outage:
        return LinkTrace.outage(*args.outage)
    if args.trace is None:
        return None
    return LinkTrace.from_csv(args.trace) if args.trace.endswith(".csv") else link_trace(args.trace)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _is_file(text: str) -> bool:
    return text.endswith(".json")


def _read(text: str) -> dict[str, Any]:
    path = Path(text)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{text} cannot be read as a profile: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{text} is no profile: a JSON object is needed, as in data/devices and data/links")
    return {"name": path.stem, **data}
