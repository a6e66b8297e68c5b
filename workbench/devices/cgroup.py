"""Shares of this host's cores and memory for a process: the kernel's control groups, v2 or v1."""

from __future__ import annotations

import json
import math
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from workbench.devices import keeper
from workbench.devices.base import Throttle, family
from workbench.devices.keeper import Group, NoGroupsError, Site, find_site
from workbench.devices.threads import usable_cores
from workbench.errors import ThrottleError

__all__ = ["GROUPS_WAY_OUT", "CgroupThrottle", "describe_groups"]

GROUPS_WAY_OUT = (
    "run as root; or in a group of your own, as `systemd-run --user --scope -p Delegate=yes COMMAND` makes; "
    "or use throttle='dilation', which needs nothing"
)
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_LEAST_QUOTA_US, _PERIODS_US = 1000, (1000, 1_000_000)  # what the kernel takes
_ANSWER_S = 5.0
_END_S = 3.0
_ROUNDS = 5  # what a process starts while it is taken in is found in the next round
_counter = count(1)


class CgroupThrottle(Throttle):
    """Gives a process a CPU quota and a memory limit.

    The kernel lets it run ``cores`` times a period, then stops it until the next. Periods are short, because
    a step would stand still for most of a long one; its threads are ``max(1, floor(cores))``, because several
    would use the quota up together and then wait together. Beyond the memory limit, swap counted in, the
    kernel ends the process and nothing else: ``verdict`` tells.

    The groups are made, and removed, by a small process that ends with this one.

    Args:
        cores: of this host, as a share of one or several.
        memory_bytes: rounded down to whole pages; None limits nothing.
        period_s: of the quota; longer where the quota would fall below the kernel's least, 1 ms.

    Raises:
        ThrottleError: more cores than this process may use, or numbers that the kernel does not take.
    """

    kind = "cgroup"
    models = ("compute, in shares of a core", "memory size: beyond it the stage is ended")
    omits = (
        "memory bandwidth: decoding is slowed less than a slow memory would",
        "even speed within a period",
    )

    def __init__(self, cores: float, memory_bytes: int | None = None, period_s: float = 0.01) -> None:
        super().__init__()
        self._quota_us, self._period_us = _quota(cores, period_s)
        self._memory_bytes = _whole_pages(memory_bytes)
        self.threads = max(1, math.floor(cores))
        self._keeper: _Keeper | None = None
        self._group: Group | None = None  # as it lies in the file system: read here, made by the keeper
        self._held: list[int] = []
        self._verdict: str | None = None

    def hold(self, pid: int) -> None:
        self._check_open()
        processes = [process.pid for process in family(pid)]
        try:
            if self._keeper is None:
                self._make()
            self._take(pid, processes)
        except ThrottleError:
            self.close()
            raise

    def verdict(self) -> str | None:
        if self._group is not None:
            with suppress(OSError):
                self._verdict = _verdict(*self._group.memory_events(), self._memory_bytes) or self._verdict
        return self._verdict

    def close(self) -> None:
        self._closed = True
        self.verdict()
        if self._keeper is not None:
            released = self._keeper.end()
            if not released and self._group is not None:  # the keeper was killed: do its work
                self._group.adopt(self._held)
                self._group.release()
        self._keeper, self._group = None, None

    def _make(self) -> None:
        self._keeper = _Keeper()
        limits = {
            "quota_us": self._quota_us,
            "period_us": self._period_us,
            "memory_bytes": self._memory_bytes,
        }
        made = self._keeper.ask({"make": {**limits, "count": next(_counter)}})
        site = Site(made["version"], {name: Path(parent) for name, parent in made["parents"].items()})
        self._group = Group(site, made["name"])
        self._compare(made["read"])
        self._settings = {
            "cgroup": f"v{site.version}",
            "cores": self._quota_us / self._period_us,
            "period_s": self._period_us / 1e6,
            "memory_bytes": self._memory_bytes,
            "folders": [str(folder) for folder in self._group.folders],
        }

    def _compare(self, read: Mapping[str, float]) -> None:
        asked = {"quota_us": self._quota_us, "period_us": self._period_us, "memory_bytes": self._memory_bytes}
        wrong = {k: read.get(k) for k, v in asked.items() if read.get(k) != v}
        if read["cores"] < self._quota_us / self._period_us:
            wrong["cores"] = read["cores"]
        if wrong:
            raise ThrottleError(
                f"asked for {asked}, but what holds is {wrong}: a group around this session allows less; "
                "raise its limit, choose a smaller device, or use throttle='dilation'"
            )

    def _take(self, pid: int, processes: list[int]) -> None:
        assert self._keeper is not None
        taken: set[int] = set()
        for _ in range(_ROUNDS):
            more = [number for number in processes if number not in taken]
            if not more:
                break
            taken |= set(self._keeper.ask({"hold": more})["held"])
            processes = [process.pid for process in family(pid)]
        if pid not in taken:
            raise ThrottleError(f"process {pid} has ended before it could be held")
        self._held += taken


