"""What a study may choose: where to cut, weight bits of each side, the wire codec.

A **choice** is the plain dict of a plan's parameters, as the sampler sees it. ``split`` is ordered by what
the edge does: -1 is cloud-only, 0…n cut after so many blocks, n + 1 is edge-only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from workbench.errors import PlanError, UnknownNameError
from workbench.plan import BITS, CLOUD, EDGE, WIRE_CODECS, Partition, Plan

__all__ = ["Choice", "Space", "distance"]

Choice = Mapping[str, int | str]


@dataclass(frozen=True)
class Space:
    """The plans that a study searches. Edge-only and cloud-only are always among them."""

    splits: tuple[int, ...] | None = None  # blocks on the edge; None is every split point 0…n
    edge_bits: tuple[int, ...] = (16, 8, 4)
    cloud_bits: tuple[int, ...] = (16, 8)
    wires: tuple[str, ...] = ("fp16", "int8", "int4")
    u_shaped: bool = False  # also plans whose last blocks and head come back to the edge

    def __post_init__(self) -> None:
        for name in ("edge_bits", "cloud_bits", "wires", "splits"):
            values = getattr(self, name)
            if values is not None:
                _check_values(name, values)
                object.__setattr__(self, name, tuple(values))
        for bits in (*self.edge_bits, *self.cloud_bits):
            if bits not in BITS:
                raise PlanError(f"{bits} weight bits are not supported: choose from {BITS}")
        for wire in self.wires:
            if wire not in WIRE_CODECS:
                raise UnknownNameError("wire codec", wire, WIRE_CODECS)

    def split_values(self, n_blocks: int) -> tuple[int, ...]:
        """All values of the parameter ``split``, in order.

        Raises:
            PlanError: a split point that the model does not have.
        """
        splits = range(n_blocks + 1) if self.splits is None else sorted(self.splits)
        wrong = [k for k in splits if not 0 <= k <= n_blocks]
        if wrong:
            raise PlanError(f"split points {wrong} are out of range: choose 0 to {n_blocks}")
        return (-1, *splits, n_blocks + 1)

    def baselines(self, n_blocks: int) -> tuple[Choice, Choice]:
        """Edge-only and cloud-only, each with the most bits that the space allows."""
        edge = {"split": n_blocks + 1, "edge_bits": max(self.edge_bits)}
        return edge, {"split": -1, "cloud_bits": max(self.cloud_bits)}

    def choices(self, n_blocks: int) -> Iterator[Choice]:
        """Every choice, each plan once: what an exhaustive search tries."""
        for split in self.split_values(n_blocks):
            for rest in product(*(values for _, values in self._rest(split, n_blocks))):
                names = [name for name, _ in self._rest(split, n_blocks)]
                yield {"split": split, **dict(zip(names, rest, strict=True))}
            if self.u_shaped and 0 <= split < n_blocks:
                yield from self._u_choices(split, n_blocks)

    def _rest(self, split: int, n_blocks: int) -> list[tuple[str, tuple[Any, ...]]]:
        """The parameters that still matter once the split is chosen."""
        if split < 0:
            return [("cloud_bits", self.cloud_bits)]
        if split > n_blocks:
            return [("edge_bits", self.edge_bits)]
        shape = [("shape", ("split",))] if self.u_shaped and split < n_blocks else []
        return [
            *shape,
            ("edge_bits", self.edge_bits),
            ("cloud_bits", self.cloud_bits),
            ("wire", self.wires),
        ]

    def _u_choices(self, split: int, n_blocks: int) -> Iterator[Choice]:
        backs = range(split + 1, n_blocks + 1)
        for back, edge, cloud, wire in product(backs, self.edge_bits, self.cloud_bits, self.wires):
            bits = {"edge_bits": edge, "cloud_bits": cloud}
            yield {"split": split, "shape": "U", "back": back, **bits, "wire": wire}

    def plan(self, model: str, n_blocks: int, choice: Choice) -> Plan:
        """The plan that a choice means. ``back`` at or before the split means right behind it.

        Raises:
            PlanError: the choice is none of this space's kind.
        """
        split = int(choice["split"])
        bits = {f"{place}_bits": int(choice.get(f"{place}_bits", 16)) for place in (EDGE, CLOUD)}
        if split < 0:
            return Plan.of(model, Partition.unsplit(n_blocks, CLOUD, bits["cloud_bits"]))
        if split > n_blocks:
            return Plan.of(model, Partition.unsplit(n_blocks, EDGE, bits["edge_bits"]))
        wire = str(choice["wire"])
        if choice.get("shape") == "U":
            points = (split, max(int(choice["back"]), split + 1))
            return Plan.of(model, Partition.u_shaped(n_blocks, points, **bits), wire)
        return Plan.of(model, Partition.split(n_blocks, split, **bits), wire)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Space:
        """Read what ``to_dict`` gave."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)


def distance(a: Choice, b: Choice, n_blocks: int) -> float:
    """How different two choices are: 1 for each parameter that differs, block counts by how far."""
    far = 0.0
    for name in set(a) | set(b):
        left, right = a.get(name), b.get(name)
        if name in ("split", "back") and isinstance(left, int) and isinstance(right, int):
            far += abs(left - right) / (n_blocks + 2)
        else:
            far += left != right
    return far


def _check_values(name: str, values: Sequence[Any]) -> None:
    if not values:
        raise PlanError(f"the space's {name} are empty: give at least one")
    if len(set(values)) != len(values):
        raise PlanError(f"the space's {name} repeat a value: {tuple(values)}")
