"""Records as a table: one row per plan, plain columns, for pandas, CSV and Parquet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.files import write_whole
from workbench.plan import CLOUD, EDGE
from workbench.records import OBJECTIVES, TrialRecord

__all__ = ["table_of", "write_tables"]


def table_of(records: Sequence[TrialRecord], front: Collection[int] = ()) -> pd.DataFrame:
    """One row per record; numbers in the units of `records.OBJECTIVES`.

    Args:
        front: trial numbers of the records on the front.
    """
    columns = list(_row(records[0], front)) if records else []
    frame = pd.DataFrame([_row(r, front) for r in records], columns=columns)
    return frame.astype({c: "Int64" for c in ("edge_bits", "cloud_bits") if c in frame})


def _row(record: TrialRecord, front: Collection[int]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "trial": record.number,
        "state": record.state,
        "front": record.number in front,
        "baseline": record.baseline,
        "role": record.role,
        "split": record.split,
        "edge_blocks": sum(s.n_blocks for s in record.plan.partition.on(EDGE)),
        "edge_bits": record.bits_on(EDGE),
        "cloud_bits": record.bits_on(CLOUD),
        "wire": record.wire,
    }
    for name in OBJECTIVES:
        row[name] = record.values.get(name, float("nan"))
    for name in ("accuracy", "agreement"):
        low, high = record.intervals.get(name, (float("nan"), float("nan")))
        row |= {f"{name}_low": low, f"{name}_high": high}
    return {**row, "plan": str(record.plan), "reason": record.reason}


def write_tables(folder: Path, frame: pd.DataFrame) -> dict[str, Path]:
    """``trials.csv`` and ``trials.parquet``, each whole or not at all."""
    paths = {"csv": folder / "trials.csv", "parquet": folder / "trials.parquet"}
    write_whole(paths["csv"], lambda path: frame.to_csv(path, index=False))
    write_whole(paths["parquet"], lambda path: frame.to_parquet(path, index=False))
    return paths