class _Keeper:
    """The process that makes and removes the groups; see ``workbench.devices.keeper``."""

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-S", str(Path(keeper.__file__)), str(os.getpid())]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C belongs to the owner
        )

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One request, one answer.

        Raises:
            ThrottleError: it cannot be done, or the keeper is gone.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._line())
        except (OSError, ValueError) as error:
            raise ThrottleError(f"the keeper of the control groups is gone ({error}): try again") from error
        if "error" in answer:
            raise ThrottleError(
                f"no control group can be made here: {answer['error']}. {_capital(GROUPS_WAY_OUT)}"
            )
        return answer

    def end(self) -> bool:
        """Have it restore everything and end; False where it was gone already."""
        released = False
        with suppress(ThrottleError):
            released = bool(self.ask({}).get("released"))
        with self._process as process:
            assert process.stdin is not None
            with suppress(OSError):
                process.stdin.close()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
        return released

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        until, line = time.monotonic() + _ANSWER_S, b""
        wait = select.poll()
        wait.register(self._process.stdout, select.POLLIN)
        while not line.endswith(b"\n"):
            if not wait.poll(max(0.0, until - time.monotonic()) * 1000):
                raise TimeoutError(f"no answer in {_ANSWER_S:g} s")
            read = os.read(self._process.stdout.fileno(), 65536)
            if not read:
                raise BrokenPipeError("it has ended")
            line += read
        return line


def describe_groups() -> tuple[bool, str]:
    """Whether control groups with a CPU quota and a memory limit can be made here, and where or why not."""
    try:
        site = find_site()
    except (NoGroupsError, OSError) as error:
        return False, str(error)
    return True, f"v{site.version} in {', '.join(map(str, site.folders))}"


def _quota(cores: float, period_s: float) -> tuple[int, int]:
    usable = usable_cores()
    if not 0 < cores <= usable:
        raise ThrottleError(
            f"a CPU quota of {cores:g} cores cannot be: choose above 0 and up to {usable}, "
            "the cores that this process may use"
        )
    shortest, longest = _PERIODS_US
    period_us = max(round(period_s * 1e6), math.ceil(_LEAST_QUOTA_US / cores))
    if not shortest <= period_us <= longest:
        raise ThrottleError(
            f"{cores:g} cores in periods of {period_us / 1e6:g} s cannot be: periods are 1 ms to 1 s, and "
            f"hold at least 1 ms of work; choose at least {_LEAST_QUOTA_US / longest:g} cores"
        )
    return round(cores * period_us), period_us


def _whole_pages(n_bytes: int | None) -> int | None:
    if n_bytes is None:
        return None
    if n_bytes < _PAGE:
        raise ThrottleError(f"a memory limit of {n_bytes} bytes cannot be: give at least one page, {_PAGE}")
    return n_bytes // _PAGE * _PAGE


def _verdict(reached: int, ended: int, memory_bytes: int | None) -> str | None:
    if not ended or memory_bytes is None:
        return None
    if not reached:
        return (
            "the host ran out of memory and the kernel ended it: close something, or choose a smaller model"
        )
    return (
        f"it reached its memory limit of {memory_bytes / 2**20:.1f} MiB and the kernel ended it: give it "
        "fewer blocks or fewer bits, choose a device with more memory, or use throttle='dilation'"
    )


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
