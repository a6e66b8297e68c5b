"""From text to tokens, and from logits to tokens to text, as transformers defines it.

B batch, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch import Tensor
from transformers.generation.logits_process import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from workbench.errors import InputError, PromptError

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["Rows", "Sampler", "Sampling", "TextStream", "encode_prompts", "eos_ids", "log_probability"]


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; the words and the order of the filters are transformers'."""

    do_sample: bool = False  # False takes the likeliest token
    temperature: float = 1.0
    top_k: int = 0  # keep the k likeliest; 0 keeps all
    top_p: float = 1.0  # keep the likeliest that add up to p
    seed: int = 0
    stop: tuple[str, ...] = ()  # a row ends with the token that completes one of these
    ignore_eos: bool = False  # go on to the full length, for measurements
    logprobs: bool = False  # write down how likely each token was, where the edge samples

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise InputError(
                f"temperature must be above 0, got {self.temperature}; for greedy use do_sample=False"
            )
        if self.top_k < 0:
            raise InputError(f"top_k counts tokens: 0 for all, or more; got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is a share in (0, 1], got {self.top_p}")
        stop: object = self.stop
        if isinstance(stop, str) or not all(self.stop):
            raise InputError(f"stop takes a tuple of non-empty strings, got {stop!r}")
        object.__setattr__(self, "stop", tuple(self.stop))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Sampling:
        """Read what ``to_dict`` gave.

        Raises:
            InputError: a field is missing, unknown or out of range.
        """
        try:
            return msgspec.convert(data, cls)
        except (msgspec.ValidationError, TypeError) as error:
            raise InputError(f"these are no sampling settings: {error}; got {data}") from error


def encode_prompts(model: Model, prompts: Sequence[str], max_new_tokens: int) -> tuple[Tensor, Tensor | None]:
    """Token ids [B, T], padded on the left, and their mask where any row is padded.

    Raises:
        PromptError: a prompt is empty, or longer than the model has positions.
    """
    if not prompts:
        raise PromptError("no prompt was given")
    rows = [_encode(model, prompt, max_new_tokens) for prompt in prompts]
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids, None if bool(mask.all()) else mask


def _encode(model: Model, prompt: str, max_new_tokens: int) -> list[int]:
    ids: list[int] = list(model.tokenizer(prompt)["input_ids"])
    room = model.profile.max_positions
    if not ids:
        raise PromptError(f"the prompt {prompt!r} has no token: give it some text")
    if max_new_tokens < 1:
        raise PromptError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    if len(ids) + max_new_tokens > room:
        raise PromptError(
            f"{len(ids)} prompt tokens and {max_new_tokens} new ones are more than the {room} positions "
            f"of {model.name!r}: shorten the prompt or ask for fewer"
        )
    return ids


def log_probability(logits: Tensor, token_id: int) -> float:
    """Natural logarithm of a token's probability under the logits [V], before any filter."""
    return float(torch.log_softmax(logits.float(), dim=-1)[token_id])


class Sampler:
    """Chooses tokens for one session. Equal settings and logits give equal tokens."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._generator = torch.Generator().manual_seed(sampling.seed)
        self._warpers = LogitsProcessorList(_warpers(sampling))

    def __call__(self, logits: Tensor) -> Tensor:
        """Token ids [B] from the logits [B, V] of the last position."""
        if not self._sampling.do_sample:
            return logits.argmax(dim=-1)
        scores = logits.to("cpu", torch.float32)  # one random stream, whatever computed the logits
        no_ids = torch.empty(len(scores), 0, dtype=torch.long)
        weights = torch.softmax(self._warpers(no_ids, scores), dim=-1)
        return torch.multinomial(weights, num_samples=1, generator=self._generator).squeeze(1)


def _warpers(sampling: Sampling) -> list[Any]:
    warpers: list[Any] = []
    if sampling.temperature != 1.0:
        warpers.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1.0:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    return warpers


class Rows:
    """Which rows of a batch have ended, and what is fed on for those that have."""

    def __init__(self, batch: int, ends: Sequence[int]) -> None:
        self._ends = frozenset(ends)
        self._fill = min(ends, default=0)  # what an ended row is fed; nobody reads what it gives
        self.ended = [False] * batch

    def accept(self, ids: Tensor | Sequence[int]) -> list[int]:
        """The tokens that count, one per row: an ended row repeats its end."""
        tokens = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        kept = [self._fill if over else token for token, over in zip(tokens, self.ended, strict=True)]
        self.ended = [over or token in self._ends for token, over in zip(kept, self.ended, strict=True)]
        return kept

    def end(self, row: int) -> None:
        """A row is over for another reason, such as a stop string."""
        self.ended[row] = True

    @property
    def finished(self) -> bool:
        return all(self.ended)


class TextStream:
    """Text of one row as its tokens come; knows when a stop string is complete."""

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:
        self._tokenizer, self._stop = tokenizer, tuple(stop)
        self._ids: list[int] = []
        self._settled = 0  # ids before this one are in self.text for good
        self.text = ""

    def push(self, token_id: int) -> str:
        """The text that this token adds; empty while a character is incomplete."""
        self._ids.append(token_id)
        # Decoding from a settled point with a few ids of context keeps the spaces that depend on it.
        context = max(0, self._settled - 4)
        before = self._decode(self._ids[context : self._settled])
        after = self._decode(self._ids[context:])
        if after.endswith("\ufffd"):
            return ""
        self._settled = len(self._ids)
        piece = after[len(before) :]
        self.text += piece
        return piece

    @property
    def stopped(self) -> bool:
        """True once the text holds a stop string."""
        return any(stop in self.text for stop in self._stop)

    def _decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text


def eos_ids(config: Any, source: Path | None = None) -> tuple[int, ...]:
    """The ids that end a row: the generation configuration's where there is one, else the model's."""
    found = getattr(config, "eos_token_id", None)
    generation = source / "generation_config.json" if source is not None else None
    if generation is not None and generation.is_file():
        found = json.loads(generation.read_text(encoding="utf-8")).get("eos_token_id", found)
    if found is None:
        return ()
    return tuple(found) if isinstance(found, list | tuple) else (int(found),)
