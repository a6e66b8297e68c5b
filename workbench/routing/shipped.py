"""What is shipped for routing, from ``data/routing``."""

from __future__ import annotations

from functools import cache

from workbench.profiles import DATA
from workbench.routing.classifier import Classifier

__all__ = ["CLASSIFIER_PATH", "shipped_classifier"]

CLASSIFIER_PATH = DATA / "routing" / "classifier.json"


@cache
def shipped_classifier() -> Classifier:
    """The classifier of the shipped model's features, read once.

    Raises:
        InputError: the installation lacks the file, or it is damaged.
    """
    return Classifier.load(CLASSIFIER_PATH)
