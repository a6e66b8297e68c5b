"""Errors: one tree, drawn on top of the file, that survives a pickle."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from workbench import errors
from workbench.errors import MissingDependencyError, UnknownNameError, WorkbenchError

CLASSES = [getattr(errors, name) for name in errors.__all__]


def _one(cls: type[WorkbenchError]) -> WorkbenchError:
    if cls is UnknownNameError:
        return UnknownNameError("device", "raspbery", ["raspberry-pi-5", "h100-sxm"])
    if cls is MissingDependencyError:
        return MissingDependencyError("flwr", "federated training", "federated")
    return cls("what was given, why it cannot be, what to do")


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_survives_a_pickle(cls: type[WorkbenchError]) -> None:
    error = _one(cls)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is cls
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_all_errors_are_listed_and_descend_from_the_root() -> None:
    defined = [n for n, c in vars(errors).items() if inspect.isclass(c) and issubclass(c, WorkbenchError)]
    assert sorted(defined) == errors.__all__
    assert all(issubclass(cls, WorkbenchError) for cls in CLASSES)


def test_the_tree_on_top_is_the_tree_below() -> None:
    drawn: dict[str, str] = {}
    parents = {-1: ""}
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"^([│├└─ ]*)(\w+Error)\b", line):
            depth = len(found[1])
            parents = {d: name for d, name in parents.items() if d < depth}
            drawn[found[2]] = parents[max(parents)]
            parents[depth] = found[2]
    assert sorted(drawn) == errors.__all__
    for name, parent in drawn.items():
        bases = [b.__name__ for b in getattr(errors, name).__bases__]
        assert parent in bases or (parent == "" and bases == ["Exception"])


def test_input_errors_are_value_errors_and_a_missing_package_an_import_error() -> None:
    assert issubclass(errors.InputError, ValueError)
    assert issubclass(MissingDependencyError, ImportError)


def test_a_wrong_name_suggests_the_nearest() -> None:
    assert "did you mean 'raspberry-pi-5'?" in str(_one(UnknownNameError))
    assert "known are none" in str(UnknownNameError("device", "x", []))
    assert "did you mean" not in str(UnknownNameError("device", "zzz", ["abc"]))


def test_a_missing_dependency_names_the_command() -> None:
    assert "pip install 'edge-cloud-workbench[federated]'" in str(_one(MissingDependencyError))
