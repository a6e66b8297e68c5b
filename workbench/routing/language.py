"""Which language a text is in: by its commonest words, and by the marks of program code."""

from __future__ import annotations

import re

__all__ = ["LANGUAGES", "language_of"]

LANGUAGES = ("en", "de", "fr", "es", "code")
_STOP_WORDS = {
    "en": "the of and to in is that it for was with as be this are not have from or by you what my",
    "de": "der die das und ist nicht ein eine zu den von mit sich auf für dem im es ich wie wir sie auch",
    "fr": "le la les et est un une des du que pas dans pour qui je vous il elle au avec sur ce nous",
    "es": "el los las y es un una que no en por para con del se lo yo su como pero más al está",
}
_WORDS = {language: frozenset(words.split()) for language, words in _STOP_WORDS.items()}
_CODE = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"[{};]\s*$",
        r"^\s*(?:def|class|func|fn|function)\s+\w+\s*[({:]",
        r"^\s*(?:import|from|#include|using|package)\s+[\w.<\"]+",
        r"^\s*(?:return|raise|yield|elif|else:|try:)\b",
        r"^\s*(?:if|for|while|with)\b.*:\s*$",
        r"[=!]=|->|=>|\+=|&&|\|\|",
        r"\w[.]\w+\(|\w\(\)",
        r"^\s*\w+(?:\.\w+)*\s=\s\S",
        r"</\w+>",
        r"^\s*@\w+",
    )
)


def language_of(text: str) -> str | None:
    """One of ``LANGUAGES``, or None where nothing tells.

    Prose needs a common word for every ten of its words, and more of one language than of any other. Code
    shows two of its marks, or one and no common words. Other languages than these are not told apart.
    """
    words = re.findall(r"[^\W\d_]+", text.lower())
    hits = {language: sum(word in known for word in words) for language, known in _WORDS.items()}
    marks = sum(pattern.search(text) is not None for pattern in _CODE)
    best = max(hits, key=lambda language: hits[language])
    if marks >= 2 or (marks == 1 and hits[best] == 0):
        return "code"
    second = max(count for language, count in hits.items() if language != best)
    return best if hits[best] > second and hits[best] * 10 >= len(words) else None
