"""The shipped models' tokenizer: a byte-level BPE of their own, one token per digit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

__all__ = ["END", "PAD", "load_tokenizer", "train_tokenizer"]

END = "<|endoftext|>"
PAD = "<|pad|>"


def train_tokenizer(
    texts: Iterable[str], vocabulary: int = 2048, max_length: int = 1024
) -> PreTrainedTokenizerFast:
    """A byte-level BPE of `vocabulary` tokens, `<|endoftext|>` (0) and `<|pad|>` (1) included.

    Any text survives encoding and decoding. Nothing is added at its start or its end.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _wrapped(tokenizer, max_length)


def load_tokenizer(folder: Path, max_length: int = 1024) -> PreTrainedTokenizerFast:
    """The tokenizer of a shipped model, free of the traces that loading through Auto classes leaves."""
    return _wrapped(Tokenizer.from_file(str(folder / "tokenizer.json")), max_length)


def _wrapped(tokenizer: Tokenizer, max_length: int) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=PAD,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
