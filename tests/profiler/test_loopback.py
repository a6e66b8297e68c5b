"""Whole requests on this host's loopback: seen as they are, and nothing is left of them."""

from __future__ import annotations

import math

import psutil
import pytest

from workbench.models import Model
from workbench.profiler.loopback import request_times

pytestmark = pytest.mark.slow  # a process that imports torch


def test_requests_are_timed_and_both_sides_end(model: Model) -> None:
    texts: list[str] = []
    before = set(psutil.Process().children(recursive=True))
    found = request_times(model, 16, 0.1, texts.append)
    assert 1 < found.prompt_tokens <= 64
    assert found.elements == model.profile.hidden
    assert found.split_s is not None
    assert all(map(math.isfinite, (*found.split_s, *found.streamed_s)))
    assert any(texts)
    assert set(psutil.Process().children(recursive=True)) == before
