"""Sealed forecasts: a dated document whose hash shows whether it was altered, and its scores.

A seal is JSON that needs no model, no library and no Saltus to verify: the SHA-256 of the
canonical text (keys sorted, no spaces, UTF-8) of everything but the field `sha256`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from saltus.errors import SaltusError
from saltus.forecasts.backtest import ENSEMBLE
from saltus.forecasts.block import SAME_SCALE
from saltus.forecasts.forecast import PROBABILITIES
from saltus.forecasts.scores import brier, crps

FORMAT = "saltus.seal/1"
SEALED = (
    "family", "regime", "task", "metric", "params", "tokens", "flops", "interval", "low", "median",
    "high", "level", "probability", "quantiles", "status",
)  # fmt: skip
KEY = ("family", "regime", "task", "metric")
MOST = 50_000_000  # characters of a seal that are read


def canonical(document: dict[str, Any]) -> str:
    """The text that is hashed: sorted keys, no spaces, no NaN."""
    body = {name: value for name, value in document.items() if name != "sha256"}
    return json.dumps(
        body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(document: dict[str, Any]) -> str:
    """SHA-256 of the canonical text, in hexadecimal."""
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def seal(forecasts: pl.DataFrame, made_on: date, note: str, origin: dict[str, Any]) -> str:
    """The text of a sealed document.

    Args:
        forecasts: table `Forecasts`; the ensemble's rows with a forecast are sealed.
        made_on: the date that the document states.
        note: what the forecaster wants to say with it.
        origin: versions and inputs, from the manifest.

    Raises:
        SaltusError: there is nothing to seal.
    """
    rows = forecasts.filter(pl.col("forecaster") == ENSEMBLE, pl.col("median").is_not_null())
    if rows.is_empty():
        raise SaltusError("no series has a forecast, so there is nothing to seal")
    document = {
        "format": FORMAT,
        "made_on": made_on.isoformat(),
        "note": note,
        "origin": origin,
        "probabilities": list(PROBABILITIES),
        "forecasts": rows.select(SEALED).to_dicts(),
    }
    sealed = document | {"sha256": digest(document)}
    return json.dumps(sealed, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def verified(text: str, name: str) -> dict[str, Any]:
    """The document of a seal whose hash holds.

    Args:
        text: content of the file.
        name: of the file, for messages.

    Raises:
        SaltusError: it is no seal, or it was altered after it was sealed.
    """
    try:
        document = json.loads(text)
    except ValueError as fault:
        raise SaltusError(f"{name} is not a sealed forecast: {fault}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise SaltusError(f"{name} is not a sealed forecast of format {FORMAT}")
    if document.get("sha256") != digest(document):
        raise SaltusError(
            f"{name} was altered after it was sealed: its content has SHA-256 "
            f"{digest(document)}, it states {document.get('sha256')}; it is not scored"
        )
    return document


def resolve(document: dict[str, Any], estimates: pl.DataFrame, model: str | None) -> pl.DataFrame:
    """The sealed forecasts against results, as rows of the track record.

    Args:
        document: from `verified`.
        estimates: table `Estimates` that holds the larger model.
        model: its label; None takes, in each family, the model of the sealed size that saw the most
            tokens.

    Returns:
        Rows of the record; `value` is null and `status` says why where nothing can be scored.
    """
    sealed = pl.DataFrame(document["forecasts"], infer_schema_length=None)
    rows = [_resolved(row, document, estimates, model) for row in sealed.iter_rows(named=True)]
    return pl.DataFrame(rows, schema=RECORD)


RECORD: dict[str, Any] = {
    "seal": pl.String, "made_on": pl.String, "family": pl.String, "regime": pl.String,
    "task": pl.String, "metric": pl.String, "model": pl.String, "value": pl.Float64,
    "low": pl.Float64, "median": pl.Float64, "high": pl.Float64, "interval": pl.Float64,
    "covered": pl.Boolean, "crps": pl.Float64, "pit": pl.Float64, "level": pl.Float64,
    "probability": pl.Float64, "passed": pl.Boolean, "brier": pl.Float64, "status": pl.String,
}  # fmt: skip


def _resolved(
    row: dict[str, Any], document: dict[str, Any], estimates: pl.DataFrame, model: str | None
) -> dict[str, Any]:
    kept = {name: row[name] for name in (*KEY, "low", "median", "high", "interval", "level")}
    kept |= {"probability": row["probability"], "seal": document["sha256"],
             "made_on": document["made_on"]}  # fmt: skip
    found = _result(row, estimates, model)
    if found is None:
        return kept | {"status": "open: the results hold no such model and task"}
    value = float(found["value"])
    passed = _passed(row, value)
    chance = row["probability"]
    scored = None if passed is None else float(brier(np.array(chance), np.array(float(passed))))
    return kept | {
        "model": found["model"],
        "value": value,
        "covered": row["low"] <= value <= row["high"],
        "crps": float(crps(_sample(row), np.array(value))),
        "pit": float(np.interp(value, *_steps(row))),
        "passed": passed,
        "brier": scored,
        "status": "resolved",
    }


def _result(
    row: dict[str, Any], estimates: pl.DataFrame, model: str | None
) -> dict[str, Any] | None:
    same = [pl.col(name).eq_missing(pl.lit(row[name])) for name in KEY]
    rows = estimates.filter(*same, pl.col("value").is_not_null())
    if model is not None:
        rows = rows.filter(pl.col("model").str.starts_with(model))
    elif row["params"]:
        near = (pl.col("params").log10() - np.log10(row["params"])).abs() < SAME_SCALE
        rows = rows.filter(near)
    best = rows.sort("tokens", "step", descending=True, nulls_last=True).head(1)
    return best.row(0, named=True) if best.height else None


def _sample(row: dict[str, Any]) -> np.typing.NDArray[np.float64]:
    """Equally likely values from the sealed quantiles, straight lines between them."""
    places, chances = _steps(row)
    return np.interp((np.arange(400) + 0.5) / 400, chances, places)


def _steps(
    row: dict[str, Any],
) -> tuple[np.typing.NDArray[np.float64], np.typing.NDArray[np.float64]]:
    return np.asarray(row["quantiles"], dtype=float), np.asarray(PROBABILITIES)


def _passed(row: dict[str, Any], value: float) -> bool | None:
    """Whether the level was reached, the way up being the metric's."""
    from saltus.metrics.metric import find

    metric = find(row["metric"])
    if row["level"] is None or metric is None:
        return None
    reached = value >= row["level"] if metric.better == "higher" else value <= row["level"]
    return bool(reached)


def track_record(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Several records as one, a series of a seal once: the latest that is resolved."""
    whole = pl.concat(parts) if parts else pl.DataFrame(schema=RECORD)
    kept = whole.with_columns(known=pl.col("value").is_not_null()).sort(
        "known", maintain_order=True
    )
    return kept.unique(["seal", *KEY], keep="last", maintain_order=True).drop("known")


def reliability(record: pl.DataFrame) -> pl.DataFrame:
    """Stated probability against observed share: the calibration diagram as rows.

    For each of .05 ... .95 the share of resolved values below that sealed quantile, with a 90 %
    Clopper-Pearson interval that takes the series as independent, which they are not.
    """
    from scipy.stats import beta

    seen = record["pit"].drop_nulls().to_numpy()
    rows = []
    for chance in PROBABILITIES:
        below, count = int((seen < chance + 1e-9).sum()), seen.size
        low = float(beta.ppf(0.05, below, count - below + 1)) if below else 0.0
        high = float(beta.ppf(0.95, below + 1, count - below)) if below < count else 1.0
        share = below / count if count else None
        rows.append({"stated": chance, "observed": share, "low": low, "high": high, "count": count})
    return pl.DataFrame(rows)
