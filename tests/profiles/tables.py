"""Tables of measured times: drawn, and made by formulas whose answers are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st

from workbench.profiles import HostFacts, ModelProfile, ModelTimes, PassTimes, WidthTable

__all__ = ["FACTS", "LENGTHS", "table_of", "tables", "with_times"]

FACTS = HostFacts("a processor", 4, 2, {"torch": "2.13.0"}, "2026-11-01T12:00:00+00:00", 1.0)
LENGTHS, CONTEXTS, BATCHES = (1, 16, 64), (16, 128), (1, 4)
_SHAPES = [(t, 0, b) for b in BATCHES for t in LENGTHS] + [(1, c, b) for b in BATCHES for c in CONTEXTS]


def table_of(
    n_blocks: int, block_s: Callable[[int, int, int, int], float], overhead_s: float = 1e-4
) -> WidthTable:
    """A table whose blocks take ``block_s(block, tokens, context, batch)``, its ends a tenth of block 0."""
    passes = []
    for shape in _SHAPES:
        blocks = tuple(block_s(block, *shape) for block in range(n_blocks))
        end_s = block_s(0, 1, 16, shape[2]) / 10
        total_s = overhead_s + sum(blocks) + 2 * end_s
        passes.append(PassTimes(*shape, blocks, end_s, end_s, total_s, spread=0.1))
    return WidthTable(tuple(passes), overhead_s, wait_s=5e-4)


@st.composite
def tables(draw: st.DrawFn, n_blocks: int) -> WidthTable:
    """Any times, in any order."""
    seconds = st.floats(1e-6, 10.0)
    passes = [
        PassTimes(*shape, tuple(draw(seconds) for _ in range(n_blocks)), draw(seconds), draw(seconds), 1.0)
        for shape in draw(st.permutations(_SHAPES))
    ]
    return WidthTable(tuple(passes), draw(seconds))


def with_times(model: ModelProfile, *tables: tuple[int, WidthTable], device: str = "host") -> ModelProfile:
    """A model that was measured, each width with its table."""
    return replace(model, times=(ModelTimes(device, model.config_key, FACTS, dict(tables)),))
