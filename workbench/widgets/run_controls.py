"""Controls of a real run: what to send, start, cancel, how far it is, what comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import ipywidgets

from workbench.widgets.controls import LABEL_WIDTH, button, group
from workbench.widgets.look import hidden, pre

__all__ = ["RunControls"]


class RunControls:
    """Buttons and progress. All but `add_text` and `prompt` is for the panel's worker.

    Args:
        run, cancel: called when their button is pressed; they have to return at once.
        ask_accuracy: the same for measuring the accuracy.
        can_run: whether there are weights to run.
    """

    def __init__(
        self,
        run: Callable[[], None],
        cancel: Callable[[], None],
        ask_accuracy: Callable[[], None],
        can_run: bool,
    ) -> None:
        self._prompt = ipywidgets.Textarea(
            description="Prompt text",
            placeholder="empty: held-out prose of just the length above",
            tooltip="What a run sends; its own number of tokens then counts",
            rows=2,
            style={"description_width": LABEL_WIDTH},
            layout={"width": "auto"},
        )
        hint = "Run this plan in two processes over the link"
        self._run = button("Run it", run, hint=hint, style="primary")
        self._cancel = button("Cancel", cancel, hint="End the run; nothing of it is left")
        hint = "Run the evaluation suite on this plan"
        self._accuracy = button("Measure accuracy", ask_accuracy, hint=hint)
        self._progress = ipywidgets.FloatProgress(
            value=0, min=0, max=1, description="Progress", style={"description_width": LABEL_WIDTH}
        )
        self._progress.layout.width = "auto"
        self._status = ipywidgets.HTML()
        self.text = ipywidgets.HTML()
        self._pieces: list[str] = []
        self._n_tokens = 1
        self._can_run = can_run
        buttons = ipywidgets.HBox([self._run, self._cancel, self._accuracy])
        self.widget = group("Run it for real", [self._prompt, buttons, self._progress, self._status])
        self._show_running(False)

    @property
    def prompt(self) -> str:
        """What the user wrote; empty for prose of just the set length."""
        return self._prompt.value

    def begin(self, n_tokens: int) -> None:
        """A run of so many tokens starts."""
        self._pieces.clear()
        self._n_tokens = n_tokens
        self.text.value = ""
        self._progress.value, self._progress.bar_style = 0, ""
        self._show_running(True)
        self.say("starting …")

    def say(self, text: str) -> None:
        """What happens now."""
        self._status.value = f"<div class='wb-note' role='status'>{escape(text)}</div>"

    def add_text(self, piece: str) -> None:
        """A piece of text came. From any thread."""
        self._pieces.append(piece)

    def show_text(self) -> None:
        """Show what has come so far."""
        self._progress.value = min(1.0, len(self._pieces) / self._n_tokens)
        self.text.value = pre("".join(self._pieces), "Text of the run")

    def end(self, status: str, text: str = "", notes: Sequence[str] = ()) -> None:
        """The run is over; its text and what has to be known of it."""
        self._show_running(False)
        self.say(status)
        if text:
            self._progress.value, self._progress.bar_style = 1, "success"
            said = "".join(f"<div class='wb-note'>{escape(note)}</div>" for note in notes)
            self.text.value = pre(text, "Text of the run") + said

    def _show_running(self, running: bool) -> None:
        self._run.disabled = running or not self._can_run
        self._accuracy.disabled = not self._can_run
        self._cancel.disabled = not running
        hidden(self._progress, not running)
