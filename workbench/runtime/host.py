"""Which host this is."""

from __future__ import annotations

import uuid
from pathlib import Path

__all__ = ["host_id"]


def host_id() -> str:
    """A name of this host since it started: two processes that share it share a clock."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return boot.read_text().strip() if boot.is_file() else f"{uuid.getnode():x}"
