"""The text that every CPython carries: help topics, docstrings and source, and how some of it is held out.

Prose is `pydoc_data.topics` and the docstrings of the standard library, those of C modules by
introspection. Code is the source of the standard library. Whole modules and topics are held out by a
stable hash of their name; training text then loses every line that shares a window of 48 bytes with
held-out text, so that the two stay disjoint on any Python version.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

__all__ = [
    "WINDOW_BYTES",
    "Corpus",
    "Document",
    "corpus_hash",
    "held_out_prose",
    "library_documents",
    "training_corpus",
    "without_overlap",
]

# Text shared with held-out documents over this many bytes never enters training.
WINDOW_BYTES = 48
# One module or topic in this many is held out.
HELD_OUT_ONE_IN = 18
# Below this a document teaches and measures nothing ("T.foo() -> None").
MIN_DOCUMENT_BYTES = 160
# No single held-out module weighs more than this in the evaluation.
MAX_HELD_OUT_BYTES = 12_000

_SKIPPED_FOLDERS = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__", "lib-dynload"}
)
# Importing these runs something, opens something or prints something.
_NOT_IMPORTED = frozenset({"antigravity", "this", "__main__", "idlelib", "turtle", "tkinter"})


@dataclass(frozen=True)
class Document:
    """One piece of text and where it is from."""

    source: str
    """`topic:NAME`, `doc:MODULE` or `code:MODULE`."""
    text: str


@dataclass(frozen=True)
class Corpus:
    """Training text, disjoint from held-out text."""

    prose: tuple[Document, ...]
    code: tuple[Document, ...]


# --- what the library carries ---------------------------------------------------------------------


def library_documents() -> Corpus:
    """All prose and code of the running CPython, nothing held out, in a stable order."""
    modules = dict(_source_modules())
    prose = [*_topics(), *_source_docstrings(modules), *_introspected_docstrings(modules)]
    code = [Document(f"code:{name}", text) for name, text in modules.items()]
    return Corpus(tuple(_distinct(prose)), tuple(code))


def _source_modules() -> Iterator[tuple[str, str]]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if _SKIPPED_FOLDERS.isdisjoint(parts) and parts[0] != "pydoc_data":
            text = _read_text(path)
            if text is not None:
                yield ".".join(parts).removesuffix(".py").removesuffix(".__init__"), text


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError):
        return None


def _topics() -> Iterator[Document]:
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    for name in sorted(topics):
        yield Document(f"topic:{name}", topics[name].strip() + "\n")


def _source_docstrings(modules: dict[str, str]) -> Iterator[Document]:
    for name, text in modules.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        yield from _gathered(f"doc:{name}", _docstrings_of_tree(tree))


def _docstrings_of_tree(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            doc = ast.get_docstring(node)
            if doc:
                yield doc if isinstance(node, ast.Module) else f"{node.name}: {doc}"


def _introspected_docstrings(modules: dict[str, str]) -> Iterator[Document]:
    for name in sorted(sys.stdlib_module_names - modules.keys() - _NOT_IMPORTED):
        module = _imported(name)
        if module is not None:
            yield from _gathered(f"doc:{name}", _docstrings_of_module(module))


def _imported(name: str) -> ModuleType | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except Exception:  # noqa: BLE001 - a module of another platform may fail in any way when imported
        return None


def _docstrings_of_module(module: ModuleType) -> Iterator[str]:
    if module.__doc__:
        yield inspect.cleandoc(module.__doc__)
    for name, value in sorted(vars(module).items()):
        if isinstance(value, type):
            yield from _docstrings_of_class(name, value)
        elif inspect.isroutine(value) and value.__doc__:
            yield f"{name}: {inspect.cleandoc(value.__doc__)}"


def _docstrings_of_class(name: str, cls: type) -> Iterator[str]:
    if isinstance(cls.__doc__, str):
        yield f"{name}: {inspect.cleandoc(cls.__doc__)}"
    for member, value in sorted(vars(cls).items()):
        doc = getattr(value, "__doc__", None)
        if inspect.isroutine(value) and isinstance(doc, str):
            yield f"{name}.{member}: {inspect.cleandoc(doc)}"


def _gathered(source: str, docstrings: Iterable[str]) -> Iterator[Document]:
    distinct = list(dict.fromkeys(doc.strip() for doc in docstrings))
    text = "\n\n".join(doc for doc in distinct if len(doc) > 40)
    if len(text.encode()) >= MIN_DOCUMENT_BYTES:
        yield Document(source, text + "\n")


def _distinct(documents: Iterable[Document]) -> list[Document]:
    return list({document.text: document for document in documents}.values())


# --- what is held out ------------------------------------------------------------------------------


def _is_held_out(source: str) -> bool:
    digest = hashlib.blake2b(source.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % HELD_OUT_ONE_IN == 0


def held_out_prose(library: Corpus) -> list[Document]:
    """The held-out topics and docstrings of `library`, each at most `MAX_HELD_OUT_BYTES` long."""
    chosen = (document for document in library.prose if _is_held_out(document.source))
    return [Document(document.source, _shortened(document.text)) for document in chosen]


def _shortened(text: str) -> str:
    """Cut at the last paragraph that fits."""
    if len(text) <= MAX_HELD_OUT_BYTES:
        return text
    return text[: text.rfind("\n\n", 0, MAX_HELD_OUT_BYTES)] + "\n"


def training_corpus(library: Corpus, held_out: Sequence[Document]) -> Corpus:
    """`library` without the held-out modules and topics and without any text that overlaps them."""
    names = {document.source.partition(":")[2] for document in held_out}
    texts = [document.text for document in held_out]
    kept = [
        [document for document in part if document.source.partition(":")[2] not in names]
        for part in (library.prose, library.code)
    ]
    prose, code = (tuple(without_overlap(part, texts)) for part in kept)
    return Corpus(prose, code)


def without_overlap(documents: Iterable[Document], held_out: Sequence[str]) -> Iterator[Document]:
    """`documents` without the lines that share `WINDOW_BYTES` bytes with any of `held_out`.

    Windows are compared as written, and again with runs of white space made one space, so that the
    same sentence at another indentation is found too.
    """
    raw = _known_windows(text.encode() for text in held_out)
    collapsed = _known_windows(" ".join(text.split()).encode() for text in held_out)
    for document in documents:
        text = _without_windows(document.text, raw, collapsed)
        if len(text.encode()) >= MIN_DOCUMENT_BYTES:
            yield Document(document.source, text)


def _without_windows(text: str, raw: np.ndarray, collapsed: np.ndarray) -> str:
    # Dropping lines brings others together, which may make a new match: until nothing is found.
    while True:
        lines = text.splitlines(keepends=True)
        hit = _lines_hit(lines, raw) | _lines_hit([_collapsed(line) for line in lines], collapsed)
        if not hit.any():
            return text
        text = "".join(line for line, drop in zip(lines, hit, strict=True) if not drop)


def _collapsed(line: str) -> str:
    words = " ".join(line.split())
    return words + " " if words else ""


def _lines_hit(lines: Sequence[str], known: np.ndarray) -> np.ndarray:
    """Which lines take part in a window that is in `known`."""
    encoded = [line.encode() for line in lines]
    starts = _positions_of(known, _window_hashes(b"".join(encoded)))
    ends = np.cumsum([len(line) for line in encoded], dtype=np.int64)
    hit = np.zeros(len(lines) + 1, dtype=np.int64)
    np.add.at(hit, np.searchsorted(ends, starts, side="right"), 1)
    np.add.at(hit, np.searchsorted(ends, starts + WINDOW_BYTES - 1, side="right") + 1, -1)
    return np.cumsum(hit)[: len(lines)] > 0


def _positions_of(known: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Where `hashes` holds a member of `known`, which is sorted."""
    # A table over the upper 20 bits rules out nearly all before the exact search.
    table = np.zeros(1 << 20, dtype=bool)
    table[known >> np.uint64(44)] = True
    likely = np.flatnonzero(table[hashes >> np.uint64(44)])
    nearest = np.searchsorted(known, hashes[likely])
    return likely[known[np.minimum(nearest, len(known) - 1)] == hashes[likely]]


