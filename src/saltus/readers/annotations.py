"""What people called tasks, such as the hand annotations of Wei et al.: task and label."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from saltus.errors import ReadError


def read_annotations(path: Path, label: str) -> pl.DataFrame:
    """Two columns of a CSV file as `task` and `annotation`.

    Args:
        path: the file.
        label: name of the column that holds what the tasks are called.

    Raises:
        ReadError: the file is no CSV, or lacks one of the columns.
    """
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as fault:
        raise ReadError(f"cannot be read as CSV: {fault}", path) from None
    for name in ("task", label):
        if name not in frame.columns:
            raise ReadError(f"there is no such column; there are {', '.join(frame.columns)}", path,
                            field=name)  # fmt: skip
    return frame.select("task", annotation=label)
