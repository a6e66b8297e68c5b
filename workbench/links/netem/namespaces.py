"""Unnamed namespaces, by the system calls themselves: nothing gets a name that could stay behind."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

from workbench.errors import LinkError

__all__ = ["end_with_parent", "enter", "fresh_network", "isolate", "proc_of_our_own"]

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 2, 4, 8, 0x4000, 1 << 18
_PR_SET_PDEATHSIG = 1
_ROOTLESS = (
    "run as root, or allow user namespaces: sysctl kernel.unprivileged_userns_clone=1 (Debian), "
    "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04), user.max_user_namespaces above 0; "
    "in a container add the capability SYS_ADMIN; or use link_kind='proxy', which needs no rights"
)

_libc = ctypes.CDLL(None, use_errno=True)


def isolate() -> None:
    """Move this process's next child into PID and mount namespaces of its own, as root of them.

    Without the right to do so directly it goes through a user namespace.

    Raises:
        LinkError: this system forbids it; says how to allow it.
    """
    wanted = _CLONE_NEWPID | _CLONE_NEWNS
    try:
        _call("unshare", wanted)
    except PermissionError:
        user, group = os.getuid(), os.getgid()
        try:
            _call("unshare", wanted | _CLONE_NEWUSER)
            Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
        except OSError as error:
            raise LinkError(f"this system forbids namespaces ({error.strerror}): {_ROOTLESS}") from error


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it ends."""
    _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def proc_of_our_own() -> None:
    """Mount a /proc that shows this PID namespace, where processes look for themselves.

    Raises:
        LinkError: not allowed here.
    """
    try:
        _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE)
        _mount(b"proc", b"/proc", b"proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    except OSError as error:
        raise LinkError(
            f"this system forbids mounting /proc in a namespace ({error.strerror}): {_ROOTLESS}"
        ) from error


def fresh_network() -> int:
    """Move this thread into a new, empty network namespace; returns a descriptor of it.

    Raises:
        LinkError: not allowed here.
    """
    try:
        _call("unshare", _CLONE_NEWNET)
    except OSError as error:
        raise LinkError(f"this system forbids network namespaces ({error.strerror}): {_ROOTLESS}") from error
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def enter(network: int) -> None:
    """Move this thread into a network namespace by its descriptor."""
    _call("setns", network, _CLONE_NEWNET)


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int) -> None:
    if _libc.mount(source, target, kind, ctypes.c_ulong(flags), None):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
