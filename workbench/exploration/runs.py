"""Runs that are kept: each with its setting, its prediction and what happened."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import InputError, UnknownNameError
from workbench.exploration.setting import Setting
from workbench.files import write_text
from workbench.trace import RequestTrace

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Run", "RunBook"]

FORMAT = 1
"""Of a file of runs; grows when older code could no longer read it."""


@dataclass(frozen=True)
class Run:
    """One request that was run for real, with the prediction of just that request."""

    name: str
    setting: Setting
    predicted: RequestTrace
    measured: RequestTrace  # its label says whether the times are measured or, on the virtual clock, modelled
    when: str  # ISO 8601, UTC

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; ``from_dict`` reads them back."""
        parts = {key: getattr(self, key).to_dict() for key in ("setting", "predicted", "measured")}
        return {"name": self.name, "when": self.when, **parts}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Run:
        """Read what ``to_dict`` gave."""
        setting = Setting.from_dict(data["setting"])
        traces = {key: RequestTrace.from_dict(data[key]) for key in ("predicted", "measured")}
        return cls(name=data["name"], setting=setting, when=data["when"], **traces)


class RunBook:
    """Runs by name, in order. With a file, each change is on disk before the call returns.

    Args:
        path: a JSON file, read where it exists; None for memory alone.

    Raises:
        InputError: the file is no file of runs, or another version wrote it.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._runs: dict[str, Run] = {}
        if self.path is not None and self.path.exists():
            self._runs = {run.name: run for run in _read(self.path)}

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._runs.values()))

    def __len__(self) -> int:
        return len(self._runs)

    def __getitem__(self, name: str) -> Run:
        if name not in self._runs:
            raise UnknownNameError("run", name, self._runs)
        return self._runs[name]

    def add(self, run: Run) -> Run:
        """Keep a run, under its name or, where that is taken, with a number behind it."""
        run = replace(run, name=self._free(run.name))
        self._replace({**self._runs, run.name: run})
        return run

    def rename(self, name: str, new: str) -> Run:
        """Give a run another name.

        Raises:
            UnknownNameError: no run is called so.
            InputError: the new name is empty or taken.
        """
        run, new = self[name], new.strip()
        if not new or (new != name and new in self._runs):
            raise InputError(f"a run needs a name of its own: {new!r} is {'taken' if new else 'empty'}")
        renamed = replace(run, name=new)
        self._replace({n: r for old, r in self._runs.items() for n, r in [_swap(old, r, name, renamed)]})
        return renamed

    def remove(self, name: str) -> None:
        """Forget a run.

        Raises:
            UnknownNameError: no run is called so.
        """
        run = self[name]
        self._replace({n: r for n, r in self._runs.items() if r is not run})

    def of(self, setting: Setting) -> Run | None:
        """The last run of a setting."""
        return next((run for run in reversed(self._runs.values()) if run.setting.key == setting.key), None)

    def table(self) -> pd.DataFrame:
        """One row per run: setting, predicted and measured numbers in s, B and J, and errors as shares."""
        import pandas as pd  # takes a third of a second to import

        return pd.DataFrame([_row(run) for run in self])

    def export(self, folder: str | os.PathLike[str]) -> dict[str, Path]:
        """Write ``runs.json``, ``runs.csv`` and ``runs.html``, each whole or not at all.

        Returns:
            The paths, by ``"json"``, ``"csv"`` and ``"html"``.

        Raises:
            InputError: there is no run to write.
        """
        if not self._runs:
            raise InputError("there is no run to export yet: run a plan first")
        folder = Path(folder)
        paths = {kind: folder / f"runs.{kind}" for kind in ("json", "csv", "html")}
        write_text(paths["json"], _json(self))
        write_text(paths["csv"], self.table().to_csv(index=False))
        write_text(paths["html"], _page(list(self)))
        return paths

    def _free(self, name: str) -> str:
        names = (name if i == 1 else f"{name} ({i})" for i in range(1, len(self._runs) + 2))
        return next(found for found in names if found not in self._runs)

    def _replace(self, runs: dict[str, Run]) -> None:
        if self.path is not None:
            write_text(self.path, _json(runs.values()))
        self._runs = runs


def _swap(name: str, run: Run, old: str, renamed: Run) -> tuple[str, Run]:
    return (renamed.name, renamed) if name == old else (name, run)


def _json(runs: Any) -> str:
    return json.dumps({"format": FORMAT, "runs": [run.to_dict() for run in runs]}, indent=1)


def _read(path: Path) -> list[Run]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise InputError(
                f"{path} has format {data['format']!r}, this version reads {FORMAT}: take another file"
            )
        return [Run.from_dict(run) for run in data["runs"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no file of runs ({error}): take another file") from error


def _row(run: Run) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": run.name,
        "when": run.when,
        "plan": str(run.setting.plan),
        **run.measured.facts,
        **run.setting.request,
        "clock": run.measured.clock,
        "label": run.measured.label,
    }
    measured = {n.name: n.value for n in run.measured.numbers()}
    for number in run.predicted.numbers():
        name = f"{number.name} ({number.unit})"
        row[f"{name} predicted"] = number.value
        row[f"{name} run"] = measured.get(number.name)
    return {**row, "text": run.measured.text, "notes": "; ".join(run.measured.notes)}


def _page(runs: Sequence[Run]) -> str:
    """One self-contained page with every run's figures."""
    from workbench import plots
    from workbench.plots.page import document, fragment

    sections = ["<h1>Runs</h1>", fragment(plots.runs({r.name: (r.predicted, r.measured) for r in runs}))]
    for run in runs:
        facts = "; ".join(f"{key}: {value}" for key, value in run.measured.facts.items())
        sections += [
            f"<h2>{escape(run.name)}</h2><p>{escape(run.measured.plan)}</p>",
            f"<p class=note>{escape(run.when)} – {escape(facts)}</p><p>{escape(str(run.measured))}</p>",
            *(f"<p class=note>{escape(note)}</p>" for note in run.measured.notes),
            fragment(plots.compare(run.predicted, run.measured)),
            f"<pre>{escape(run.measured.text)}</pre>",
            f"<details><summary>Code</summary><pre>{escape(run.setting.code())}</pre></details>",
        ]
    return document("Runs", sections)
