"""What this machine can do, and how to get what it lacks. Probes, never assumes."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from workbench.cache import cache_folder
from workbench.devices import GROUPS_WAY_OUT, describe_groups
from workbench.errors import WorkbenchError
from workbench.links import NetemLink
from workbench.profiles import DATA, LinkProfile

__all__ = ["CHECKS", "Finding", "examine"]

_PROBE_TIMEOUT_S = 10
_NEEDED_MEMORY_BYTES = 2 * 2**30  # Python, torch and a small model, twice
_NEEDED_DISK_BYTES = 2**30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    way_out: str = ""  # how to get it, where it is not there
    required: bool = False  # without it the workbench does not work


def examine() -> list[Finding]:
    """Look at everything. Takes a few seconds, most of them for importing torch; changes nothing."""
    return [check() for check in CHECKS]


def _python() -> Finding:
    found = f"{platform.python_version()} at {sys.prefix}"
    return Finding(
        "Python", sys.version_info >= (3, 11), found, "install Python 3.11 or newer", required=True
    )


def _cpu() -> Finding:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = f"{_cpu_model()}, {usable} logical cores usable of {os.cpu_count()}"
    return Finding("CPU", usable >= 2, found, "edge and cloud take turns on one core: works, but tells less")


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _torch() -> Finding:
    try:
        import torch  # a second of import that only this check should cost
    except (ImportError, OSError) as error:
        way_out = "pip install -c constraints.txt -e ."
        return Finding("torch", False, f"cannot be imported: {error}", way_out, required=True)
    found = f"{torch.__version__}, {torch.get_num_threads()} threads"
    return Finding("torch", True, found, required=True)


def _gpu() -> Finding:
    way_out = "optional: any NVIDIA GPU with a CUDA build of torch; without one all runs on the CPU"
    try:
        import torch
    except (ImportError, OSError):
        return Finding("GPU", False, "torch is missing", way_out)
    if not torch.cuda.is_available():
        return Finding("GPU", False, "torch sees no CUDA device", way_out)
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Finding("GPU", True, ", ".join(names))


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    found = f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f}"
    ok = memory.available >= _NEEDED_MEMORY_BYTES
    return Finding("memory", ok, found, "close something: two model processes want about 2 GiB")


def _disk() -> Finding:
    folder = _existing(cache_folder())
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free at {folder}"
    return Finding(
        "disk", free >= _NEEDED_DISK_BYTES, found, "free some space, or set WORKBENCH_CACHE elsewhere"
    )


def _cache() -> Finding:
    folder = cache_folder()
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)):
            pass
    except OSError as error:
        way_out = (
            "set WORKBENCH_CACHE to a folder that you may write: calibration and accuracy are kept there"
        )
        return Finding("cache folder", False, f"{folder}: {error.strerror}", way_out)
    return Finding("cache folder", True, str(folder))


def _existing(folder: Path) -> Path:
    return next(p for p in (folder, *folder.parents) if p.exists())


def _database() -> Finding:
    """A study is an SQLite file; by default they are kept below the folder that one works in."""
    folder = _existing(Path("results").absolute())
    found = f"SQLite {sqlite3.sqlite_version}"
    try:
        with tempfile.TemporaryDirectory(dir=folder) as scratch, _database_in(Path(scratch)) as database:
            database.execute("create table probe (value)")
            database.commit()
    except (OSError, sqlite3.Error) as error:
        way_out = "name another place with --storage: a local folder that you may write, not a network share"
        return Finding("database", False, f"{found}, no study can be written in {folder}: {error}", way_out)
    return Finding("database", True, f"{found}, studies can be written in {folder}")


def _database_in(folder: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(folder / "study.db", timeout=_PROBE_TIMEOUT_S))


def _pyroute2() -> Finding:
    return _package("pyroute2", "netem", "links shaped by the kernel")


def _dashboard() -> Finding:
    return _package("optuna-dashboard", "dashboard", "Optuna's own pages on a study")


def _package(name: str, extra: str, purpose: str) -> Finding:
    way_out = f"optional, for {purpose}: pip install 'edge-cloud-workbench[{extra}]'"
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, False, "not installed", way_out)


def _cgroups() -> Finding:
    able, found = describe_groups()
    return Finding("control groups", able, found, f"for throttle='cgroup': {GROUPS_WAY_OUT}")


def _models() -> Finding:
    shipped = sorted(p.parent.name for p in (DATA / "models").glob("*/model.safetensors"))
    way_out = "make models trains them; or name any Hugging Face id or local folder"
    return Finding(
        "shipped models", bool(shipped), ", ".join(shipped) or f"none in {DATA / 'models'}", way_out
    )


def _loopback() -> Finding:
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), timeout=_PROBE_TIMEOUT_S):
                pass
    except OSError as error:
        way_out = "allow TCP on 127.0.0.1: edge and cloud talk through it"
        return Finding("loopback", False, f"no TCP on 127.0.0.1: {error}", way_out, required=True)
    return Finding("loopback", True, "TCP ports can be opened on 127.0.0.1", required=True)


def _kernel() -> Finding:
    spec = Path(sys.prefix) / "share/jupyter/kernels/workbench/kernel.json"
    way_out = "make setup, or python -m ipykernel install --sys-prefix --name workbench"
    if not spec.is_file():
        return Finding("Jupyter kernel", False, f"none at {spec}", way_out)
    python = json.loads(spec.read_text(encoding="utf-8"))["argv"][0]
    here = Path(python).parent == Path(sys.executable).parent
    return Finding("Jupyter kernel", here, f"{spec} runs {python}", way_out)


def _chromium() -> Finding:
    path = _which("chromium", "chromium-browser", "google-chrome")
    way_out = "only the browser tests need it: apt install chromium"
    return Finding("Chromium", path is not None, path or "not on PATH", way_out)


def _namespaces() -> Finding:
    ran, why = _succeeds("unshare", "--user", "--map-root-user", "--net", "true")
    way_out = (
        "for links shaped by the kernel: run as root, or allow user namespaces "
        "(sysctl kernel.unprivileged_userns_clone=1; on Ubuntu 24.04 "
        "kernel.apparmor_restrict_unprivileged_userns=0)"
    )
    return Finding("network namespaces", ran, "can be made without root" if ran else why, way_out)


def _netem() -> Finding:
    asked = LinkProfile(0.01, 1e7, 1e7, name="probe")
    try:
        with NetemLink(asked) as link:
            took_s = link.transfer_s(1, "up")
    except WorkbenchError as error:
        return Finding("netem", False, str(error), "the proxy link runs everywhere, and says what it omits")
    found = f"the kernel shapes a link: a byte took {took_s * 1e3:.2f} ms of {asked.rtt_s * 500:g} asked"
    return Finding("netem", True, found)


def _user_mode_linux() -> Finding:
    path = _which("linux.uml")
    way_out = "a kernel with netem as an ordinary process: apt install user-mode-linux kmod iproute2"
    return Finding("user-mode Linux", path is not None, path or "not on PATH", way_out)


def _which(*names: str) -> str | None:
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    return next((path for name in names if (path := shutil.which(name, path=search))), None)


def _succeeds(*command: str) -> tuple[bool, str]:
    program = _which(command[0])
    if program is None:
        return False, f"{command[0]} is not on PATH"
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    try:
        done = subprocess.run(
            [program, *command[1:]],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer in {_PROBE_TIMEOUT_S} s"
    return done.returncode == 0, " ".join(done.stderr.split()) or f"exit code {done.returncode}"


CHECKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _cpu,
    _torch,
    _gpu,
    _memory,
    _disk,
    _cache,
    _database,
    _models,
    _loopback,
    _kernel,
    _chromium,
    _dashboard,
    _cgroups,
    _pyroute2,
    _namespaces,
    _netem,
    _user_mode_linux,
)
