"""Every score says which scorer made it, and the manifest says what that was."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import saltus
from saltus import pipeline, store
from saltus.metrics.metric import METRICS
from saltus.metrics.scorers import scorers
from saltus.metrics.users import resolve
from saltus.report.provenance import provenance
from saltus.tables import Scores

ROW = {"model": "pythia-70m", "task": "t", "item": "1", "output": "it is 4", "target": "4"}


def hashes(**parameters: str) -> list[str]:
    return [entry["scorer"] for entry in scorers(["exact_match", "contains"], parameters)]


def test_a_scorer_is_known_by_name_version_parameters_and_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = hashes()
    assert len(set(plain)) == 2
    assert hashes() == plain
    assert hashes(extract="boxed") != plain
    with monkeypatch.context() as patch:
        patch.setattr("saltus.metrics.scorers.__version__", "0.0.7")
        assert hashes() != plain
    with monkeypatch.context() as patch:
        patch.setattr("saltus.metrics.scorers._code", lambda module: "changed")
        assert hashes() != plain


def test_a_changed_file_of_the_user_is_another_scorer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    len(METRICS)
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))
    found = []
    for body in ("1.0", "2.0"):
        (tmp_path / "mine.py").write_text(f"def mine(output, target):\n    return {body}\n")
        name = resolve(f"{tmp_path / 'mine.py'}@mine")
        found.append(scorers([name], {})[0]["scorer"])
    assert found[0] != found[1]


def test_scores_carry_the_hash_and_the_report_shows_it(tmp_path: Path) -> None:
    log = tmp_path / "replies.jsonl"
    log.write_text(json.dumps(ROW) + "\n")
    audit = tmp_path / "audit"
    pipeline.read([log], audit)
    pipeline.score(audit, ["exact_match"], extract="last_number")
    manifest = store.load_manifest(audit)
    known = {entry["metric"]: entry for entry in manifest["scorers"]}
    scores = store.load(audit, Scores)
    assert scores["scorer"].to_list() == [known[name]["scorer"] for name in scores["metric"]]
    entry = known["exact_match"]
    assert entry["version"] == f"saltus {saltus.__version__}"
    assert entry["parameters"] == {"extract": "last_number", "failed_as": "missing"}
    shown = dict(provenance(manifest).facts)["scorer exact_match"]
    assert shown.startswith(entry["scorer"])
    assert "extract last_number" in shown
    before = scores.filter(pl.col("metric") == "exact_match")["scorer"].to_list()
    pipeline.score(audit, ["exact_match"])
    after = store.load(audit, Scores).filter(pl.col("metric") == "exact_match")
    assert after["scorer"].to_list() != before
