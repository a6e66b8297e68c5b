"""What of a problem can be turned like a knob: the link, the devices, the request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from workbench.errors import UnknownNameError
from workbench.planner.problem import Problem
from workbench.profiles import DeviceProfile

__all__ = ["PARAMETERS", "Parameter", "faster", "parameter"]


@dataclass(frozen=True)
class Parameter:
    """One knob."""

    name: str
    title: str
    unit: str
    get: Callable[[Problem], float]
    set: Callable[[Problem, float], Problem]
    is_of_links: bool = False  # then computing stays as it is


def faster(device: DeviceProfile, factor: float) -> DeviceProfile:
    """The device with everything it does taking ``1 / factor`` of the time, at the same power."""
    kernels = {
        bits: replace(
            kernel,
            block_overhead_s=kernel.block_overhead_s / factor,
            bandwidth_bytes_per_s=kernel.bandwidth_bytes_per_s * factor,
            flops=kernel.flops * factor,
            cache_bandwidth_bytes_per_s=kernel.cache_bandwidth_bytes_per_s * factor,
        )
        for bits, kernel in device.kernels.items()
    }
    return replace(
        device,
        name=f"{device.name} x {factor:g}",  # no longer the device that anything was measured on
        flops={bits: flops * factor for bits, flops in device.flops.items()},
        bandwidth_bytes_per_s=device.bandwidth_bytes_per_s * factor,
        kernels=kernels,
        **{name: getattr(device, name) / factor for name in _SECONDS},
    )


_SECONDS = (
    "block_overhead_s",
    "forward_overhead_s",
    "head_overhead_s",
    "sample_s",
    "message_overhead_s",
    "stream_overhead_s",
    "request_overhead_s",
    "tokenize_s_per_token",
    "encode_s",
    "encode_s_per_element",
)
"""What a device takes whatever it computes."""


def parameter(name: str) -> Parameter:
    """A knob by name.

    Raises:
        UnknownNameError: there is none of that name; the message suggests the nearest.
    """
    if name not in PARAMETERS:
        raise UnknownNameError("parameter", name, PARAMETERS)
    return PARAMETERS[name]


def _with_link(problem: Problem, **changes: Any) -> Problem:
    return problem.with_(links=(replace(problem.links[0], sources={}, **changes), *problem.links[1:]))


def _with_bandwidth(problem: Problem, uplink_bps: float) -> Problem:
    first = problem.links[0]
    downlink_bps = first.downlink_bps * uplink_bps / first.uplink_bps
    return _with_link(problem, uplink_bps=uplink_bps, downlink_bps=downlink_bps)


def _with_speed(problem: Problem, place: str, factor: float) -> Problem:
    return problem.with_(devices={**problem.devices, place: faster(problem.devices[place], factor)})


def _with_request(problem: Problem, **changes: int) -> Problem:
    return problem.with_(request=replace(problem.request, **changes))


def _farthest(problem: Problem) -> str:
    return problem.chain.places[-1]


PARAMETERS: Mapping[str, Parameter] = {
    knob.name: knob
    for knob in (
        Parameter(
            "rtt", "Round trip", "s", lambda p: p.links[0].rtt_s, lambda p, v: _with_link(p, rtt_s=v), True
        ),
        Parameter(
            "bandwidth",
            "Bandwidth up, down in proportion",
            "bit/s",
            lambda p: p.links[0].uplink_bps,
            _with_bandwidth,
            True,
        ),
        Parameter(
            "edge_speed",
            "Speed of the user's device",
            "×",
            lambda p: 1.0,
            lambda p, v: _with_speed(p, p.user, v),
        ),
        Parameter(
            "cloud_speed",
            "Speed of the farthest device",
            "×",
            lambda p: 1.0,
            lambda p, v: _with_speed(p, _farthest(p), v),
        ),
        Parameter(
            "prompt_tokens",
            "Prompt",
            "tokens",
            lambda p: p.request.prompt_tokens,
            lambda p, v: _with_request(p, prompt_tokens=round(v)),
        ),
        Parameter(
            "new_tokens",
            "Answer",
            "tokens",
            lambda p: p.request.new_tokens,
            lambda p, v: _with_request(p, new_tokens=round(v)),
        ),
    )
}
"""By name. Those of a link turn the first one, between the user's device and its neighbour."""
