"""Seals: hashed, dated, refused when altered, scored later, and their track record."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from forecast_worlds import family
from saltus.cli import main
from saltus.errors import SaltusError
from saltus.forecasts.forecast import PROBABILITIES
from saltus.forecasts.sealed import reliability, resolve, seal, track_record, verified
from saltus.tables import Forecasts, conform

SIZES = (1e8, 1e9, 1e10)


def forecasts(level: float | None = 0.5) -> pl.DataFrame:
    """One series whose sealed quantiles are uniform from .3 to .7."""
    row = {
        "family": "fam", "task": "t", "metric": "acc", "forecaster": "ensemble", "params": 1e11,
        "axis": "params", "interval": 0.9, "low": 0.32, "median": 0.5, "high": 0.68,
        "level": level, "probability": None if level is None else 0.5,
        "quantiles": [0.3 + 0.4 * p for p in PROBABILITIES], "scales": 4, "models": 4,
        "status": "forecast",
    }  # fmt: skip
    return conform(pl.DataFrame([row]), Forecasts)


def sealed(level: float | None = 0.5) -> str:
    return seal(forecasts(level), date(2026, 5, 1), "before the run", {"saltus": "0"})


def test_the_hash_needs_nothing_but_json_and_sha256() -> None:
    document = json.loads(sealed())
    stated = document.pop("sha256")
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == stated
    assert document["made_on"] == "2026-05-01"


@pytest.mark.parametrize(("old", "new"), [("0.32", "0.12"), ("2026-05-01", "2026-04-01"),
                                          ("before", "after")])  # fmt: skip
def test_an_altered_seal_is_refused(old: str, new: str) -> None:
    assert verified(sealed(), "s.json")["note"] == "before the run"
    with pytest.raises(SaltusError, match=r"s\.json was altered after it was sealed"):
        verified(sealed().replace(old, new), "s.json")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": "other"}'])
def test_what_is_no_seal_is_refused(text: str) -> None:
    with pytest.raises(SaltusError, match="not a sealed forecast"):
        verified(text, "s.json")


def test_nothing_to_seal_is_refused() -> None:
    with pytest.raises(SaltusError, match="nothing to seal"):
        seal(forecasts().clear(), date(2026, 5, 1), "", {})


def test_scores_are_those_of_the_sealed_quantiles() -> None:
    results = family({"t": [0.6]}, [1.05e11])
    row = resolve(verified(sealed(), "s"), results, None).row(0, named=True)
    assert row["covered"] is True
    assert row["pit"] == pytest.approx(0.75)
    assert row["passed"] is True
    assert row["brier"] == pytest.approx(0.25)
    # X uniform on (.3, .7), y = .6: E|X-y| - E|X-X'|/2 = .125 - .4/6; the outer 5 % are held
    assert row["crps"] == pytest.approx(0.125 - 0.4 / 6, abs=0.002)


def test_an_absent_model_leaves_the_seal_open() -> None:
    row = resolve(verified(sealed(), "s"), family({"t": [0.6]}, [1e10]), None).row(0, named=True)
    assert row["value"] is None
    assert row["status"].startswith("open")


def test_without_a_level_nothing_is_passed() -> None:
    row = resolve(verified(sealed(None), "s"), family({"t": [0.6]}, [1e11]), None).row(
        0, named=True
    )
    assert row["passed"] is None
    assert row["brier"] is None


def test_the_record_keeps_what_is_resolved_and_counts_it_once() -> None:
    document = verified(sealed(), "s")
    open_one = resolve(document, family({"t": [0.6]}, [1e10]), None)
    closed = resolve(document, family({"t": [0.6]}, [1e11]), None)
    whole = track_record([closed, open_one, closed])
    assert whole.height == 1
    assert whole["value"][0] == pytest.approx(0.6)
    diagram = reliability(whole)
    assert diagram.filter(pl.col("stated") >= 0.75)["observed"].to_list() == [1.0] * 5
    assert diagram.filter(pl.col("stated") < 0.7)["observed"].to_list() == [0.0] * 13


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def scores(path: Path, sizes: dict[float, float]) -> Path:
    lines = ["model,family,params,tokens,task,metric,value,items,chance"]
    lines += [f"m{p:.0f},fam,{p:.0f},3e11,quiz,acc,{v},400,0.25" for p, v in sizes.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_forecast_seal_and_resolve_as_a_user_runs_them(tmp_path: Path) -> None:
    small = scores(tmp_path / "small.csv", {1e8: 0.3, 1e9: 0.42, 1e10: 0.55, 1e11: 0.66})
    large = scores(tmp_path / "large.csv", {1e12: 0.75})
    audit, file = tmp_path / "audit", tmp_path / "may.json"
    assert run("audit", small, "--out", audit, "--resamples", 99).exit_code in (0, 2)
    made = run("forecast", audit, "--at", "params=1e12", "--level", 0.5, "--seal", file,
               "--date", "2026-05-01", "--json")  # fmt: skip
    assert made.exit_code == 0, made.output
    row = json.loads(made.stdout.splitlines()[0])
    assert row["low"] < row["median"] < row["high"]
    assert row["probability"] > 0.5
    again = run("forecast", audit, "--at", "params=1e12", "--level", 0.5)
    assert "nothing had changed" in again.output
    record = tmp_path / "record.parquet"
    told = run("resolve", file, large, "--record", record)
    assert told.exit_code == 0, told.output
    assert "1 resolved" in told.output
    assert pl.read_parquet(record).height == 1
    file.write_text(file.read_text().replace("quiz", "quip"), encoding="utf-8")
    refused = run("resolve", file, large)
    assert refused.exit_code == 1
    assert "altered" in refused.output
    assert "no family named 'fma'" in run("forecast", audit, "--at", "params=1e12", "--family",
                                          "fma").output  # fmt: skip
    tested = run("backtest", audit)
    assert tested.exit_code == 0, tested.output
    assert "ensemble" in tested.output
