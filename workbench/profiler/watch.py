"""Times the parts of a stage's forward pass in place: each block, the embedding, the head.

One pass runs as it always does; hooks before and after a part's modules write down the time. What hooks cost
themselves is left out of a part but for about a microsecond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from torch import nn

from workbench.models.slice import StageModel

__all__ = ["Watch"]

_EMBEDDING, _HEAD = -1, -2  # parts that are no block


class Watch:
    """Looks at one stage. Its hooks are there for single passes, and not otherwise."""

    def __init__(self, stage: StageModel) -> None:
        self._modules = list(_modules(stage))
        self._parts = (_EMBEDDING, _HEAD, *range(stage.stage.start, stage.stage.stop))
        self._marks: list[tuple[int, float]] = []

    def beside(self, run: Callable[[], float]) -> Callable[[], list[float]]:
        """A pass that is not watched, and then one that is: what slows this host down slows both.

        Returns:
            What gives the seconds of the first, and of the second's embedding, head and blocks; 0 for an end
            that the stage does not own.
        """

        def both() -> list[float]:
            total_s = run()
            with self._watching():
                run()
            return [total_s, *self._parts_s()]

        return both

    @contextmanager
    def _watching(self) -> Iterator[None]:
        self._marks.clear()
        handles = []
        for part, module in self._modules:
            mark = self._mark(part)
            handles += [module.register_forward_pre_hook(mark), module.register_forward_hook(mark)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _mark(self, part: int) -> Callable[..., None]:
        def mark(*_: Any) -> None:
            self._marks.append((part, perf_counter()))

        return mark

    def _parts_s(self) -> list[float]:
        sums = dict.fromkeys(self._parts, 0.0)
        marks = iter(self._marks)
        for (part, began_s), (_, ended_s) in zip(marks, marks, strict=True):
            sums[part] += ended_s - began_s
        return list(sums.values())


def _modules(stage: StageModel) -> Iterator[tuple[int, nn.Module]]:
    """Which modules make up which part; none of them is inside another."""
    module, anatomy, own = stage.module, stage.anatomy, stage.stage
    blocks: list[nn.Module] = list(module.get_submodule(anatomy.blocks))
    for block in range(own.start, own.stop):
        yield block, blocks[block]
    embeddings = anatomy.embeddings if own.embedding else ()
    for part, names in ((_EMBEDDING, embeddings), (_HEAD, anatomy.head if own.head else ())):
        for path in _owners(names, anatomy.blocks):
            yield part, module.get_submodule(path)


def _owners(parameters: Sequence[str], blocks: str) -> list[str]:
    """The modules outside the blocks that hold these parameters, without those inside one another."""
    paths = {name.rpartition(".")[0] for name in parameters}
    outside = {path for path in paths if path and not f"{blocks}.".startswith(f"{path}.")}
    return sorted(p for p in outside if not any(p.startswith(f"{other}.") for other in outside))
