"""A text rewritten step by step, where each character still knows what it came from.

Every disguise has one step that undoes it: look-alike letters, entities and percent signs, spaced letters,
digits for letters, words for digits. Patterns then read plain lower-case text.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

__all__ = ["View", "at_and_dot", "digits", "joined", "letters", "plain", "runs_of_letters", "undotted"]

# Latin letters by their commonest doubles in Cyrillic, Greek, Armenian and Cherokee, and what NFKD leaves.
_DOUBLES = {
    "a": "аαɑ",
    "b": "ьЬВΒ",
    "c": "сϲ",
    "d": "ԁɗ",
    "e": "еєҽ",
    "g": "ɡց",
    "h": "һհ",
    "i": "іιı",
    "j": "јϳ",
    "k": "кκ",
    "l": "ӏ",
    "m": "м",
    "n": "ոη",
    "o": "оοσօ",
    "p": "рρ",
    "q": "ԛգ",
    "r": "гᴦ",
    "s": "ѕʂ",
    "t": "тτ",
    "u": "υսʋ",
    "v": "ѵν",
    "w": "ѡԝω",
    "x": "хχ",
    "y": "уүγ",
    "z": "ᴢ",
    "A": "АΑ",
    "C": "С",
    "E": "ЕΕ",
    "H": "НΗ",
    "I": "ІΙ",
    "J": "Ј",
    "K": "КΚ",
    "M": "МΜ",
    "N": "Ν",
    "O": "ОΟ",
    "P": "РΡ",
    "S": "Ѕ",
    "T": "ТΤ",
    "X": "ХΧ",
    "Y": "УΥҮ",
    "Z": "Ζ",
    "B": "Ᏼ",
    ".": "。․·‧∙•",
    "-": "−‐‑‒–—―﹘",
    "/": "⁄∕",
    "ae": "æ",
    "oe": "œø",
    "ss": "ß",
}
_PLAIN = {double: plain for plain, doubles in _DOUBLES.items() for double in doubles}
# Small capitals, which fonts for messages use; and letters in black boxes and flags, by code point.
_PLAIN |= dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏ", "abcdefghijklmnoprstuvwy", strict=True))
_PLAIN |= {chr(first + i): chr(65 + i) for first in (0x1F150, 0x1F170, 0x1F1E6) for i in range(26)}
_INVISIBLE = {"Cf", "Mn", "Me", "Cc", "Cs", "Cn"}
_FILLERS = "\u115f\u1160\u3164\uffa0\u2800"  # letters and symbols that show nothing
_SPACES = {"Zs", "Zl", "Zp"}

_SPACED = re.compile(r"(?<!\S)\S(?:\s{1,3}\S(?!\S)){2,}")
_DOTTED = re.compile(r"(?<![^\W_])[^\W_](?:[._\-*|/,~]{1,2}[^\W_](?![^\W_])){2,}")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,31});?")
_PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2})+")
_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|=(?:[46][1-9A-Fa-f]|[57][0-9Aa]|40)")
_HYPHEN = re.compile(r"(?<=[^\W\d_])[._\-*|~]+(?=[^\W\d_])")
_LEET = re.compile(r"(?<![^\W_])[^\W_]{0,40}[0-9@$!|+][\w@$!|+]*")
_LEET_LETTERS = dict(zip("0345789@$+", "oeastbgast", strict=True))
_AT = re.compile(
    r"(?<=[\w+\-])\s{0,2}(?:[\[({<]\s{0,2}(?:at|@|ät|arroba|arobase)\s{0,2}[\])}>]"
    r"|\s(?:at|ät|arroba|arobase)\s|_at_)\s{0,2}(?=\w)",
    re.IGNORECASE,
)
_DOT = re.compile(
    r"(?<=\w)\s{0,2}(?:[\[({<]\s{0,2}(?:dot|\.|punkt|punto|point)\s{0,2}[\])}>]"
    r"|\s(?:dot|punkt|punto|point)\s|_dot_)\s{0,2}(?=\w)",
    re.IGNORECASE,
)
_DIGIT_WORDS = {
    word: str(digit)
    for language in (
        "zero one two three four five six seven eight nine",
        "null eins zwei drei vier fuenf sechs sieben acht neun",
        "zero un deux trois quatre cinq six sept huit neuf",
        "cero uno dos tres cuatro cinco seis siete ocho nueve",
    )
    for digit, word in enumerate(language.split())
} | {"oh": "0", "funf": "5", "zwo": "2"}
_DIGIT_WORD = re.compile(
    rf"(?<![^\W\d_])(?:{'|'.join(sorted(_DIGIT_WORDS, key=len, reverse=True))})(?![^\W\d_])", re.IGNORECASE
)
_LIKE_DIGITS = re.compile(r"(?<![^\W\d_])[OoIlSB]{0,4}\d[\dOoIlSB]*(?![^\W\d_])")
_DIGIT_OF = str.maketrans("OoIlSB", "001158")


@dataclass(frozen=True)
class View:
    """A text, and for each of its characters where that came from."""

    text: str
    starts: tuple[int, ...]  # in the source, of each character
    stops: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> View:
        """The text as it is."""
        return cls(text, tuple(range(len(text))), tuple(range(1, len(text) + 1)))

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Where a non-empty piece came from."""
        return min(self.starts[start:stop]), max(self.stops[start:stop])

    def piece(self, start: int, stop: int) -> View:
        """A part of it."""
        return View(self.text[start:stop], self.starts[start:stop], self.stops[start:stop])

    def rewrite(self, pattern: re.Pattern[str], new: Callable[[str], str]) -> View:
        """Every match replaced; what is put in came from all that the match did."""
        found = [match for match in pattern.finditer(self.text) if match.end() > match.start()]
        if not found:
            return self
        pieces: list[str] = []
        starts: list[int] = []
        stops: list[int] = []
        at = 0
        for match in [*found, None]:
            upto = len(self.text) if match is None else match.start()
            pieces.append(self.text[at:upto])
            starts += self.starts[at:upto]
            stops += self.stops[at:upto]
            if match is not None:
                self._put(match, new(match.group()), pieces, starts, stops)
                at = match.end()
        return View("".join(pieces), tuple(starts), tuple(stops))

    def _put(
        self, match: re.Match[str], text: str, pieces: list[str], starts: list[int], stops: list[int]
    ) -> None:
        pieces.append(text)
        kept = len(text) == match.end() - match.start()  # letter for letter: each knows its own origin
        first, last = self.span(match.start(), match.end())
        starts += self.starts[match.start() : match.end()] if kept else [first] * len(text)
        stops += self.stops[match.start() : match.end()] if kept else [last] * len(text)

    def without(self, pattern: re.Pattern[str], inside: re.Pattern[str]) -> View:
        """What ``inside`` matches is dropped within the matches of ``pattern``."""
        dropped: set[int] = set()
        for match in pattern.finditer(self.text):
            for gap in inside.finditer(self.text, match.start(), match.end()):
                dropped.update(range(gap.start(), gap.end()))
        if not dropped:
            return self
        kept = [i for i in range(len(self.text)) if i not in dropped]
        return View(
            "".join(self.text[i] for i in kept),
            tuple(self.starts[i] for i in kept),
            tuple(self.stops[i] for i in kept),
        )


