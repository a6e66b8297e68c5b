"""Importing has no effects: no optional package is needed, nothing is started, nothing is written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

OPTIONAL = ("flwr", "lm_eval", "optuna_dashboard")

_IMPORT_ALL = """
import importlib, json, pkgutil, sys, threading
import psutil

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {optional!r}:
            raise ModuleNotFoundError(f"{{name}} is optional", name=name)

sys.meta_path.insert(0, Refuse())
import workbench
names = [m.name for m in pkgutil.walk_packages(workbench.__path__, "workbench.")]
names = [name for name in names if not name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
children = [child.cmdline() for child in psutil.Process().children(recursive=True)]
threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
print("RESULT" + json.dumps({{"names": names, "children": children, "threads": threads}}))
"""


@pytest.mark.slow
def test_every_module_imports_alone_and_starts_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _IMPORT_ALL.format(optional=OPTIONAL)],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.partition("RESULT")[2])
    assert "workbench.plan" in result["names"]
    assert result["children"] == []
    assert result["threads"] == []
    assert list(tmp_path.iterdir()) == []
