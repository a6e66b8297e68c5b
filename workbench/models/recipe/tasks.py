"""Generated tasks with exact answers, which differ in what they ask of a model.

An example reads ``prompt + " " + answer + "\\n"``: a model that is given the prompt writes the answer
and a newline. Letters stand apart and digits are single tokens, so that the tokenizer sees the symbols
that the task is about. One prompt in `HELD_OUT_ONE_IN` is held out by a stable hash of its text:
`training_examples` never yields one, `held_out_examples` yields nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

__all__ = [
    "TASKS",
    "Example",
    "held_out_examples",
    "is_held_out",
    "training_examples",
    "translate_sentence",
]

HELD_OUT_ONE_IN = 32
# Arithmetic takes the most examples to learn, and its answers are the shortest.
_SHARES = {"arithmetic": 3}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Example:
    """One task with its only right answer."""

    task: str
    prompt: str
    answer: str

    @property
    def text(self) -> str:
        """The example as it stands in training text, newline included."""
        return f"{self.prompt} {self.answer}\n"


def is_held_out(prompt: str) -> bool:
    """Whether `prompt` belongs to the evaluation: a property of its text, the same everywhere."""
    digest = hashlib.blake2b(prompt.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % HELD_OUT_ONE_IN == 0


def training_examples(seed: int, task: str | None = None) -> Iterator[Example]:
    """Examples without end, of one task or of all mixed, never a held-out one."""
    return (example for example in _examples(seed, task) if not is_held_out(example.prompt))


def held_out_examples(seed: int, task: str, count: int) -> list[Example]:
    """`count` different held-out examples of one task."""
    found: dict[str, Example] = {}
    for example in _examples(seed, task):
        if is_held_out(example.prompt):
            found[example.prompt] = example
        if len(found) == count:
            break
    return list(found.values())


def _examples(seed: int, task: str | None) -> Iterator[Example]:
    rng = Random(seed)
    names = [task] if task else [name for name in TASKS for _ in range(_SHARES.get(name, 1))]
    while True:
        name = rng.choice(names)
        prompt, answer = TASKS[name](rng)
        yield Example(name, prompt, answer)


# --- the tasks -------------------------------------------------------------------------------------


def _letters(rng: Random, low: int, high: int) -> list[str]:
    return [rng.choice(_LETTERS) for _ in range(rng.randint(low, high))]


def _copy(rng: Random) -> tuple[str, str]:
    letters = " ".join(_letters(rng, 2, 12))
    return f"copy: {letters} =", letters


def _reverse(rng: Random) -> tuple[str, str]:
    letters = _letters(rng, 2, 9)
    return f"reverse: {' '.join(letters)} =", " ".join(reversed(letters))


def _sort(rng: Random) -> tuple[str, str]:
    letters = rng.sample(_LETTERS, rng.randint(2, 10))
    return f"sort: {' '.join(letters)} =", " ".join(sorted(letters))


def _arithmetic(rng: Random) -> tuple[str, str]:
    high = rng.choice((19, 49, 99))
    first, second = sorted((rng.randint(0, high), rng.randint(0, high)), reverse=True)
    if rng.random() < 0.5:
        return f"arithmetic: {first} - {second} =", str(first - second)
    if rng.random() < 0.5:
        first, second = second, first
    return f"arithmetic: {first} + {second} =", str(first + second)


def _recall(rng: Random) -> tuple[str, str]:
    keys = rng.sample(_LETTERS, rng.randint(2, 12))
    pairs = {key: rng.choice(_LETTERS.upper()) for key in keys}
    listed = " ".join(f"{key} {value}" for key, value in pairs.items())
    asked = rng.choice(keys)
    return f"recall: {listed} ; {asked}", pairs[asked]


_FIELDS = ("name", "city", "food", "job", "pet", "color", "tool", "game")


def _extract(rng: Random) -> tuple[str, str]:
    fields = rng.sample(_FIELDS, rng.randint(2, 6))
    record = {field: _word(rng, rng.randint(1, 3)) for field in fields}
    listed = " , ".join(f"{field} {value}" for field, value in record.items())
    asked = rng.choice(fields)
    return f"extract: {listed} ; {asked}", record[asked]


# --- two small languages ---------------------------------------------------------------------------
# Upland says: adjective noun verb adjective noun. Lowland has its own words, puts the verb last, and
# the adjective behind its noun.


def _word(rng: Random, syllables: int) -> str:
    return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(syllables))


def _lexicon(count: int) -> tuple[dict[str, str], ...]:
    rng = Random(20)
    words: dict[str, None] = {}
    while len(words) < 6 * count:
        words[_word(rng, 2)] = None
    listed = list(words)
    pairs = list(zip(listed[: 3 * count], listed[3 * count :], strict=True))
    return tuple(dict(pairs[kind * count : (kind + 1) * count]) for kind in range(3))


_NOUNS, _VERBS, _ADJECTIVES = _lexicon(16)


def _noun_phrase(rng: Random) -> list[str]:
    noun = rng.choice(list(_NOUNS))
    return [rng.choice(list(_ADJECTIVES)), noun] if rng.random() < 0.6 else [noun]


def translate_sentence(sentence: str) -> str:
    """Upland to Lowland. Raises KeyError on a word that Upland lacks, ValueError without a verb."""
    words = sentence.split()
    at = next((i for i, word in enumerate(words) if word in _VERBS), None)
    if at is None:
        raise ValueError(f"{sentence!r} has no verb: write subject, verb and object in Upland words")
    phrases = (words[:at], words[at + 1 :])
    moved = [_NOUNS[phrase[-1]] + "".join(f" {_ADJECTIVES[a]}" for a in phrase[:-1]) for phrase in phrases]
    return " ".join([*moved, _VERBS[words[at]]])


def _translate(rng: Random) -> tuple[str, str]:
    words = [*_noun_phrase(rng), rng.choice(list(_VERBS)), *_noun_phrase(rng)]
    sentence = " ".join(words)
    return f"translate: {sentence} =", translate_sentence(sentence)


TASKS: dict[str, Callable[[Random], tuple[str, str]]] = {
    "copy": _copy,
    "reverse": _reverse,
    "sort": _sort,
    "arithmetic": _arithmetic,
    "recall": _recall,
    "extract": _extract,
    "translate": _translate,
}
