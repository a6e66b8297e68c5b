"""Rules that a person writes: what a text has, and which feature that makes it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import ClassVar

from workbench.errors import InputError, UnknownNameError
from workbench.plan import DATA_CLASSES, DEFAULT_FEATURE, Plan
from workbench.routing.language import LANGUAGES, language_of
from workbench.routing.policies.base import Policy, Route, Situation
from workbench.routing.request import Request
from workbench.routing.sensitive import find_sensitive

__all__ = ["Rule", "Rules"]


@dataclass(frozen=True)
class Rule:
    """A feature, and what a text must have to be taken for it: all that is given here."""

    feature: str
    keywords: Sequence[str] = ()  # one of them, as whole words in any case
    prefix: str | None = None  # how it begins, in any case, white space before it left out
    regex: str | None = None  # searched anywhere, as written
    min_length: int | None = None  # characters, inclusive
    max_length: int | None = None  # characters, inclusive
    language: str | None = None  # one of language.LANGUAGES
    data: Sequence[str] = ()  # one of these classes of data is found in it
    priority: int | None = None  # the greatest that matches wins; None in all rules: the first wins

    def __post_init__(self) -> None:
        for name in ("keywords", "data"):
            if isinstance(getattr(self, name), str):
                raise InputError(f"{name} of a rule are a list of words: got {getattr(self, name)!r}")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self._has_condition:
            raise InputError(f"the rule for {self.feature!r} has no condition: make it the default instead")
        if any(not word.strip() for word in self.keywords) or self.prefix == "":
            raise InputError(f"the rule for {self.feature!r} has an empty keyword or prefix: leave it out")
        if self.language is not None and self.language not in LANGUAGES:
            raise UnknownNameError("language", self.language, LANGUAGES)
        for name in self.data:
            if name not in DATA_CLASSES:
                raise UnknownNameError("class of data", name, DATA_CLASSES)
        self._check_lengths()
        try:
            re.compile(self.regex or "")
        except re.error as error:
            raise InputError(f"{self.regex!r} is no regular expression: {error}") from error

    @property
    def _has_condition(self) -> bool:
        given = (self.prefix, self.regex, self.min_length, self.max_length, self.language)
        return bool(self.keywords or self.data or any(value is not None for value in given))

    def _check_lengths(self) -> None:
        low, high = self.min_length or 0, self.max_length
        if low < 0 or (high is not None and high < low):
            raise InputError(f"lengths from {low} to {high} characters match no text: turn them round")

    @property
    def _longest(self) -> float:
        return math.inf if self.max_length is None else self.max_length

    def matches(self, text: str) -> bool:
        """Whether a text has all of it. The cheap conditions are looked at first."""
        if not (self.min_length or 0) <= len(text) <= self._longest:
            return False
        if self.prefix is not None and not _begins(text, self.prefix):
            return False
        if self.keywords and not any(_has_word(text, word) for word in self.keywords):
            return False
        if self.regex is not None and re.search(self.regex, text) is None:
            return False
        if self.language is not None and language_of(text) != self.language:
            return False
        return not self.data or any(f.data_class in self.data for f in find_sensitive(text))

    def covers(self, other: Rule) -> bool:
        """Whether what matches ``other`` is sure to match this one; False where that cannot be told."""
        return (
            _within(other.keywords, self.keywords)
            and _within(other.data, self.data)
            and self.regex in (None, other.regex)
            and self.language in (None, other.language)
            and (self.prefix is None or _begins(other.prefix or "", self.prefix))
            and (self.min_length or 0) <= (other.min_length or 0)
            and self._longest >= other._longest
        )

    def alternatives(self) -> Iterator[Rule]:
        """The rule once for each keyword and class of data."""
        for word in self.keywords or (None,):
            for name in self.data or (None,):
                yield replace(self, keywords=(word,) if word else (), data=(name,) if name else ())

    def __str__(self) -> str:
        parts = [
            f"{name} {value!r}"
            for name in ("keywords", "prefix", "regex", "min_length", "max_length", "language", "data")
            if (value := getattr(self, name)) not in (None, ())
        ]
        return f"{self.feature} ({', '.join(parts)})"


@dataclass(frozen=True)
class Rules(Policy):
    """The first rule that matches, or the one of greatest priority; the stated default where none does.

    Raises:
        InputError: two rules clash, or one can never win, where that can be told from the rules alone;
            clashes that only a text shows are raised when it is routed.
    """

    rules: Sequence[Rule]
    default: str = DEFAULT_FEATURE
    name: ClassVar[str] = "rules"

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", tuple(self.rules))
        if not self.rules:
            raise InputError("routing by rules needs at least one rule")
        if len({rule.priority is None for rule in self.rules}) > 1:
            raise InputError("give every rule a priority, or none: then the first that matches wins")
        for first, second in combinations(self._ranked(), 2):
            if first.feature != second.feature:
                _check_pair(first, second)

    def route(self, request: Request, plan: Plan, situation: Situation) -> Route:
        rule = self._match(request.prompt)
        feature = self.default if rule is None else rule.feature
        if feature not in plan.features:
            raise UnknownNameError("feature", feature, plan.features)
        reason = f"no rule matches: the default, {feature}" if rule is None else f"by the rule for {rule}"
        return Route(feature, feature, reason)

    def _ranked(self) -> list[Rule]:
        return sorted(self.rules, key=lambda rule: -(rule.priority or 0))

    def _match(self, text: str) -> Rule | None:
        matching = [rule for rule in self._ranked() if rule.matches(text)]
        if not matching:
            return None
        best = matching[0]
        for other in matching[1:]:
            equal = best.priority is not None and other.priority == best.priority
            if equal and other.feature != best.feature:
                raise InputError(
                    f"{text[:60]!r} matches two rules of priority {best.priority}: {best} and {other}: "
                    "give one of them a greater priority"
                )
        return best


def _check_pair(first: Rule, second: Rule) -> None:
    """Two rules for other features, the first of them at least as strong."""
    if first.covers(second):
        raise InputError(f"two rules clash: all that matches {second} is taken by {first}: narrow one")
    if first.priority is None or first.priority != second.priority:
        return
    pairs = ((a, b) for a in first.alternatives() for b in second.alternatives())
    if any(a.covers(b) or b.covers(a) for a, b in pairs):
        raise InputError(
            f"two rules of priority {first.priority} clash: {first} and {second} match the same texts: "
            "give one of them a greater priority"
        )


def _within(narrow: Sequence[str], wide: Sequence[str]) -> bool:
    return not wide or (bool(narrow) and {w.lower() for w in narrow} <= {w.lower() for w in wide})


def _begins(text: str, prefix: str) -> bool:
    return text.lstrip().lower().startswith(prefix.lower())


def _has_word(text: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None
