"""Draws README's pictures that are not of a panel: ``python docs/pictures.py``.

Those of links and of predictions are of the shipped records, that of who wins where is planned anew.

The pictures of the panels are screenshots that the browser tests leave in ``results/browser``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workbench import plots
from workbench.deployment import problem
from workbench.planner import Pin, Request, break_even
from workbench.profiles import DATA

IMAGES = Path(__file__).parent / "images"
PROFILES = ("lte", "5g", "starlink", "fibre", "dsl", "geostationary")
"""Those in the picture, where the record has them: more would be too small to read."""


def networks(record: Mapping[str, Any]) -> bytes:
    """What each kind of link makes of some profiles, as a PNG."""
    known = {case["profile"] for case in record["cases"] if "seconds" in case}
    return plots.still(plots.fidelity(record, profiles=[name for name in PROFILES if name in known]))


def planning() -> bytes:
    """Who wins where for private prompts to a model of 8 B parameters, as a PNG."""
    asked = problem(
        "llama-3-8b",
        "jetson-agx-orin",
        "h100-sxm",
        "fibre",
        request=Request(256, 64),
        pins=[Pin("embedding", "edge"), Pin("blocks", "edge", 0, 4)],
    )
    bandwidths, trips = np.geomspace(0.3e6, 1e9, 36), np.geomspace(0.3e-3, 1.0, 24)
    return plots.still(plots.break_even(break_even(asked, "bandwidth", bandwidths, "rtt", trips)))


def prediction(record: Mapping[str, Any]) -> bytes:
    """Every case's prediction over its measurement, as a PNG."""
    return plots.still(plots.predicted_over_measured(record["cases"]))


def main() -> None:
    """Draw all of them."""
    (IMAGES / "networks.png").write_bytes(networks(_record("fidelity")))
    (IMAGES / "prediction.png").write_bytes(prediction(_record("prediction")))
    (IMAGES / "planning.png").write_bytes(planning())


def _record(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
