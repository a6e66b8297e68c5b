"""Plans as files: features and where each runs, in YAML or JSON, as people write them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.errors import PlanError, UnknownNameError
from workbench.files import write_text
from workbench.plan import (
    BITS,
    CLOUD,
    EDGE,
    WIRE_CODECS,
    Bound,
    Partition,
    Placement,
    Plan,
    Stage,
)
from workbench.planner.scenario import Item, item_of, read_tree, yaml_text
from workbench.profiles import DATA

__all__ = ["plan_names", "read_plan", "write_plan"]

_KEYS = ("model", "features", "bounds")
_PLACEMENT_KEYS = (
    "place",
    "split",
    "bits",
    "edge_bits",
    "cloud_bits",
    "wire",
    "model",
    "adapter",
    "fallback",
    "stages",
)
_WIRE = "fp16"  # where nothing is said
_FOLDER = DATA / "plans"


def plan_names() -> list[str]:
    """The shipped plans."""
    return sorted(file.stem for file in _FOLDER.glob("*.yaml"))


def read_plan(
    source: str | os.PathLike[str] | Mapping[str, Any], *, blocks_of: Callable[[str], int] | None = None
) -> Plan:
    """Read a plan: a shipped one's name, a file in YAML or JSON, or its content.

    A feature says where it runs: ``place: edge`` or ``cloud`` for all of it, with ``bits``; ``split: 3`` or
    ``split: [2, 6]`` with ``edge_bits`` and ``cloud_bits``; or its ``stages`` in full. Besides, ``model``
    (``tiny@4`` is ``tiny`` left after block 4), ``adapter``, ``wire`` and ``fallback``.

    Args:
        blocks_of: how many blocks a model has; None looks the model up.

    Raises:
        UnknownNameError: no shipped plan is called so.
        InputError: a key is unknown, missing or there twice, or a value cannot be; says where.
        ModelNotFoundError: no model is called so.
    """
    tree = _tree(source)
    given = tree.of(_KEYS)
    if missing := [key for key in ("model", "features") if key not in given]:
        tree.fail(f"lacks {' and '.join(missing)}: a plan names a model, and features with their places")
    blocks, model = blocks_of or _blocks_of, given["model"].text()
    features = {name: _placement(item, model, blocks) for name, item in given["features"].mapping().items()}
    bounds = given["bounds"].mapping() if "bounds" in given else {}
    found = [Bound(name, item.one_of((EDGE, CLOUD), "place")) for name, item in bounds.items()]
    try:
        return Plan(model, features, tuple(found))
    except PlanError as error:
        tree.fail(str(error), error)


def write_plan(plan: Plan, path: str | os.PathLike[str]) -> Path:
    """Write a plan so that ``read_plan`` reads it back: JSON where the name ends so, else YAML."""
    data = {
        "model": plan.model,
        "features": {name: _written(placement) for name, placement in plan.features.items()},
        **({"bounds": {b.subject: b.place for b in plan.bounds}} if plan.bounds else {}),
    }
    file = Path(path)
    write_text(file, json.dumps(data, indent=2) + "\n" if file.suffix == ".json" else yaml_text(data))
    return file


def _tree(source: str | os.PathLike[str] | Mapping[str, Any]) -> Item:
    if isinstance(source, Mapping):
        return item_of(source, "plan")
    shipped = _FOLDER / f"{os.fspath(source)}.yaml"
    if os.fspath(source) in plan_names():
        return read_tree(str(shipped))
    text = os.fspath(source)
    if not Path(text).suffix and not Path(text).exists() and "\n" not in text and "{" not in text:
        raise UnknownNameError("shipped plan", text, plan_names())
    return read_tree("plan", text) if "\n" in text or text.lstrip().startswith("{") else read_tree(text)


def _blocks_of(model: str) -> int:
    from workbench.models import load_model  # brings torch

    return load_model(model).n_blocks


def _placement(item: Item, model: str, blocks_of: Callable[[str], int]) -> Placement:
    given = item.of(_PLACEMENT_KEYS)
    ways = [key for key in ("place", "split", "stages") if key in given]
    if len(ways) != 1:
        item.fail("says where it runs once: place: edge or cloud, or split: 3, or stages")
    own = given["model"].text() if "model" in given else None
    words = {key: given[key].text() for key in ("adapter", "fallback") if key in given}
    wire = given["wire"].one_of(WIRE_CODECS, "wire codec") if "wire" in given else _WIRE
    try:
        return Placement(_partition(given, blocks_of(own or model)), wire, model=own, **words)
    except PlanError as error:
        item.fail(str(error), error)


def _partition(given: Mapping[str, Item], n: int) -> Partition:
    if "stages" in given:
        return Partition(n, tuple(_stage(item) for item in given["stages"].items()))
    if "place" in given:
        place = given["place"].one_of((EDGE, CLOUD), "place")
        return Partition.unsplit(n, place, _bits(given, "bits"))
    widths = _bits(given, "edge_bits", "bits"), _bits(given, "cloud_bits", "bits")
    split = given["split"]
    if split.is_list:
        points = [point.whole() for point in split.items()]
        if len(points) != 2:
            split.fail("takes one split point, or two for a U-shape")
        return Partition.u_shaped(n, (points[0], points[1]), *widths)
    return Partition.split(n, split.whole(), *widths)


def _bits(given: Mapping[str, Item], *names: str) -> int:
    item = next((given[name] for name in names if name in given), None)
    if item is None:
        return 16
    if item.value not in BITS:
        item.fail(f"{item.value!r} weight bits are not supported: choose one of {BITS}")
    return int(item.value)


def _stage(item: Item) -> Stage:
    try:
        return Stage(**item.plain())
    except TypeError as error:
        item.fail(f"is no stage: {error}", error)


def _written(placement: Placement) -> dict[str, Any]:
    partition = placement.partition
    words = {"model": placement.model, "adapter": placement.adapter, "fallback": placement.fallback}
    rest = {
        **({"wire": placement.wire} if partition.split_points or placement.wire != _WIRE else {}),
        **{key: value for key, value in words.items() if value is not None},
    }
    stages = partition.stages
    if placement.place in (EDGE, CLOUD) and not stages[0].block_bits:
        return {"place": placement.place, "bits": stages[0].bits, **rest}
    if [s.place for s in stages] == [EDGE, CLOUD] and not any(s.block_bits for s in stages):
        edge, cloud = stages
        return {"split": cloud.start, "edge_bits": edge.bits, "cloud_bits": cloud.bits, **rest}
    return {"stages": [_stage_fields(stage) for stage in stages], **rest}


def _stage_fields(stage: Stage) -> dict[str, Any]:
    data = asdict(stage)
    if stage.block_bits:
        return {**data, "block_bits": list(stage.block_bits)}
    del data["block_bits"]
    return data