def plain(text: str) -> View:
    """Entities and escapes decoded, look-alikes and wide forms made Latin, and what is invisible gone."""
    view = _seen(View.of(text))
    for _ in range(3):  # one encoding may hide another
        decoded = view.rewrite(_ENTITY, html.unescape).rewrite(_PERCENT, _unquoted)
        decoded = decoded.rewrite(_ESCAPE, _escaped)
        if decoded is view:
            return view
        view = _seen(decoded)
    return view


def joined(view: View) -> View:
    """Letters that stand apart by spaces moved together: ``j o h n``."""
    return view.without(_SPACED, _BLANK)


def runs_of_letters(view: View) -> Iterator[View]:
    """Each run of letters that stand apart by spaces, by itself and without them."""
    for match in _SPACED.finditer(view.text):
        yield view.piece(*match.span()).without(_WHOLE, _BLANK)


def undotted(view: View) -> View:
    """Letters that stand apart by dots or dashes moved together, and words that these cut: ``j.o.h.n``."""
    return view.without(_DOTTED, _SEPARATOR)


def at_and_dot(view: View) -> View:
    """The words at and dot as signs: ``john at example dot com``."""
    return view.rewrite(_AT, lambda _: "@").rewrite(_DOT, lambda _: ".")


def digits(view: View) -> View:
    """Words for digits, and letters that look like digits, as digits."""
    return view.rewrite(_DIGIT_WORD, lambda word: _DIGIT_WORDS[word.lower()]).rewrite(
        _LIKE_DIGITS, lambda run: run.translate(_DIGIT_OF)
    )


def letters(view: View, one: str) -> View:
    """Digits and signs within words as the letters they look like; 1, ! and | are ``one``; dashes gone."""
    table = str.maketrans({**_LEET_LETTERS, "1": one, "!": one, "|": one})

    def read(word: str) -> str:
        return word.translate(table) if any(c.isalpha() for c in word) else word

    return view.rewrite(_LEET, read).without(_WHOLE, _HYPHEN)


_BLANK, _SEPARATOR, _WHOLE = re.compile(r"\s+"), re.compile(r"[._\-*|/,~]+"), re.compile(r"(?s).+")


def _unquoted(run: str) -> str:
    return unquote(run, errors="replace")


def _escaped(code: str) -> str:
    return chr(int(code.lstrip("\\ux="), 16))


def _seen(view: View) -> View:
    if view.text.isascii() and view.text.isprintable():
        return view
    pieces: list[str] = []
    origins: list[int] = []
    for i, character in enumerate(view.text):
        shown = _as_seen(character)
        pieces.append(shown)
        origins += [i] * len(shown)
    starts = tuple(view.starts[i] for i in origins)
    return View("".join(pieces), starts, tuple(view.stops[i] for i in origins))


def _as_seen(character: str) -> str:
    if character in "\t\n\r\v\f":
        return "\n" if character == "\n" else " "
    if character.isascii():
        return character if character.isprintable() else ""
    return "".join(map(_seen_part, unicodedata.normalize("NFKD", character)))


def _seen_part(character: str) -> str:
    kind = unicodedata.category(character)
    if character in _FILLERS or kind in _INVISIBLE:
        return ""
    if kind in _SPACES:
        return " "
    if kind == "Nd":
        return str(unicodedata.digit(character))
    return _PLAIN.get(character, character)
