"""How a shipped model was made, as `training.json` beside its weights keeps it."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from .architecture import Architecture
from .batches import TokenStreams
from .corpus import Corpus, corpus_hash
from .train import Cost, Settings

__all__ = ["host", "training_record"]


def training_record(
    architecture: Architecture, settings: Settings, cost: Cost, corpus: Corpus, streams: TokenStreams
) -> dict[str, Any]:
    """What `training.json` says beside the weights: settings, cost (measured), host and text."""
    return {
        "architecture": asdict(architecture),
        "settings": asdict(settings),
        "cost": asdict(cost),
        "host": host(),
        "text": {
            "python": platform.python_version(),
            "corpus_sha256": corpus_hash(corpus),
            "prose_tokens": len(streams.prose),
            "code_tokens": len(streams.code),
        },
    }


def host() -> dict[str, str | int]:
    """What the training ran on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _cpu_name()
    return {"device": device, "cores": os.cpu_count() or 1, "torch": torch.__version__}


def _cpu_name() -> str:
    described = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in described.splitlines() if "model name" in line]
    features = [name for name in ("avx512_bf16", "amx_bf16") if name in described]
    return " ".join([names[0] if names else platform.machine(), *features])
