"""Models that are left early: the first blocks of a base, then its own final norm and head.

``"tiny@4"`` is ``tiny`` left after block 4. A model says in its configuration, as ``early_exits``, after how
many blocks it was trained to be left; nowhere else would the shared head make sense of what it gets.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import PlanError, UnsupportedArchitectureError

__all__ = ["exits_of", "left_after", "n_blocks_of", "split_name"]

_NAMED = re.compile(r"(?P<base>.+)@(?P<depth>\d{1,6})")
_EXITS = "early_exits"
_N_BLOCKS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_PER_BLOCK = re.compile(r"layer|block|attention_types|window")
"""What lists with one entry per block are called, such as layer_types, no_rope_layers and block_types."""


def split_name(name: str) -> tuple[str, int | None]:
    """``"tiny@4"`` as ``("tiny", 4)``; any other name, and that of a file or folder, with None."""
    found = _NAMED.fullmatch(name)
    if found is None or Path(name).expanduser().exists():
        return name, None
    return found["base"], int(found["depth"])


def exits_of(config: Mapping[str, Any]) -> tuple[int, ...]:
    """After how many blocks a model can be left, ascending; empty where its configuration declares none."""
    declared = config.get(_EXITS) or _text(config).get(_EXITS) or ()
    n_blocks = n_blocks_of(config)
    return tuple(sorted(depth for depth in set(declared) if 0 < depth <= n_blocks))


def n_blocks_of(config: Mapping[str, Any]) -> int:
    """How many blocks a configuration says it has; 0 where it does not say."""
    return next((n for key in _N_BLOCKS if isinstance(n := _text(config).get(key), int)), 0)


def left_after(config: Mapping[str, Any], depth: int, base: str) -> dict[str, Any]:
    """The configuration of a model that is left after ``depth`` blocks; unchanged at its full depth.

    Args:
        config: of the whole model, as ``config.json`` has it.
        base: the whole model's name, for messages.

    Raises:
        PlanError: the model cannot be left there; names the depths there are, or says that it declares none.
        UnsupportedArchitectureError: its last blocks are made otherwise than the others.
    """
    n_blocks = n_blocks_of(config)
    cut = copy.deepcopy(dict(config))
    if depth == n_blocks:
        return cut
    exits = exits_of(config)
    if depth not in exits:
        raise PlanError(_no_exit(base, depth, exits, n_blocks))
    text = _text(cut)
    if text.get("num_kv_shared_layers"):
        raise UnsupportedArchitectureError(
            f"model {base!r} cannot be left early: its last blocks borrow the keys and values of earlier ones"
        )
    for key, value in text.items():
        if key in _N_BLOCKS and value == n_blocks:
            text[key] = depth
        elif isinstance(value, list) and len(value) == n_blocks and _PER_BLOCK.search(key):
            text[key] = value[:depth]
    (cut if _EXITS in cut else text)[_EXITS] = [e for e in exits if e <= depth]
    return cut


def _text(config: Mapping[str, Any]) -> Any:
    """The part of a configuration that is about text: of most models all of it."""
    inner = config.get("text_config")
    return inner if isinstance(inner, Mapping) else config


def _no_exit(base: str, depth: int, exits: tuple[int, ...], n_blocks: int) -> str:
    if not exits:
        return (
            f"model {base!r} cannot be left after {depth} blocks: its configuration declares no early_exits. "
            f"Load {base!r}, and split it where you like"
        )
    names = ", ".join(repr(f"{base}@{e}") for e in exits if e < n_blocks)
    return (
        f"model {base!r} cannot be left after {depth} blocks: it was trained to be left after "
        f"{', '.join(map(str, exits))}. Choose {names} or {base!r}"
    )
