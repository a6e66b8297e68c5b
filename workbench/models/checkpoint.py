"""Tensors in safetensors files, one by one: a stage reads its own and no others.

Bytes go from the file straight into the tensor, in its final data type and on its final device, through one
small buffer where these differ. Memory-mapping would be less code, but every page that it touches counts as
the process's own until the file is closed: a stage would peak at twice its size.

The format: 8 bytes with the header's length (little endian), the header as JSON (name → dtype, shape, offsets
into the data), the data. https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.errors import CheckpointError
from workbench.models.source import Source

__all__ = ["Checkpoint", "StoredTensor", "open_checkpoint", "read_header"]

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
_PIECE_BYTES = 8 << 20  # what is read at once where the data type or the device changes
_MAX_HEADER_BYTES = 100_000_000  # the format's own limit
_WHOLE_BYTES, _SAMPLE_BYTES = 1 << 20, 1 << 16  # tensors up to the first are hashed whole
_AGAIN = "copy or download the file again"


@dataclass(frozen=True)
class StoredTensor:
    """One tensor in a file, not read yet."""

    name: str
    file: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int  # of its first byte in the file

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, dtype: torch.dtype | None = None, device: torch.device | str = "cpu") -> Tensor:
        """The tensor, with at most a few MiB of memory besides its own.

        Raises:
            CheckpointError: the file ends before the tensor does, or cannot be read.
        """
        tensor = torch.empty(self.shape, dtype=dtype or self.dtype, device=device)
        try:
            with open(self.file, "rb", buffering=0) as file:
                self._fill(tensor, file)
        except OSError as error:
            raise CheckpointError(f"{self.file} cannot be read: {error}") from error
        return tensor

    def _fill(self, tensor: Tensor, file: FileIO) -> None:
        file.seek(self.offset)
        flat = tensor.view(-1)
        if tensor.dtype == self.dtype and tensor.device.type == "cpu":
            self._read_exactly(file, flat)
            return
        step = max(1, _PIECE_BYTES // self.dtype.itemsize)
        piece = torch.empty(min(step, flat.numel()), dtype=self.dtype)
        for start in range(0, flat.numel(), step):
            part = piece[: flat.numel() - start]
            self._read_exactly(file, part)
            flat[start : start + step].copy_(part)

    def _read_exactly(self, file: FileIO, into: Tensor) -> None:
        rest = memoryview(into.view(torch.uint8).numpy().data)
        while rest:
            n_read = file.readinto(rest)
            if not n_read:
                raise CheckpointError(f"{self.file} ends inside tensor {self.name!r}: {_AGAIN}")
            rest = rest[n_read:]

    def sample(self) -> Iterator[bytes]:
        """The tensor's bytes, or three pieces of a large one: enough to tell two trainings apart."""
        if self.n_bytes <= _WHOLE_BYTES:
            starts, size = [0], self.n_bytes
        else:
            last, size = self.n_bytes - _SAMPLE_BYTES, _SAMPLE_BYTES
            starts = [0, last // 2, last]
        with open(self.file, "rb") as file:
            for start in starts:
                file.seek(self.offset + start)
                yield file.read(size)


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a model by name, over one file or many. Cheap: headers are read when first needed."""

    source: Source
    files: Mapping[str, str] = field(repr=False)  # tensor name → file name

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __getitem__(self, name: str) -> StoredTensor:
        """Raises CheckpointError where the file is missing, damaged or has no such tensor."""
        file = self.files[name]
        header = self._headers.get(file)
        if header is None:
            header = self._headers[file] = read_header(self._path(file))
        if name not in header:
            raise CheckpointError(
                f"{self.source.folder / INDEX} says that {file} holds tensor {name!r}, but it does not: "
                "the files are of different versions; copy or download all of them again"
            )
        return header[name]

    @cached_property
    def _headers(self) -> dict[str, dict[str, StoredTensor]]:
        return {}

    def _path(self, file: str) -> Path:
        path = self.source.find(file)
        if path is None:
            raise CheckpointError(
                f"{self.source.folder / file} is missing, one of {len(set(self.files.values()))} files of "
                "weights: copy or download it again"
            )
        return path

    def check(self) -> None:
        """Look at every file's header and length.

        Raises:
            CheckpointError: one is missing or damaged; says which and how.
        """
        for name in self:
            self[name]

    def fingerprint(self, extra: Iterable[str] = ()) -> str:
        """A name for the tensors' content: 32 hex digits, whatever files they are spread over.

        Hashes names, types, shapes and bytes, of a tensor above 1 MiB three samples of 64 KiB.
        """
        digest = hashlib.sha256("\n".join(extra).encode())
        for name in sorted(self):
            tensor = self[name]
            digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
            for piece in tensor.sample():
                digest.update(piece)
        return digest.hexdigest()[:32]


def open_checkpoint(source: Source) -> Checkpoint:
    """Find a model's weights.

    Raises:
        CheckpointError: there are none, they are pickles, or the index is damaged.
    """
    index = source.folder / INDEX  # of a hub model too: small files come with the first look
    if index.is_file():
        return Checkpoint(source, _read_index(index))
    single = source.find(SINGLE)
    if single is not None:
        return Checkpoint(source, dict.fromkeys(read_header(single), SINGLE))
    raise CheckpointError(_no_weights(source))


def _read_index(path: Path) -> dict[str, str]:
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        if not all(isinstance(k, str) and isinstance(v, str) and Path(v).name == v for k, v in files.items()):
            raise ValueError("weight_map has entries that are no plain file names")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no index of weights ({error}): {_AGAIN}") from error
    return dict(files)


def _no_weights(source: Source) -> str:
    pickles = sorted(
        p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in source.folder.glob(pattern)
    )
    if not pickles:
        return f"{source.folder} holds no weights: expected {SINGLE}, or {INDEX} and the files that it names"
    target = f"{Path(source.name).name}-safetensors"
    convert = (
        "from transformers import AutoModelForCausalLM as M; "
        f"M.from_pretrained({source.name!r}).save_pretrained({target!r})"
    )
    return (
        f"{source.folder} holds its weights as pickles ({', '.join(pickles[:3])}), which can run code when "
        f'read: only safetensors are read. If you trust the files, convert them: python -c "{convert}"'
    )


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors that a safetensors file promises, checked against the file's length.

    Raises:
        CheckpointError: the file is truncated, or no safetensors file.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
            raise CheckpointError(_damaged(path, f"its header does not fit in its {size:,} bytes"))
        raw = file.read(length)
    try:
        header: dict[str, Any] = json.loads(raw)
        header.pop("__metadata__", None)
        tensors = {name: _stored(name, path, entry, 8 + length) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(_damaged(path, f"its header is no safetensors header ({error})")) from error
    end = max((t.offset + t.n_bytes for t in tensors.values()), default=8 + length)
    if end != size:
        what = "truncated" if size < end else "too long"
        raise CheckpointError(
            _damaged(path, f"it is {what}: {size:,} bytes where its header promises {end:,}")
        )
    return tensors


def _stored(name: str, path: Path, entry: Mapping[str, Any], data: int) -> StoredTensor:
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"tensor {name!r} is of type {entry['dtype']!r}; read are {', '.join(_DTYPES)}")
    start, stop = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if start < 0 or any(not isinstance(n, int) or n < 0 for n in shape):
        raise ValueError(f"tensor {name!r} has shape {shape} at {start}")
    tensor = StoredTensor(name, path, _DTYPES[entry["dtype"]], shape, data + start)
    if stop - start != tensor.n_bytes:
        raise ValueError(f"tensor {name!r} of shape {shape} takes {stop - start} bytes")
    return tensor


def _damaged(path: Path, why: str) -> str:
    return f"{path} is damaged: {why}; {_AGAIN}"
