"""Requests: what is asked, what it is known to be, and when it comes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.errors import InputError

__all__ = ["CONTINUE", "Request"]

CONTINUE = "continue"
"""The feature of open prose: it goes on as the model likes, and has no right answer."""


@dataclass(frozen=True)
class Request:
    """One prompt that some module of a plan answers."""

    prompt: str
    feature: str | None = None  # explicit tag; None: nobody said
    max_new_tokens: int = 32
    answer: str | None = None  # what is right, where that is known
    truth: str | None = None  # the feature it really is, for counting misrouting; the tag, if not given
    arrival_s: float = 0.0  # since the workload began

    def __post_init__(self) -> None:
        if not isinstance(self.prompt, str):
            raise InputError(f"a prompt is text: got {self.prompt!r}")
        for name, value in (("feature", self.feature), ("answer", self.answer), ("truth", self.truth)):
            if value is not None and not isinstance(value, str):
                raise InputError(f"a request's {name} is text, or None: got {value!r}")
        if not isinstance(self.max_new_tokens, int) or isinstance(self.max_new_tokens, bool):
            raise InputError(f"max_new_tokens is a whole number: got {self.max_new_tokens!r}")
        if self.max_new_tokens < 1:
            raise InputError(f"a request asks for at least one token: got {self.max_new_tokens}")
        if isinstance(self.arrival_s, bool) or not isinstance(self.arrival_s, (int, float)):
            raise InputError(f"arrival_s is a number of seconds: got {self.arrival_s!r}")
        if not 0 <= self.arrival_s < math.inf:
            raise InputError(f"a request arrives at a finite time, not before 0: got {self.arrival_s} s")
        if self.truth is None:
            object.__setattr__(self, "truth", self.feature)

    def is_right(self, text: str) -> bool | None:
        """Whether generated text up to its first newline is the answer; None where no answer is known."""
        if self.answer is None:
            return None
        return text.partition("\n")[0].strip() == self.answer.strip()
