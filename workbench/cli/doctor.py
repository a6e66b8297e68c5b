"""``workbench doctor``."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from workbench.cli.text import print_json
from workbench.doctor import Finding, examine

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Print what this machine can do. Exit code 1 where something required is missing."""
    findings = examine()
    if args.json:
        print_json([asdict(finding) for finding in findings])
    else:
        print("\n".join(map(_line, findings)))
    return int(any(f.required and not f.ok for f in findings))


def _line(finding: Finding) -> str:
    mark = "ok" if finding.ok else ("MISSING" if finding.required else "–")
    way_out = "" if finding.ok else f"\n{'':30}→ {finding.way_out}"
    return f"{mark:8}{finding.name:22}{finding.found}{way_out}"