def _known_windows(texts: Iterable[bytes]) -> np.ndarray:
    hashes = [_window_hashes(text) for text in texts]
    return np.unique(np.concatenate(hashes)) if hashes else np.empty(0, dtype=np.uint64)


def _window_hashes(data: bytes) -> np.ndarray:
    """A 64-bit polynomial hash of each window of `WINDOW_BYTES` bytes: uint64[max(0, len - 47)]."""
    if len(data) < WINDOW_BYTES:
        return np.empty(0, dtype=np.uint64)
    multiplier = 0x9E3779B97F4A7C15
    spans = {1: np.frombuffer(data, dtype=np.uint8).astype(np.uint64) + np.uint64(1)}
    for width in (1, 2, 4, 8, 16):  # hash of 2w bytes from two hashes of w bytes
        spans[2 * width] = _joined(spans[width], spans[width], width, multiplier)
    return _joined(spans[32], spans[16], 32, multiplier)


def _joined(left: np.ndarray, right: np.ndarray, width: int, multiplier: int) -> np.ndarray:
    power = np.uint64(pow(multiplier, width, 2**64))
    length = len(right) - width
    return left[:length] * power + right[width:]


def corpus_hash(corpus: Corpus) -> str:
    """SHA-256 over all documents, in order: names the training text of a model card."""
    digest = hashlib.sha256()
    for document in (*corpus.prose, *corpus.code):
        digest.update(document.source.encode() + b"\0" + document.text.encode() + b"\0")
    return digest.hexdigest()
