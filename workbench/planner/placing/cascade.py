"""A cascade before it runs: how good and how fast it is at every threshold, from answers already scored.

A module on the edge answers first. Where it is less sure than the threshold, the default in the cloud answers
instead, after it. (Chen, Zaharia, Zou, "FrugalGPT", TMLR 2024; in the small, Viola and Jones, CVPR 2001.)

N scored answers, T thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from workbench.cost import Floats
from workbench.errors import InputError

__all__ = ["Cascade", "CascadeCurve", "mean_curve"]


@dataclass(frozen=True, eq=False)
class Cascade:
    """Answers of one feature, each given by both sides and scored."""

    probability: Floats  # [N] that the edge's answer is right, as calibrated
    right_edge: Floats  # [N] 0 to 1
    right_cloud: Floats  # [N] 0 to 1

    def __post_init__(self) -> None:
        columns = {}
        for name in ("probability", "right_edge", "right_cloud"):
            column = np.asarray(getattr(self, name), dtype=float)
            if column.ndim != 1 or not len(column):
                raise InputError(f"{name} needs one number for each answer, at least one: got {column.shape}")
            if not ((column >= 0) & (column <= 1)).all():
                raise InputError(f"{name} lies from 0 to 1: got {column.min()} to {column.max()}")
            columns[name] = column
            object.__setattr__(self, name, column)
        if len({len(column) for column in columns.values()}) > 1:
            sizes = {name: len(column) for name, column in columns.items()}
            raise InputError(f"a cascade needs the same answers from both sides: got {sizes}")

    @property
    def thresholds(self) -> Floats:
        """One for every different outcome: from nothing passed on to everything."""
        known = np.unique(self.probability)
        return np.concatenate([known, [np.nextafter(known[-1], np.inf)]])

    def curve(
        self, thresholds: ArrayLike | None = None, *, edge_s: float = 0.0, cloud_s: float = 0.0
    ) -> CascadeCurve:
        """What each threshold gives; an answer below it is passed on.

        Args:
            thresholds: [T]; those of ``thresholds``, if not given.
            edge_s, cloud_s: seconds of a request there; one that is passed on takes both.

        Raises:
            InputError: a time is negative, or a threshold no number.
        """
        if not (edge_s >= 0 and cloud_s >= 0):
            raise InputError(f"times must not be negative: got {edge_s} s and {cloud_s} s")
        at = self.thresholds if thresholds is None else np.atleast_1d(np.asarray(thresholds, dtype=float))
        if np.isnan(at).any():
            raise InputError(f"thresholds are numbers: got {at}")
        order = np.argsort(self.probability, kind="stable")
        n, below = len(order), np.searchsorted(self.probability[order], at, side="left")
        edge, cloud = (
            np.concatenate([[0.0], np.cumsum(c[order])]) for c in (self.right_edge, self.right_cloud)
        )
        escalated = below / n
        quality = (edge[-1] - edge[below] + cloud[below]) / n
        return CascadeCurve(at, quality, escalated, edge_s + escalated * cloud_s)


@dataclass(frozen=True, eq=False)
class CascadeCurve:
    """What a cascade is expected to give at each threshold, [T] each."""

    thresholds: Floats
    quality: Floats  # mean score, 0 to 1
    escalated: Floats  # share of the requests that the cloud answers, 0 to 1
    latency_s: Floats  # mean, modelled: the edge's time, and the cloud's for what is passed on


def mean_curve(curves: Mapping[str, CascadeCurve], shares: Mapping[str, float]) -> CascadeCurve:
    """Several features at the same thresholds, each with its share of the requests.

    Raises:
        InputError: the thresholds differ, nothing is given, or a share is missing.
    """
    if not curves or (missing := sorted(set(curves) - set(shares))):
        raise InputError(f"no curves, or no share of {missing}" if curves else "give at least one curve")
    first = next(iter(curves.values()))
    if not all(np.array_equal(curve.thresholds, first.thresholds) for curve in curves.values()):
        raise InputError("curves are of different thresholds: give all features the same")
    weights = [shares[feature] for feature in curves]

    def mean(columns: Sequence[Floats]) -> Floats:
        found: Floats = np.average(np.stack(columns), axis=0, weights=weights)
        return found

    found = list(curves.values())
    return CascadeCurve(
        first.thresholds,
        mean([curve.quality for curve in found]),
        mean([curve.escalated for curve in found]),
        mean([curve.latency_s for curve in found]),
    )
