"""`python -m workbench.models.recipe`: make the evaluation data, train what is shipped, write the cards."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from .adapters import ADAPTERS, ship_adapter
from .architecture import DRAFT, MODELS, TINY, Architecture
from .batches import encode_streams
from .card import write_card
from .corpus import Corpus, held_out_prose, library_documents, training_corpus
from .evaluate import exact_match, read_prose, read_tasks, score_prose, write_lines
from .record import training_record
from .tasks import TASKS, held_out_examples, training_examples
from .tokenizer import load_tokenizer, train_tokenizer
from .train import Settings, plain_copy, save_model, train

DEFAULT_STEPS = {TINY.name: 3800, DRAFT.name: 2000}
EXAMPLES_PER_TASK = 120


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it is done, 130 when it was interrupted."""
    options = _parser().parse_args(arguments)
    try:
        _COMMANDS[options.command](options)
    except KeyboardInterrupt:
        print(f"\nstopped; {_GOES_ON.get(options.command, _FROM_CHECKPOINT)}", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workbench.models.recipe", description=__doc__)
    parser.add_argument("command", nargs="?", default="all", choices=sorted(_COMMANDS))
    parser.add_argument("--model", default="all", choices=[*MODELS, "all"])
    parser.add_argument("--adapter", default="all", choices=[*ADAPTERS, "all"])
    parser.add_argument("--steps", type=int, help="training steps (default: per model or adapter)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--out", type=Path, default=Path("data"), help="the data folder")
    parser.add_argument("--checkpoints", type=Path, default=Path(tempfile.gettempdir()) / "workbench-recipe")
    return parser


def make_evaluation(options: argparse.Namespace) -> None:
    """Write the held-out prose and tasks. Part of the repository: made once, then kept."""
    folder = options.out / "evaluation"
    prose = held_out_prose(library_documents())
    write_lines(folder / "prose.jsonl", [vars(document) for document in prose])
    examples = [e for task in TASKS for e in held_out_examples(options.seed, task, EXAMPLES_PER_TASK)]
    write_lines(folder / "tasks.jsonl", [vars(example) for example in examples])


def train_models(options: argparse.Namespace) -> None:
    """Train the models asked for and put them under `models/` in the data folder."""
    held_out = read_prose(options.out / "evaluation" / "prose.jsonl")
    corpus = training_corpus(library_documents(), held_out)
    tokenizer = _tokenizer(options, corpus)
    for architecture in MODELS.values() if options.model == "all" else [MODELS[options.model]]:
        _train_one(architecture, options, corpus, tokenizer)


def _tokenizer(options: argparse.Namespace, corpus: Corpus) -> PreTrainedTokenizerFast:
    """The draft model speaks with the tokenizer of `tiny`: made with it, kept by it."""
    folder = options.out / "models" / TINY.name
    if options.model == DRAFT.name:
        return load_tokenizer(folder)
    examples = training_examples(options.seed)
    texts = [document.text for document in (*corpus.prose, *corpus.code)]
    return train_tokenizer([*texts, *(next(examples).text for _ in range(5000))], TINY.vocabulary)


def _train_one(
    architecture: Architecture,
    options: argparse.Namespace,
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    settings = Settings(options.steps or DEFAULT_STEPS[architecture.name], options.seed)
    streams = encode_streams(tokenizer, corpus, options.seed)
    print(f"{len(streams.prose)} tokens of prose, {len(streams.code)} of code", flush=True)
    model, cost = train(
        architecture, settings, streams, tokenizer,
        device=_device(options.device),
        checkpoint=options.checkpoints / f"{architecture.name}.pt",
        report=_Reporter(architecture, options, tokenizer),
    )  # fmt: skip
    record = training_record(architecture, settings, cost, corpus, streams)
    save_model(model, tokenizer, record, options.out / "models" / architecture.name)
    print(f"{architecture.name}: {cost}", flush=True)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


class _Reporter:
    """Says how far a model has come on a fifth of the held-out data."""

    def __init__(
        self, architecture: Architecture, options: argparse.Namespace, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        self._exits = architecture.exits
        self._tokenizer = tokenizer
        self._prose = read_prose(options.out / "evaluation" / "prose.jsonl")[::5]
        self._tasks = read_tasks(options.out / "evaluation" / "tasks.jsonl")[::5]

    def __call__(self, model: LlamaForCausalLM, step: int) -> str:
        plain = plain_copy(model)
        scores = score_prose(plain, self._tokenizer, self._prose, self._exits)
        right = exact_match(plain, self._tokenizer, self._tasks, self._exits[-1:])
        shown = [*(f"{depth}: {score.bits_per_byte:.3f}" for depth, score in scores.items())]
        shown += [f"{task} {share:.0%}" for task, share in right[self._exits[-1]].items()]
        return "bits per byte " + ", ".join(shown)


def make_card(options: argparse.Namespace) -> None:
    """Measure the models in the data folder and write their cards."""
    write_card(options.out)


def train_adapters(options: argparse.Namespace) -> None:
    """Train the adapters asked for and put each under `adapters/` in the data folder."""
    tasks = read_tasks(options.out / "evaluation" / "tasks.jsonl")
    for recipe in ADAPTERS.values() if options.adapter == "all" else [ADAPTERS[options.adapter]]:
        ship_adapter(recipe, options.out, tasks, steps=options.steps, seed=options.seed)


def make_all(options: argparse.Namespace) -> None:
    """Train the models, write their cards, then train the adapters, which are of these weights."""
    train_models(options)
    make_card(options)
    train_adapters(options)


_COMMANDS = {
    "adapters": train_adapters,
    "all": make_all,
    "card": make_card,
    "evaluation": make_evaluation,
    "train": train_models,
}
_FROM_CHECKPOINT = "the same command goes on from the last checkpoint"
_GOES_ON = {"adapters": "adapters that were finished are kept, --adapter NAME trains one of them"}


if __name__ == "__main__":
    sys.exit(main())
