"""The controls that say what a study asks: where plans are to run, what they are for, what may be chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets

from workbench import profiles
from workbench.deployment import HOST
from workbench.plan import BITS, WIRE_CODECS
from workbench.profiles import DeviceProfile
from workbench.records import OBJECTIVES
from workbench.studies import SAMPLERS, Question, Space, limits_text, parse_limits
from workbench.widgets.controls import LABEL_WIDTH, Choice, NumberRow, group
from workbench.widgets.look import hidden
from workbench.widgets.profile_choice import ProfileChoice
from workbench.widgets.setting_controls import device_choices

__all__ = ["NEW", "SearchControls"]

NEW = "a new study"
_LONGEST, _LARGEST_BATCH, _MOST_TRIALS = 1024, 32, 1000
_SAMPLER_TITLES = {
    "tpe": "TPE (learns from what it tried)",
    "nsga2": "NSGA-II (genetic)",
    "random": "random",
    "grid": "every plan in order",
}


class SearchControls:
    """What a new study would ask, and which study of the file is looked at."""

    def __init__(
        self,
        question: Question,
        storage: str,
        choose_study: Callable[[str], None],
        take_file: Callable[[str], None],
    ) -> None:
        self._model = question.model
        self._file = ipywidgets.Text(
            storage, description="File", continuous_update=False, **_wide("SQLite, made if missing")
        )
        self._file.observe(lambda change: take_file(change["new"]), "value")
        self.study = Choice("Study", [NEW], NEW, hint="Begin a new one, or look at one of the file")
        self.study.on_change(lambda change: choose_study(change["new"]))
        self._name = ipywidgets.Text(
            description="Its name",
            placeholder="empty: what it asks",
            tooltip="Of a new study in the file",
            style={"description_width": LABEL_WIDTH},
            layout={"width": "auto"},
        )
        self._make_path(question)
        self._make_space(question)
        self._make_search(question)
        self._asked = ipywidgets.VBox(
            [
                group("Objectives and limits", [self._objectives, self._limits]),
                group("What may be chosen", [self._splits, self._u_shaped, self._bits_row, self._wires]),
                group("Devices, link and request", self._path),
            ]
        )
        search = [self.sampler, self.trials]
        self.widget = ipywidgets.VBox(
            [group("Study", [self._file, self.study, self._name]), self._asked, group("Search", search)]
        )

    def _make_path(self, q: Question) -> None:
        self._edge, self._cloud = device_choices(q.edge, q.cloud)
        self._link = ProfileChoice("Link", profiles.link_profiles(), q.link, hint="Between edge and cloud")
        longest = min(_LONGEST, q.model.max_positions - 1)
        prompt, new = min(q.prompt_tokens, longest), min(q.new_tokens, longest)
        self._prompt = NumberRow("Prompt", "tokens", prompt, 1, longest, whole=True, hint="Its length")
        self._new = NumberRow("Output", "tokens", new, 1, longest, whole=True, hint="New tokens")
        self._batch = NumberRow("Batch", "rows", q.batch, 1, _LARGEST_BATCH, whole=True, hint="At once")
        self._path = [self._edge, self._cloud, self._link, self._prompt, self._new, self._batch]

    def _make_space(self, q: Question) -> None:
        n, space = q.model.n_blocks, q.space
        cuts = space.split_values(n)[1:-1]
        self._splits = ipywidgets.IntRangeSlider(
            value=(min(cuts), max(cuts)),
            min=0,
            max=n,
            description="Split points",
            **_wide("Blocks on the edge"),
        )
        self._u_shaped = ipywidgets.Checkbox(
            value=space.u_shaped,
            description="U-shapes too",
            tooltip="Plans whose last blocks and head come back to the edge",
            style={"description_width": LABEL_WIDTH},
        )
        edge, cloud = (_several(f"{e} bits", BITS, b, 4) for e, b in _bits_of(space))
        self._edge_bits, self._cloud_bits = edge, cloud
        self._bits_row = ipywidgets.HBox([edge, cloud])
        self._wires = _several("Wire codecs", WIRE_CODECS, space.wires, 5)

    def _make_search(self, q: Question) -> None:
        titles = [(f"{o.title} ({o.label})", o.name) for o in OBJECTIVES.values()]
        hint = "Ctrl chooses several; one at least"
        self._objectives = _several("Objectives", titles, q.objectives, 5, hint)
        self._limits = ipywidgets.Text(
            limits_text(q.limits),
            description="Limits",
            placeholder="latency <= 0.5, accuracy >= 0.9",
            continuous_update=False,
            **_wide("What a plan must keep to, in s, B, J and shares"),
        )
        samplers = [(_SAMPLER_TITLES[name], name) for name in SAMPLERS]
        self.sampler = Choice("Sampler", samplers, "tpe", hint="Who proposes plans")
        self.trials = NumberRow("Trials", "plans", 40, 1, _MOST_TRIALS, whole=True, hint="How many to try")

    # ---- what they say

    @property
    def name(self) -> str | None:
        """Of the study to begin; None where what it asks is its name."""
        return self._name.value.strip() or None

    @property
    def unknown_host(self) -> bool:
        """Whether this machine is among the devices and has not been measured yet."""
        return self._edge.unknown or self._cloud.unknown

    def know_host(self, profile: DeviceProfile) -> None:
        """This machine as it was measured."""
        for choice in (self._edge, self._cloud):
            choice.know(HOST, profile)

    @property
    def question(self) -> Question:
        """What a new study would ask.

        Raises:
            InputError: no objective, a limit that is none, or an empty range.
            KeyError: ``unknown_host``.
        """
        low, high = self._splits.value
        n = self._model.n_blocks
        space = Space(
            splits=None if (low, high) == (0, n) else tuple(range(low, high + 1)),
            edge_bits=self._edge_bits.value,
            cloud_bits=self._cloud_bits.value,
            wires=self._wires.value,
            u_shaped=self._u_shaped.value,
        )
        return Question(
            model=self._model,
            edge=self._edge.profile,
            cloud=self._cloud.profile,
            link=self._link.profile,
            objectives=self._objectives.value,
            space=space,
            prompt_tokens=self._prompt.value,
            new_tokens=self._new.value,
            batch=self._batch.value,
            limits=parse_limits(self._limits.value),
        )

    def show(self, question: Question) -> None:
        """Say what a study of the file asks."""
        self._model = question.model
        self._edge.profile, self._cloud.profile = question.edge, question.cloud
        self._link.profile = question.link
        cuts = question.space.split_values(question.model.n_blocks)[1:-1]
        self._splits.max = question.model.n_blocks
        self._splits.value = (min(cuts), max(cuts))
        self._u_shaped.value = question.space.u_shaped
        for control, values in (
            (self._objectives, question.objectives),
            (self._edge_bits, question.space.edge_bits),
            (self._cloud_bits, question.space.cloud_bits),
            (self._wires, question.space.wires),
        ):
            control.value = values
        self._limits.value = limits_text(question.limits)
        for row, value in self._request_of(question).items():
            row.value = value

    def _request_of(self, q: Question) -> Mapping[NumberRow, int]:
        return {self._prompt: q.prompt_tokens, self._new: q.new_tokens, self._batch: q.batch}

    def list_studies(self, names: Sequence[str], chosen: str) -> None:
        """What the file holds, and which of it is looked at; what a study asks cannot be changed any more."""
        options = [NEW, *names]
        if list(self.study.widget.options) != options:
            self.study.widget.options = options
        self.study.value = chosen
        old = chosen != NEW
        hidden(self._name, old)
        for control in self._controls:
            control.disabled = old

    @property
    def _controls(self) -> list[Any]:
        """All that a question consists of."""
        rows = (self._prompt, self._new, self._batch)
        single = [self._splits, self._u_shaped, self._edge_bits, self._cloud_bits, self._wires]
        choices = [c.widget for c in (self._edge, self._cloud, self._link)]
        numbers = [control for row in rows for control in (row.slider, row.box)]
        return [self._objectives, self._limits, *single, *choices, *numbers]


def _bits_of(space: Space) -> list[tuple[str, tuple[int, ...]]]:
    return [("Edge", space.edge_bits), ("Cloud", space.cloud_bits)]


def _wide(hint: str) -> dict[str, Any]:
    return {"tooltip": hint, "style": {"description_width": LABEL_WIDTH}, "layout": {"width": "auto"}}


def _several(
    description: str, options: Sequence[Any], value: Sequence[Any], rows: int, hint: str = ""
) -> ipywidgets.SelectMultiple:
    return ipywidgets.SelectMultiple(
        options=options,
        value=tuple(value),
        description=description,
        rows=rows,
        **_wide(hint or "Ctrl chooses several"),
    )
