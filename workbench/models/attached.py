"""Adapters on a loaded stage: the base's weights are there once, and each adapter's beside them.

A hook on each adapted layer adds what the active adapter says: ``base(x) + scale · B A x``. So it does not
matter how the layer holds its own weights, packed or plain, and with no adapter active nothing is added: the
output is the base's, bit for bit. To switch is to set one name.

K inputs, N outputs, r rank.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from workbench.errors import AdapterError, CheckpointError, UnknownNameError
from workbench.plan import Stage

if TYPE_CHECKING:
    from workbench.models.adapters import Adapter, Piece

__all__ = ["Adapters"]

_HOME = "attached_adapters"  # the model's submodule that holds them


class _Factors(nn.Module):
    """One layer's product of low rank, scale included. Buffers: they move with the model and train never."""

    down: Tensor
    up: Tensor

    def __init__(self, down: Tensor, up: Tensor) -> None:
        super().__init__()
        self.register_buffer("down", down, persistent=False)  # [r, K]
        self.register_buffer("up", up, persistent=False)  # [N, r]

    def forward(self, x: Tensor) -> Tensor:
        """[..., K] in, [..., N] out."""
        return linear(linear(x.to(self.down.dtype), self.down), self.up)


class Adapters:
    """The adapters of one stage, of which at most one is active.

    Attributes:
        active: name of the adapter that the next forward uses, None for the base alone.
    """

    def __init__(self, module: PreTrainedModel, stage: Stage, n_blocks: int) -> None:
        self._module, self._stage, self._n_blocks = module, stage, n_blocks
        self._held: dict[str, str] = {}  # fingerprints by name
        self._of_layer: dict[str, dict[str, _Factors]] = {}  # path → adapter's name → factors
        self.active: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """In the order in which they were attached."""
        return tuple(self._held)

    def attach(self, adapter: Adapter) -> None:
        """Read the pieces of the stage's own blocks; nothing where it is attached already.

        Raises:
            AdapterError: it is of another model, another one of its name is attached, or its file is damaged.
        """
        if self._held.get(adapter.name) == adapter.fingerprint:
            return
        if adapter.name in self._held:
            raise AdapterError(
                f"another adapter is attached as {adapter.name!r}, or its files have changed since: start "
                "again, or load it by another name"
            )
        if adapter.n_blocks != self._n_blocks:
            raise AdapterError(
                f"adapter {adapter.name!r} is for {adapter.base!r} with {adapter.n_blocks} blocks, this "
                f"stage is of a model with {self._n_blocks} blocks"
            )
        pieces = adapter.of_blocks(self._stage.start, self._stage.stop)
        read = {piece.path: self._read(piece, adapter) for piece in pieces}
        for path, factors in read.items():
            self._factors_of(path)[adapter.name] = factors
        self._home().append(nn.ModuleList(read.values()))
        self._held[adapter.name] = adapter.fingerprint

    def use(self, name: str | None) -> None:
        """Make an attached adapter the active one; None for the base alone.

        Raises:
            UnknownNameError: none of that name is attached.
        """
        if name is not None and name not in self._held:
            raise UnknownNameError("attached adapter", name, self._held)
        self.active = name

    def _read(self, piece: Piece, adapter: Adapter) -> _Factors:
        layer = self._module.get_submodule(piece.path)
        device, dtype = self._module.device, self._module.dtype
        expected = (_size(layer, "out_features", "nf"), _size(layer, "in_features", "nx"))
        if expected != (piece.up.shape[0], piece.down.shape[1]):
            raise AdapterError(
                f"adapter {adapter.name!r} does not fit {piece.path} {expected}: it is of another model"
            )
        try:
            down, up = piece.down.read(torch.float32), piece.up.read(torch.float32)
        except CheckpointError as error:
            raise AdapterError(f"adapter {adapter.name!r} is damaged: {error}") from error
        return _Factors(down.to(device, dtype), (up * adapter.scale).to(device, dtype))

    def _factors_of(self, path: str) -> dict[str, _Factors]:
        """By adapter; hooks the layer where none has been there."""
        if path not in self._of_layer:
            found = self._of_layer[path] = {}
            self._module.get_submodule(path).register_forward_hook(self._adder(found))
        return self._of_layer[path]

    def _adder(self, factors: dict[str, _Factors]) -> Callable[..., Tensor | None]:
        def add(module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
            active = None if self.active is None else factors.get(self.active)
            return None if active is None else output + active(args[0]).to(output.dtype)

        return add

    def _home(self) -> nn.ModuleList:
        """A submodule, so that whatever counts or moves the model's tensors finds these too."""
        if not hasattr(self._module, _HOME):
            self._module.add_module(_HOME, nn.ModuleList())
        found: nn.ModuleList = self._module.get_submodule(_HOME)
        return found


def _size(layer: nn.Module, *names: str) -> int | None:
    return next((getattr(layer, name) for name in names if hasattr(layer, name)), None)
