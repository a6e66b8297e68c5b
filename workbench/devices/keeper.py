"""Keeps control groups for an owner, and removes them once the owner is gone, however it went.

``CgroupThrottle`` runs this file by its path, isolated: it imports nothing but a little of the standard
library, and so stands after some 40 ms. What it makes, it makes itself: at no moment has a process that
may be killed made something that nobody else knows of.

Requests are lines of JSON on standard input, answers lines of JSON on standard output. At the end of the
input, or when its parent is another, it kills what is left in its groups and removes them.

Two layouts are known. *v2*: one folder has ``cpu.max`` and ``memory.max``. *v1*: a folder per controller.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

__all__ = ["CONTROLLERS", "Group", "NoGroupsError", "Site", "find_site", "owner_token", "sweep"]

CONTROLLERS = ("cpu", "memory")
_PREFIX = "workbench-"
_NAME = re.compile(r"workbench-(\d+)-(\d+)-(\d+)-\d+")  # owner's number, start, namespace of both; count
_MARK = "workbench-enabled-"  # an empty group beside: which controllers the last of us has to disable again
_REMOVE_S = 1.5  # how long killing and removing may take
_LOCK_S = 0.5
_LOOK_S = 0.2  # how often the owner is looked for: its end of the pipe may live on in a forked child
_UNLIMITED = 1 << 62
_BATCH_BYTES = 2**20


class NoGroupsError(Exception):
    """No group can be made here; says why."""


class Mount:
    """A mounted hierarchy of control groups."""

    def __init__(self, line: str) -> None:
        left, _, right = line.partition(" - ")
        fields = left.split()
        self.root, self.point = Path(_unescaped(fields[3])), Path(_unescaped(fields[4]))
        self.kind, _, options = right.split()
        self.controllers = options.split(",")

    def folder(self, group: str) -> Path:
        """Where a group of ``/proc/PID/cgroup`` lies; the mount point where it lies outside."""
        path = Path(group)
        return self.point / path.relative_to(self.root) if path.is_relative_to(self.root) else self.point

    def upwards(self, folder: Path) -> list[Path]:
        """A folder and those around it, up to the mount point."""
        return [f for f in (folder, *folder.parents) if f.is_relative_to(self.point)]


class Site:
    """Where groups can be made: a parent folder per controller, in v2 the same for all."""

    def __init__(self, version: int, parents: dict[str, Path]) -> None:
        self.version, self.parents = version, parents

    @property
    def folders(self) -> list[Path]:
        """Each parent once."""
        return sorted(set(self.parents.values()))


# ---- where


def find_site(controllers: Iterable[str] = CONTROLLERS) -> Site:
    """The nearest place around this process for groups with these controllers; changes nothing.

    Raises:
        NoGroupsError: there is none; says why.
    """
    wanted, reasons = tuple(controllers), []
    mounts = _mounts()
    for look in (_find_v2, _find_v1):
        try:
            return look(mounts, wanted)
        except NoGroupsError as error:
            reasons.append(str(error))
    raise NoGroupsError("; ".join(reasons))


def _mounts() -> list[Mount]:
    table = Path("/proc/self/mountinfo")
    if not table.is_file():
        raise NoGroupsError("control groups are Linux's, and this is another system")
    return [Mount(line) for line in _read(table).splitlines() if " - cgroup" in line]


def _find_v2(mounts: list[Mount], wanted: tuple[str, ...]) -> Site:
    mount = next((m for m in mounts if m.kind == "cgroup2"), None)
    own = _groups_of("self").get("")
    if mount is None or own is None:
        raise NoGroupsError("v2: not mounted")
    reasons = []
    for folder in mount.upwards(mount.folder(own)):
        reason = _why_not(folder, wanted)
        if not reason:
            return Site(2, dict.fromkeys(wanted, folder))
        reasons.append(f"{folder} {reason}")
    raise NoGroupsError(f"v2: {reasons[0]}")


def _why_not(folder: Path, wanted: tuple[str, ...]) -> str:
    """Why no group can be made in a v2 group; empty where one can."""
    lacks = [c for c in wanted if c not in _read(folder / "cgroup.controllers").split()]
    if lacks:
        return f"does not have the controllers {', '.join(lacks)}"
    if not (os.access(folder, os.W_OK | os.X_OK) and os.access(folder / "cgroup.procs", os.W_OK)):
        return "may not be written"
    if set(wanted) <= set(_read(folder / "cgroup.subtree_control").split()):
        return ""
    if not os.access(folder / "cgroup.subtree_control", os.W_OK):
        return "does not pass its controllers on, and may not be changed"
    is_root = not (folder / "cgroup.type").exists()
    if not is_root and _read(folder / "cgroup.procs").strip():
        return "holds processes itself, which forbids passing its controllers on to groups in it"
    return ""


def _find_v1(mounts: list[Mount], wanted: tuple[str, ...]) -> Site:
    parents = {}
    for controller in wanted:
        mount = next((m for m in mounts if m.kind == "cgroup" and controller in m.controllers), None)
        if mount is None:
            raise NoGroupsError(f"v1: {controller} is not mounted")
        around = mount.upwards(mount.folder(_groups_of("self").get(controller, "/")))
        writable = [f for f in around if os.access(f, os.W_OK | os.X_OK)]
        if not writable:
            raise NoGroupsError(f"v1: {around[0]} may not be written")
        parents[controller] = writable[0]
    return Site(1, parents)


# ---- what


class Group:
    """A group, made by ``make``: one folder, or in v1 one per controller."""

    def __init__(self, site: Site, name: str) -> None:
        self.site = site
        self.folders = [parent / name for parent in site.folders]
        self._at = {controller: parent / name for controller, parent in site.parents.items()}
        self._origins: dict[int, list[Path]] = {}  # where processes came from, in the order of folders

    def make(self) -> None:
        """Make it, with the controllers that it needs."""
        with _locked(self.site):
            _enable(self.site)
            for folder in self.folders:
                folder.mkdir()

    def set(self, quota_us: int, period_us: int, memory_bytes: int | None) -> None:
        """Limit it."""
        values = self._values(quota_us, period_us, memory_bytes)
        for file, value in values:
            _write(file, value)

    def _values(self, quota_us: int, period_us: int, memory_bytes: int | None) -> list[tuple[Path, object]]:
        cpu, memory = self._at["cpu"], self._at.get("memory")
        if self.site.version == 2:
            values: list[tuple[Path, object]] = [(cpu / "cpu.max", f"{quota_us} {period_us}")]
            if memory is not None:
                values += [(memory / "memory.max", memory_bytes), (memory / "memory.oom.group", 1)]
                values += _if_there(memory / "memory.swap.max", 0)
            return values
        values = [(cpu / "cpu.cfs_period_us", period_us), (cpu / "cpu.cfs_quota_us", quota_us)]
        if memory is not None:  # the limit with swap may not be below the one without: that one first
            values += [(memory / "memory.limit_in_bytes", memory_bytes)]
            values += _if_there(memory / "memory.memsw.limit_in_bytes", memory_bytes)
            values += _if_there(memory / "memory.swappiness", 0)
        return values

    def read(self) -> dict[str, float]:
        """What holds, outer groups counted in: they may allow less."""
        quota_us, period_us = self._own_cpu()
        found = {"quota_us": quota_us, "period_us": period_us, "cores": self._cores()}
        if "memory" in self._at:
            found["memory_bytes"] = self._memory_bytes()
        return found

    def _own_cpu(self) -> tuple[int, int]:
        if self.site.version == 2:
            return _cpu_max(self._at["cpu"])
        files = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        quota_us, period_us = (int(_read(self._at["cpu"] / file)) for file in files)
        return quota_us, period_us

    def _cores(self) -> float:
        quota_us, period_us = self._own_cpu()
        if self.site.version == 1:  # the kernel refuses more than an outer group has
            return quota_us / period_us
        allowed = [_cpu_max(f) for f in _around(self._at["cpu"], "cpu.max")]
        return min(quota / period for quota, period in allowed)

    def _memory_bytes(self) -> int:
        folder = self._at["memory"]
        if self.site.version == 1:
            return min(
                _number(folder / "memory.limit_in_bytes"), _entry(folder, "memory.stat", "hierarchical")
            )
        return min(_number(f / "memory.max") for f in _around(folder, "memory.max"))

    def hold(self, pids: Iterable[int]) -> list[int]:
        """Take processes in; gives those that have not ended."""
        taken = []
        for pid in pids:
            with suppress(ProcessLookupError, FileNotFoundError):
                origins = self._origin(pid)
                for folder in self.folders:
                    _write(folder / "cgroup.procs", pid)
                self._origins.setdefault(pid, origins)
                taken.append(pid)
        return taken

    def _origin(self, pid: int) -> list[Path]:
        mounts, groups, found = _mounts(), _groups_of(str(pid)), {}
        for controller, parent in self.site.parents.items():
            kind = "cgroup2" if self.site.version == 2 else "cgroup"
            key = "" if self.site.version == 2 else controller
            mount = next(m for m in mounts if m.kind == kind and (not key or key in m.controllers))
            found[parent] = mount.folder(groups.get(key, "/"))
        return [found[parent] for parent in self.site.folders]

    def adopt(self, pids: Iterable[int]) -> None:
        """Take over from a keeper that was killed: its processes go back to where this one is."""
        here = self._origin(os.getpid())
        self._origins = dict.fromkeys(pids, here)

    def release(self) -> None:
        """Put what still runs back where it came from, and remove the group."""
        until = time.monotonic() + _REMOVE_S
        while any(list(self._give_back())) and time.monotonic() < until:
            pass
        self.remove()

    def _give_back(self) -> Iterator[int]:
        usual = next(iter(self._origins.values()), None)
        for index, folder in enumerate(self.folders):
            for pid in _pids(folder):
                origins = self._origins.get(pid, usual)  # what was forked since goes with the first
                with suppress(OSError):
                    if origins is not None:
                        _write(origins[index] / "cgroup.procs", pid)
                        yield pid

    def remove(self) -> None:
        """Kill what is in it, and remove it."""
        with _locked(self.site):
            for folder in self.folders:
                _destroy(folder)
            _disable(self.site)

    def memory_events(self) -> tuple[int, int]:
        """Above 0 where the memory limit was reached, and how many processes were ended for it."""
        folder = self._at.get("memory")
        if folder is None or not folder.is_dir():
            return 0, 0
        if self.site.version == 2:
            return _entry(folder, "memory.events", "oom"), _entry(folder, "memory.events", "oom_kill")
        # Newer kernels leave v1's failcnt at 0; what was used at most comes near the limit by one batch.
        most, limit = (_number(folder / f"memory.{n}_in_bytes") for n in ("max_usage", "limit"))
        return int(most + _BATCH_BYTES >= limit), _entry(folder, "memory.oom_control", "oom_kill")


# ---- leftovers, and what several keepers share


def owner_token(pid: int) -> str:
    """Names a process for good: its number, when it started, and in which namespace it has that number."""
    return f"{pid}-{_started(pid)}-{_namespace()}"


def sweep(site: Site) -> None:
    """Remove the groups of owners that are gone and whose keeper was killed."""
    with _locked(site):
        for parent in site.folders:
            for folder in _ours(parent):
                if _abandoned(folder.name):
                    _destroy(folder)
        _disable(site)


def _ours(parent: Path) -> list[Path]:
    return [folder for folder in parent.glob(f"{_PREFIX}*") if _NAME.fullmatch(folder.name)]


def _abandoned(name: str) -> bool:
    found = _NAME.fullmatch(name)
    assert found is not None
    pid, started, namespace = (int(number) for number in found.groups())
    return namespace == _namespace() and started != _started(pid)


def _started(pid: int) -> int:
    """Clock ticks from the host's start to the process's; 0 where there is no such process."""
    try:
        return int(_read(f"/proc/{pid}/stat").rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _enable(site: Site) -> None:
    """In v2 a group gets the controllers that the one around it passes on."""
    for controller, parent in site.parents.items():
        passed_on = parent / "cgroup.subtree_control"
        if site.version == 2 and controller not in _read(passed_on).split():
            (parent / f"{_MARK}{controller}").mkdir(exist_ok=True)  # first: whoever sweeps undoes it then
            _write(passed_on, f"+{controller}")


def _disable(site: Site) -> None:
    """Undo ``_enable`` once the last of our groups is gone: it is what makes their limits hold."""
    for parent in site.folders:
        if site.version == 1 or _ours(parent):
            continue
        for mark in parent.glob(f"{_MARK}*"):
            with suppress(OSError):
                _write(parent / "cgroup.subtree_control", f"-{mark.name.removeprefix(_MARK)}")
                mark.rmdir()


@contextmanager
def _locked(site: Site) -> Iterator[None]:
    """One keeper at a time makes and removes in a parent, as far as it takes turns within half a second."""
    handles = [os.open(folder, os.O_RDONLY | os.O_CLOEXEC) for folder in site.folders]
    try:
        until = time.monotonic() + _LOCK_S
        for handle in handles:
            while not _try_lock(handle) and time.monotonic() < until:
                time.sleep(0.005)
        yield
    finally:
        for handle in handles:
            os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _destroy(folder: Path) -> None:
    until = time.monotonic() + _REMOVE_S
    while folder.is_dir() and time.monotonic() < until:
        for pid in _pids(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            folder.rmdir()
        except OSError:  # busy: what was killed takes its time
            time.sleep(0.005)


# ---- files


def _read(path: str | Path) -> str:
    return Path(path).read_text(encoding="utf-8")


def _write(path: Path, value: object) -> None:
    path.write_text(f"{value}\n", encoding="utf-8")


def _pids(folder: Path) -> list[int]:
    with suppress(OSError):
        return [int(line) for line in _read(folder / "cgroup.procs").split() if line != "0"]
    return []


def _number(path: Path) -> int:
    text = _read(path).strip()
    return _UNLIMITED if text == "max" else int(text)


def _entry(folder: Path, file: str, name: str) -> int:
    """A number by its name, or by how the name begins."""
    lines = [line.split() for line in _read(folder / file).splitlines()]
    exact = [line[1] for line in lines if line[0] == name]
    begun = [line[1] for line in lines if line[0].startswith(name)]
    return int((exact or begun or ["0"])[0])


def _cpu_max(folder: Path) -> tuple[int, int]:
    quota, period = _read(folder / "cpu.max").split()
    return (_UNLIMITED if quota == "max" else int(quota)), int(period)


def _around(folder: Path, file: str) -> list[Path]:
    return [f for f in (folder, *folder.parents) if (f / file).is_file()]


def _if_there(path: Path, value: object) -> list[tuple[Path, object]]:
    return [(path, value)] if path.exists() else []


def _groups_of(pid: str) -> dict[str, str]:
    """A process's group by controller; v2's by the empty name."""
    lines = [line.split(":", 2) for line in _read(f"/proc/{pid}/cgroup").splitlines()]
    return {controller: group for _, names, group in lines for controller in names.split(",")}


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


# ---- the process


class Keeper:
    """Answers an owner's requests; a context that leaves nothing."""

    def __init__(self, owner: int) -> None:
        self._owner = owner
        self._group: Group | None = None

    def answer(self, request: dict[str, object]) -> dict[str, object]:
        """Do what is asked."""
        if "make" in request:
            return self._make(request["make"])  # type: ignore[arg-type]
        if "hold" in request:
            assert self._group is not None
            return {"held": self._group.hold(request["hold"])}  # type: ignore[arg-type]
        if self._group is not None:
            self._group.release()
            self._group = None
        return {"released": True}

    def _make(self, asked: dict[str, int | None]) -> dict[str, object]:
        memory_bytes = asked["memory_bytes"]
        site = find_site(CONTROLLERS if memory_bytes is not None else ("cpu",))
        sweep(site)
        self._group = Group(site, f"{_PREFIX}{owner_token(self._owner)}-{asked['count']}")
        self._group.make()
        quota_us, period_us = asked["quota_us"], asked["period_us"]
        assert quota_us is not None
        assert period_us is not None
        self._group.set(quota_us, period_us, memory_bytes)
        parents = {controller: str(parent) for controller, parent in site.parents.items()}
        return {
            "version": site.version,
            "parents": parents,
            "name": self._group.folders[0].name,
            "read": self._group.read(),
        }

    def __enter__(self) -> Keeper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._group is not None:
            self._group.remove()


def _requests(owner: int) -> Iterator[dict[str, object]]:
    """Until the owner closes its end, or is gone."""
    buffer = b""
    while os.getppid() == owner:
        if not select.select([0], [], [], _LOOK_S)[0]:
            continue
        read = os.read(0, 65536)
        if not read:
            return
        *lines, buffer = (buffer + read).split(b"\n")
        for line in lines:
            yield json.loads(line)


def main() -> None:
    """Serve the parent, whose number is the one argument."""
    owner = int(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the owner's end is ours, nothing else
        signal.signal(number, signal.SIG_IGN)
    with Keeper(owner) as keeper:
        for request in _requests(owner):
            try:
                answer = keeper.answer(request)
            except (NoGroupsError, OSError, ValueError) as error:
                answer = {"error": str(error)}
            with suppress(BrokenPipeError):
                os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
