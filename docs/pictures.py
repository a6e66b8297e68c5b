"""Draws README's picture of links from the shipped record: ``python docs/pictures.py``.

The pictures of the panels are screenshots that the browser tests leave in ``results/browser``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench import plots
from workbench.profiles import DATA

IMAGES = Path(__file__).parent / "images"
PROFILES = ("lte", "5g", "starlink", "fibre", "dsl", "geostationary")
"""Those in the picture, where the record has them: more would be too small to read."""


def networks(record: Mapping[str, Any]) -> bytes:
    """What each kind of link makes of some profiles, as a PNG."""
    known = {case["profile"] for case in record["cases"] if "seconds" in case}
    return plots.still(plots.fidelity(record, profiles=[name for name in PROFILES if name in known]))


def main() -> None:
    record = json.loads((DATA / "fidelity.json").read_text(encoding="utf-8"))
    (IMAGES / "networks.png").write_bytes(networks(record))


if __name__ == "__main__":
    main()
