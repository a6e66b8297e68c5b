"""``workbench plan``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench import profiles
from workbench.cli.plan_table import Table, considered, front_table, obstacles, plans_table
from workbench.cli.text import print_json, table
from workbench.errors import InputError
from workbench.files import write_text
from workbench.models import read_architecture
from workbench.planner import Answer, plan
from workbench.planner.scenario import Scenario, read_scenario
from workbench.profiles import DeviceProfile

__all__ = ["run"]

_NO_FILE: Mapping[str, Any] = {
    "model": "tiny",
    "devices": {"edge": "raspberry-pi-5", "cloud": "h100-sxm"},
    "link": "lte",
}


def run(args: argparse.Namespace) -> int:
    """Plan a scenario, show what was found, and write its page where ``--html`` says.

    Raises:
        InputError: the scenario cannot be.
        InfeasibleError: no plan keeps every limit.
    """
    scenario = read_scenario(args.scenario or _NO_FILE, changes=_changes(args), device=_device)
    problem = scenario.problem(read_architecture(scenario.model))
    began_s = time.perf_counter()
    answer = plan(problem, planner=args.planner)
    seconds = time.perf_counter() - began_s
    if args.html is not None:
        _write(args.html, scenario, answer, seconds)
    if args.json:
        print_json({"scenario": scenario.to_dict(), **answer.to_dict(), "seconds": seconds})
    else:
        print(_text(scenario, answer, seconds))
    return 0


def _changes(args: argparse.Namespace) -> dict[str, str]:
    """What options say otherwise, ``--set`` last."""
    given = {
        "model": args.model,
        "devices.edge": args.edge,
        "devices.cloud": args.cloud,
        "link": args.link,
        "link.rtt": _with_unit(args.rtt_ms, "ms"),
        "link.uplink": _with_unit(args.up_mbps, "Mbit/s"),
        "link.downlink": _with_unit(args.down_mbps, "Mbit/s"),
        "link.loss": _with_unit(args.loss_percent, "%"),
        "request.prompt_tokens": args.prompt_tokens,
        "request.new_tokens": args.new_tokens,
        "request.batch": args.batch,
        "objective": _objective(args.objective),
    }
    said = {path: json.dumps(value) for path, value in given.items() if value is not None}
    return said | dict(args.changes)


def _objective(names: tuple[str, ...] | None) -> str | list[str] | None:
    if not names:
        return None
    return names[0] if len(names) == 1 else list(names)


def _with_unit(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value:g} {unit}"


def _device(name: str) -> DeviceProfile:
    if name == "host":
        from workbench.profiler import host  # measuring needs torch; naming another device must not

        return host()
    return profiles.device(name)


def _write(path: Path, scenario: Scenario, answer: Answer, seconds: float) -> None:
    from workbench.cli.plan_page import page  # plotly takes a second to load

    try:
        write_text(path, page(scenario, answer, seconds))
    except OSError as error:
        raise InputError(f"--html {path} cannot be written ({error.strerror}): name another file") from error
    print(f"written: {path}", file=sys.stderr)


def _text(scenario: Scenario, answer: Answer, seconds: float) -> str:
    places = ", ".join(f"{place} {device.title}" for place, device in scenario.devices.items())
    links = ", ".join(link.title for link in scenario.links)
    r = scenario.request
    lines = [
        *([scenario.title] if scenario.title else []),
        f"{answer.problem.model.name} on {places}, over {links}",
        f"prompt tokens {r.prompt_tokens}, new tokens {r.new_tokens}, batch {r.batch}",
        "",
        *(f"{title}: {p.plan}".replace(f": {p.plan.model}:", ":") for title, p in _apart(answer)),
        "",
        _drawn(plans_table(answer)),
        *(["", _drawn(front_table(answer))] if answer.front else []),
        "",
        *obstacles(answer),
        answer.verdict,
        *(f"note: {note}" for note in answer.notes),
        considered(answer, seconds),
    ]
    return "\n".join(lines)


def _apart(answer: Answer) -> list[tuple[str, Any]]:
    return [(title.partition(":")[0], p) for title, p in answer.plans.items() if ":" in title]


def _drawn(found: Table) -> str:
    return table(found.header, found.rows)
