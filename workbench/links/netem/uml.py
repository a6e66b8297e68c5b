"""A Linux kernel with netem as an ordinary process, for hosts whose own has none: Debian's user-mode-linux.

It runs commands as root over the host's files, on one processor, and needs no rights of its own. Round trips
come out within a percent; system calls are several times slower than the host's.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import LinkError

__all__ = ["INSTALL", "Outcome", "available", "run"]

INSTALL = "apt install user-mode-linux kmod iproute2"
_PROGRAM = "linux.uml"
_MODULES = (
    "kernel/net/sched/sch_netem.ko",
    "kernel/net/sched/sch_tbf.ko",
    "kernel/drivers/net/veth.ko",
)
_INIT = """#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/shm && mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
for module in {modules}; do insmod /usr/lib/uml/modules/$(uname -r)/$module; done
cd {folder} && {environment} {command} >{scratch}/out 2>{scratch}/err </dev/null
echo $? >{scratch}/code
halt -f
"""


@dataclass(frozen=True)
class Outcome:
    """How a command in there ended."""

    code: int
    out: str
    err: str


def available() -> bool:
    """Whether such a kernel and what it needs are installed."""
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return all(shutil.which(program, path=search) for program in (_PROGRAM, "insmod", "ip"))


def run(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 600.0,
    memory_mb: int = 3072,
) -> Outcome:
    """Boot, run one command as root with this host's files, and halt: some seconds around the command.

    Raises:
        LinkError: it is not installed, did not boot, or did not end in time.
    """
    if not available():
        raise LinkError(f"no user-mode Linux here: {INSTALL}")
    with tempfile.TemporaryDirectory(prefix="workbench-uml-") as name:
        scratch = Path(name)
        console = _boot(scratch, _script(command, folder, environment or {}, scratch), timeout_s, memory_mb)
        code = scratch / "code"
        out, err = (_text(scratch / stream) for stream in ("out", "err"))
        if not code.is_file():
            raise LinkError(
                f"user-mode Linux did not end within {timeout_s:g} s, or did not boot:\n"
                f"{console[-1500:]}\n{out[-1500:]}\n{err[-3000:]}"
            )
        return Outcome(int(code.read_text(encoding="ascii")), out, err)


def _script(command: Sequence[str], folder: Path, environment: Mapping[str, str], scratch: Path) -> str:
    return _INIT.format(
        modules=" ".join(_MODULES),
        folder=shlex.quote(str(folder)),
        environment=" ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items()),
        command=shlex.join(command),
        scratch=shlex.quote(str(scratch)),
    )


def _boot(scratch: Path, script: str, timeout_s: float, memory_mb: int) -> str:
    init = scratch / "init"
    init.write_text(script, encoding="utf-8")
    init.chmod(0o755)
    arguments = ["rootfstype=hostfs", "rootflags=/", "rw", f"mem={memory_mb}M", f"init={init}"]
    process = subprocess.Popen(
        [_PROGRAM, *arguments, "con=null", "con0=fd:0,fd:1", "quiet"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # it is many processes: they end together
        env={**os.environ, "TMPDIR": "/dev/shm"} if Path("/dev/shm").is_dir() else None,
    )
    try:
        console, _ = process.communicate(timeout=timeout_s)
        return console
    except subprocess.TimeoutExpired:
        return ""
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
