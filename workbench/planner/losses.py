"""What fewer bits cost a model in accuracy, block by block, as measured one at a time.

Losses of a plan add up from those of its blocks and of its wire codec: the first-order model of
mixed-precision search (Dong et al., "HAWQ-V2", NeurIPS 2020). A real evaluation of the chosen plan has to
confirm it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import PlanError, ProfileError, UnknownNameError
from workbench.files import write_text
from workbench.plan import Placement
from workbench.profiles import DATA

__all__ = ["LossTable"]

_FILE = "losses.json"


@dataclass(frozen=True)
class LossTable:
    """Bits per byte of held-out text over the unsplit model with 16-bit weights.

    A loss may be slightly negative: quantization is noise, and noise sometimes helps.
    """

    model: str
    blocks: Mapping[int, tuple[float, ...]] = field(
        hash=False
    )  # by bits: one entry per block, only it packed
    wires: Mapping[str, float] = field(hash=False)  # by codec, split in the middle
    base: float = math.nan  # bits per byte of the 16-bit model
    suite: str = ""  # what was scored
    fingerprint: str = ""  # of the weights that it was measured on

    def __post_init__(self) -> None:
        sizes = {len(row) for row in self.blocks.values()}
        numbers = [x for row in self.blocks.values() for x in row] + list(self.wires.values())
        if len(sizes) != 1 or not all(map(math.isfinite, numbers)):
            raise ProfileError(
                f"losses of {self.model!r} need a finite number per block at every width: got rows of {sizes}"
            )

    @property
    def n_blocks(self) -> int:
        return len(next(iter(self.blocks.values())))

    def block(self, bits: int) -> tuple[float, ...]:
        """One loss per block. Widths of 16 bits and more lose nothing.

        Raises:
            ProfileError: this width was not measured.
        """
        if bits >= 16:
            return (0.0,) * self.n_blocks
        if bits not in self.blocks:
            raise ProfileError(
                f"losses of {self.model!r} at {bits} bits were not measured: has {set(self.blocks)}"
            )
        return self.blocks[bits]

    def wire(self, codec: str) -> float:
        """What a codec loses; those of 16 bits and more nothing, unless measured."""
        if codec not in self.wires and codec.startswith("int"):
            raise ProfileError(f"the loss of wire {codec!r} was not measured: has {sorted(self.wires)}")
        return self.wires.get(codec, 0.0)

    def of(self, placement: Placement) -> float:
        """What a placement loses: the sum over its blocks, and its codec once for each split point.

        Raises:
            PlanError: it is of a model of another number of blocks.
            ProfileError: a width or a codec of it was not measured.
        """
        partition = placement.partition
        if partition.n_blocks != self.n_blocks:
            raise PlanError(f"losses are of {self.n_blocks} blocks, the plan has {partition.n_blocks}")
        widths = [bits for stage in partition.stages for bits in stage.widths]
        blocks = sum(self.block(bits)[b] for b, bits in enumerate(widths))
        return blocks + len(partition.split_points) * self.wire(placement.wire)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        data = {**asdict(self), "base": None if math.isnan(self.base) else self.base}
        return {**data, "blocks": {str(bits): list(row) for bits, row in self.blocks.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LossTable:
        """Read what ``to_dict`` gave.

        Raises:
            ProfileError: a field is missing, unknown or no number.
        """
        try:
            blocks = {int(bits): tuple(map(float, row)) for bits, row in data["blocks"].items()}
            base = data.get("base")
            return cls(**{**data, "blocks": blocks, "base": math.nan if base is None else float(base)})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, ProfileError):
                raise
            raise ProfileError(f"this is no table of losses ({type(error).__name__}: {error})") from error

    def save(self, path: Path | str) -> None:
        """Write the table as JSON, whole or not at all."""
        rows = json.dumps(self.to_dict(), indent=1, ensure_ascii=False)
        write_text(Path(path), rows + "\n")

    @classmethod
    def load(cls, path: Path | str) -> LossTable:
        """Read what ``save`` wrote.

        Raises:
            ProfileError: the file cannot be read, or is no table of losses.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ProfileError(
                f"{path} cannot be read as a table of losses ({error}): let `workbench model sensitivity "
                "--out FILE` write one"
            ) from error
        return cls.from_dict(data)

    @classmethod
    def of_shipped(cls, model: str) -> LossTable:
        """What was measured of a shipped model.

        Raises:
            UnknownNameError: no such table is shipped.
        """
        found = {path.parent.name: path for path in sorted((DATA / "models").glob(f"*/{_FILE}"))}
        if model not in found:
            raise UnknownNameError("shipped table of losses", model, found)
        return cls.load(found[model])
