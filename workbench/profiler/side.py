"""Times what a side does besides its passes, where it does it: after a pause, and between passes.

In a loop of its own a codec takes a fifth of what it takes there, where other code and other data have been
in the processor's caches since.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import torch

from workbench.errors import UnsupportedArchitectureError
from workbench.models.slice import Boundary, StageModel
from workbench.plan import CLOUD, EDGE, Stage
from workbench.profiler.passes import token_ids
from workbench.profiler.repeat import WAIT_S, repeat, timed
from workbench.wire import decode_tensors, encode_tensors

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["codec_s", "sample_s", "tokenize_s"]

_LENGTHS = (1, 64)  # tokens of the boundary activations that are coded
_CODEC = "fp16"
_TEXT = "The user of a machine says what it is to do, and the machine says what it has done. "


def codec_s(model: Model, bits: int, each_s: float, codec: str = _CODEC) -> tuple[float, float]:
    """Coding one boundary activation: fixed seconds, and those of each of its numbers.

    Mean of encoding it after a pass and of decoding it after a pause.
    """
    found = []
    for tokens in _LENGTHS:
        once, elements = _side(model, bits, tokens, codec)
        decode, encode = map(median, repeat(once, each_s, wait_s=WAIT_S))
        found.append((elements, (decode + encode) / 2))
    (few, short_s), (many, long_s) = found
    slope = max(0.0, long_s - short_s) / (many - few)
    return max(0.0, short_s - few * slope), slope


def _side(model: Model, bits: int, tokens: int, codec: str) -> tuple[Callable[[], Sequence[float]], int]:
    """What a cloud does with a message: it decodes, computes and encodes. And the numbers in that message."""
    stage, boundary = _middle(model, bits, tokens)
    headers, frames = encode_tensors(dict(zip(boundary.names, boundary.tensors, strict=True)), codec)

    def once() -> tuple[float, float]:
        began_s = perf_counter()
        tensors = decode_tensors(headers, frames, dtype=boundary.tensors[0].dtype)
        decoded_s = perf_counter()
        if stage is not None:
            stage.forward(Boundary(tuple(tensors.values()), boundary.names))
        computed_s = perf_counter()
        encode_tensors(tensors, codec)
        return decoded_s - began_s, perf_counter() - computed_s

    return once, sum(tensor.numel() for tensor in boundary.tensors)


def _middle(model: Model, bits: int, tokens: int) -> tuple[StageModel | None, Boundary]:
    """A later half, and what comes in there; without it where the model cannot be split there."""
    n = model.profile.n_blocks
    try:
        front = model.load_stage(Stage(EDGE, 0, n // 2, embedding=True, bits=bits))
        back = model.load_stage(Stage(CLOUD, n // 2, n, head=True, bits=bits))
    except UnsupportedArchitectureError:
        return None, Boundary((torch.randn(1, tokens, model.profile.hidden),), ("hidden_states",))
    boundary = front.forward(token_ids(model, tokens))
    assert isinstance(boundary, Boundary)  # it has no head
    return None if back.needs_token_ids else back, boundary


def sample_s(model: Model, each_s: float, tell: Callable[[str], None]) -> float:
    """Choosing a token from logits, its text, and telling that to whoever asked, after a pause."""
    logits, ids = torch.randn(1, model.profile.vocab), list(range(5))

    def once() -> None:
        logits.argmax(dim=-1).tolist()
        before = model.tokenizer.decode(ids[:4], skip_special_tokens=True)
        tell(model.tokenizer.decode(ids, skip_special_tokens=True)[len(before) :])

    return median(repeat(timed(once), each_s, wait_s=WAIT_S)[0])


def tokenize_s(model: Model, each_s: float) -> float:
    """Text to token ids, per token, as a request begins: after a pause."""
    text = _TEXT * 3
    (taken,) = repeat(timed(lambda: model.tokenizer(text)), each_s, wait_s=WAIT_S)
    return median(taken) / max(1, len(model.tokenizer(text)["input_ids"]))
