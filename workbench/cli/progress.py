"""How a long search shows that it goes on."""

from __future__ import annotations

import sys
import time

from workbench.records import TrialRecord

__all__ = ["Progress"]


class Progress:
    """One line on standard error, written over in a terminal, else a line every ten trials."""

    def __init__(self, n_trials: int) -> None:
        self._n_trials, self._done, self._began_s = n_trials, 0, time.monotonic()
        self._terminal = sys.stderr.isatty()

    def __call__(self, record: TrialRecord) -> None:
        """Another trial is done."""
        self._done += 1
        last = self._done == self._n_trials
        if self._terminal:
            sys.stderr.write(f"\r\033[K{self._line(record)}" + ("\n" if last else ""))
        elif last or self._done % 10 == 0:
            sys.stderr.write(self._line(record) + "\n")
        sys.stderr.flush()

    def _line(self, record: TrialRecord) -> str:
        spent_s = time.monotonic() - self._began_s
        return f"trial {self._done} of {self._n_trials}, {spent_s:.0f} s: {record.title}"
