"""`saltus run`: nothing lost, nothing doubled, nothing asked twice, no key on the disk."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

pytest.importorskip("httpx", reason="asking served models needs the extra run")
pytest.importorskip("yaml", reason="family files need the extra run")

from click.testing import CliRunner

from fake_server import FakeServer, FakeServerAt, logprob, solution
from reading import read_tables
from saltus import pipeline
from saltus.cli import main
from saltus.errors import SaltusError, StoreError
from saltus.estimates.stopping import StoppingRule, stopped
from saltus.models import pace
from saltus.models.served import Prices, Served
from saltus.readers.run_lines import Start
from saltus.runners import journal, work
from saltus.runners.allocate import Adaptive, Fixed
from saltus.runners.asking import Sampling, room_for
from saltus.runners.budget import parse_budget
from saltus.runners.evaluate import Outcome, Plan, evaluate, most
from saltus.tasks import TASKS

KEY = "sk-THE-key-0123456789"
SIZES = ("1e6", "1e8")
TASK = "addition_2"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "FIRST_WAIT", 0.002)
    monkeypatch.setattr(work, "TICK", 0.05)


def family(server: FakeServerAt, sizes: tuple[str, ...] = SIZES, **more: Any) -> list[Served]:
    common = {"family": "Fake", "url": server.url, "concurrency": 8, "timeout_seconds": 1.0}
    return [Served(name=f"fake-{size}", params=float(size), **{**common, **more}) for size in sizes]


def go(models: list[Served], out: Path, tasks: tuple[str, ...] = (TASK,), **more: Any) -> Outcome:
    events: list[dict[str, Any]] = []
    allocation = more.pop("allocation", Fixed)
    plan = Plan(models, tasks, **{"items": 20, "self_test": "off", **more})
    return evaluate(plan, out, events.append, allocation)


def lines(out: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted(out.glob("answers/*/*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()[1:]
    ]


def whole(out: Path) -> Counter[tuple[Any, ...]]:
    """How often each answer of each model is there."""
    rows = read_tables([out], require_facts=False).responses
    return Counter(rows.select("model", "task", "item", "sample").rows())


def test_a_run_ends_in_the_tables_of_any_log(tmp_path: Path) -> None:
    with FakeServer() as server:
        outcome = go(family(server), tmp_path)
    assert outcome.complete
    tables = read_tables([tmp_path])
    items = TASKS[TASK].items(np.random.default_rng(0), 20)
    rows = tables.responses
    assert rows.height == 40
    assert set(rows["item"]) == set(items["item"])
    prompts = dict(items.select("item", "prompt").iter_rows())
    for row in rows.iter_rows(named=True):
        prompt = prompts[row["item"]]
        assert row["targets"] == [solution(prompt)]
        name, target = row["model"].split(" ")[0], row["targets"][0]
        assert row["target_logprobs"] == pytest.approx(
            [logprob(name, prompt + target[:place], piece) for place, piece in enumerate(target)]
        )
        assert (row["finish"], row["chance"], row["sample"]) == ("stop", 0.0, 0)
    models = tables.models
    assert set(models["regime"]) == {"completions, greedy"}
    assert models["params"].to_list() == [1e6, 1e8]
    assert models["source"].str.contains(f"{server.url}/completions").all()


def test_the_same_command_again_asks_nothing(tmp_path: Path) -> None:
    with FakeServer() as server:
        go(family(server), tmp_path)
        asked = server.fake.requests
        before = lines(tmp_path)
        assert go(family(server), tmp_path).complete
        assert server.fake.requests == asked + len(SIZES)  # one probe each
        assert go(family(server), tmp_path, items=25).complete
        assert server.fake.requests == asked + 2 * len(SIZES) + 2 * 5 * 2  # 5 more, two parts
    assert lines(tmp_path)[0] == before[0]
    assert set(whole(tmp_path).values()) == {1}


ALL_FAULTS = (
    "429 seconds", "429 silent", "http 500", "cut", "malformed", "no choice", "wrong counts",
    "no logprobs", "null logprobs", "reordered", "duplicated",
)  # fmt: skip


@pytest.mark.parametrize("seed", [1])
def test_under_every_fault_no_answer_is_lost_or_doubled(tmp_path: Path, seed: int) -> None:
    with FakeServer(faults=dict.fromkeys(ALL_FAULTS, 0.04), seed=seed) as server:
        models = family(server, tries=8)
        outcome = go(models, tmp_path, items=80)
        assert set(server.fake.met) == set(ALL_FAULTS)
    with FakeServer() as sound:
        go(family(sound), tmp_path / "sound", items=80)
    assert outcome.complete
    rows = read_tables([tmp_path / "answers"], require_facts=False)
    clean = read_tables([tmp_path / "sound" / "answers"], require_facts=False).responses
    key = ["model", "item"]
    wanted = ["model", "item", "output", "targets", "finish"]
    assert rows.responses.sort(key).select(wanted).equals(clean.sort(key).select(wanted))
    counts = rows.responses["target_logprobs"].is_null().sum()
    told = {row["screen"]: row["count"] for row in rows.table("findings").to_dicts()}
    assert told.get("read.run_missing", 0) == counts  # what is missing is counted
    assert counts < 10
    both = rows.responses.join(clean, on=key, suffix="_clean").drop_nulls("target_logprobs")
    assert (both["target_logprobs"] == both["target_logprobs_clean"]).all()


def test_what_failed_is_reported_and_asked_again(tmp_path: Path) -> None:
    with FakeServer() as server:
        models = family(server, tries=2)
        go(models, tmp_path, items=5)
        server.fake.faults = {"http 500": 0.7}
        outcome = go(models, tmp_path, items=60)
        assert not outcome.complete
        # the probe of one model may fail at both tries: then it has no failures by task
        assert {fault for told in outcome.failures.values() for fault in told} == {"http 500: oops"}
        rows = read_tables([tmp_path], require_facts=False)
        left = rows.responses.filter(pl.col("output").is_null())
        assert left.height > 0
        assert left["targets"].null_count() == 0
        notes = rows.named("read.run_failed")
        assert notes
        assert "http 500: oops" in notes[0]["message"]
        server.fake.faults = {}
        assert go(models, tmp_path, items=60).complete
    assert set(whole(tmp_path).values()) == {1}
    rows = read_tables([tmp_path], require_facts=False)
    assert rows.responses["output"].null_count() == 0
    assert not rows.named("read.run_failed")


def test_a_dead_server_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    with FakeServer() as server:
        alive, dying = family(server)[0], family(server)[1]
        with FakeServer() as other:
            dying = Served(name="fake-1e8", family="Fake", params=1e8, url=other.url, tries=2)
            go([alive, dying], tmp_path, items=5)
            other.fake.faults = {"cut": 1.0}
            other.fake.requests = 0
            # the probe is answered, then everything breaks
            other.fake.random.seed(0)
            outcome = go([alive, dying], tmp_path, items=200)
        assert outcome.down
        assert next(iter(outcome.down)) == "fake-1e8"
        assert not outcome.complete
    rows = read_tables([tmp_path], require_facts=False).responses
    assert rows.filter(pl.col("model").str.starts_with("fake-1e6")).height == 200
    with pytest.raises(SaltusError, match="does not answer"):
        go([dying], tmp_path)


def command(out: Path, path: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "saltus", "run", "--models", str(path), "--tasks", TASK, "--out",
        str(out), "--self-test", "off", *more,
    ]  # fmt: skip


def yaml_of(folder: Path, server: FakeServerAt, **more: Any) -> Path:
    settings = {"family": "Fake", "url": server.url, "concurrency": 4, **more}
    models = [{"name": f"fake-{size}", "params": float(size)} for size in SIZES]
    path = folder / "family.yaml"
    path.write_text(json.dumps({"defaults": settings, "models": models}))
    return path


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with FakeServer(wait=0.004) as server:
        path = yaml_of(tmp_path, server)
        with subprocess.Popen(
            command(out, path, "--items", "100"), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as work:  # fmt: skip
            deadline = time.monotonic() + 60
            while sum(p.stat().st_size for p in out.glob("answers/*/*")) < 10_000:
                assert time.monotonic() < deadline
                assert work.poll() is None
                time.sleep(0.01)
            os.kill(work.pid, signal.SIGKILL)
        torn = next(out.glob("answers/*/*1e6.jsonl"))
        torn.write_bytes(torn.read_bytes()[:-7])  # as if a write had been cut off
        done = CliRunner().invoke(main, command(out, path, "--items", "100")[3:])
        twice = [count for count in server.fake.sent.values() if count > 1]
    assert done.exit_code == 0
    assert "100/100" in done.output
    found = whole(out)
    assert set(found.values()) == {1}
    assert len(found) == 200
    # 2 probes; a kill loses what was on its way, 2 models x 4 at once, and the torn line
    assert set(twice) == {2}
    assert 2 < len(twice) <= 2 + 8 + 1


def test_a_full_disk_stops_the_run_and_keeps_what_was_answered(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with FakeServer() as server:
        path = yaml_of(tmp_path, server)

        def small() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        full = subprocess.run(
            command(out, path, "--items", "80"), capture_output=True, text=True, check=False,
            preexec_fn=small,
        )  # fmt: skip
        assert full.returncode == 1
        assert "free the disk and run the same command again" in full.stderr
        assert "Traceback" not in full.stderr
        kept = lines(out)  # every line is whole
        assert len(kept) > 20
        again = CliRunner().invoke(main, command(out, path, "--items", "80")[3:])
        assert again.exit_code == 0
    assert lines(out)[0] == kept[0]
    assert set(whole(out).values()) == {1}
    assert len(whole(out)) == 160


def test_two_runs_in_one_folder_are_kept_apart(tmp_path: Path) -> None:
    with (
        FakeServer() as server,
        journal.locked(tmp_path),
        pytest.raises(StoreError, match="another run is at work"),
    ):
        go(family(server), tmp_path)


CHANGES: Mapping[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "template": ({"template": "Sum: {prompt}"}, {}, "regime was"),
    "temperature": ({}, {"sampling": Sampling(temperature=1.0)}, "regime was"),
    "seed": ({}, {"sampling": Sampling(seed=1)}, "asked was"),
    "served_as": ({"served_as": "fake-1e9"}, {}, "asked was"),
    "length": ({"max_tokens": 7}, {}, "was asked for otherwise"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_holds_one_way_of_asking(tmp_path: Path, change: str) -> None:
    model, plan, words = CHANGES[change]
    with FakeServer() as server:
        go(family(server), tmp_path)
        before = lines(tmp_path)
        with pytest.raises(StoreError, match=words):
            go(family(server, **model), tmp_path, **plan)
    assert lines(tmp_path) == before


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with FakeServer() as server, pytest.raises(StoreError, match="no run's folder"):
        go(family(server), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("budget", ["requests=60", "tokens=3000", "money=0.01"])
def test_a_budget_stops_cleanly_and_alike(tmp_path: Path, budget: str) -> None:
    with FakeServer() as server:
        prices = Prices(input_per_million=2.0, output_per_million=4.0)
        models = family(server, prices=prices)
        limits = parse_budget([budget], models)
        outcome = go(models, tmp_path, items=500, limits=limits)
        asked = server.fake.requests - 2  # the probes are not counted
        kind, limit = next(iter(limits.items()))
        spent = outcome.progress[kind]
        assert outcome.stopped == "the budget is spent"
        assert 0.5 * limit < spent <= limit
        again = go(models, tmp_path, items=500, limits=limits)  # earlier sessions count
        assert server.fake.requests - 4 - asked <= 2
        assert again.progress[kind] <= limit
    done = [cell["done"] for cell in outcome.progress["cells"]]
    assert max(done) - min(done) <= 2 * 8


def test_a_budget_ends_models_alike_also_where_one_is_faster(tmp_path: Path) -> None:
    with FakeServer(wait=0.002) as server:
        slow, fast = family(server, concurrency=1)[0], family(server, concurrency=16)[1]
        outcome = go([slow, fast], tmp_path, items=200, limits={"requests": 160.0})
    assert outcome.stopped == "the budget is spent"
    done = [cell["done"] for cell in outcome.progress["cells"]]
    assert sum(done) > 70
    assert max(done) - min(done) <= 20


def test_a_budget_holds_where_the_server_counts_wrong_or_not_at_all(tmp_path: Path) -> None:
    with FakeServer(faults={"wrong counts": 1.0}, abilities=frozenset()) as server:
        models = family(server, ("1e8",))
        outcome = go(models, tmp_path, items=400, limits={"tokens": 3000.0})
        assert outcome.stopped == "the budget is spent"
        assert 1500 < outcome.progress["tokens"] <= 3000  # neither 99,999 each nor nothing
        again = go(models, tmp_path, items=400, limits={"tokens": 3000.0})
        assert again.progress["tokens"] <= 3000
    told = read_tables([tmp_path]).named("read.run_mismatch")
    assert told[0]["count"] == outcome.progress["cells"][0]["done"]


def test_a_budget_needs_prices_and_sense() -> None:
    free = [Served(name="m", url="http://h")]
    with pytest.raises(SaltusError, match="no `prices`"):
        parse_budget(["money=3"], free)
    for bad in ("cups=3", "requests=none", "tokens=-1", "requests=inf"):
        with pytest.raises(SaltusError, match="KIND=AMOUNT"):
            parse_budget([bad], free)
    assert parse_budget(["500"], free) == {"requests": 500}


def test_repeats_differ_and_pass_at_k_reads_them(tmp_path: Path) -> None:
    with FakeServer() as server:
        sampling = Sampling(temperature=1.0, samples=4)
        go(family(server, ("1e8",)), tmp_path / "run", items=30, sampling=sampling)
        seeds = {body.get("seed") for body in server.fake.bodies}
        assert seeds <= {None}
    rows = read_tables([tmp_path / "run"]).responses
    assert rows.height == 120
    assert rows.group_by("item").agg(pl.col("output").n_unique())["output"].mean() > 1.5
    assert rows["target_logprobs"].is_not_null().sum() == 30  # once per item
    pipeline.read(tmp_path / "run", tmp_path / "audit")
    pipeline.score(tmp_path / "audit", ["pass@1", "pass@4"])
    sets = pl.read_parquet(tmp_path / "audit" / "sets.parquet")
    one, four = sets.sort("metric")["value"].to_list()
    assert 0 < one < four <= 1


def test_pass_until_stops_at_enough_right_answers(tmp_path: Path) -> None:
    with FakeServer() as server:
        models = family(server, ("1e8",))
        sampling = Sampling(temperature=1.0, samples=20, until=2)
        outcome = go(models, tmp_path / "run", items=40, sampling=sampling)
        assert outcome.complete
        asked = server.fake.requests
        go(models, tmp_path / "run", items=40, sampling=sampling)
        assert server.fake.requests == asked + 1
    rows = read_tables([tmp_path / "run"]).responses.sort("item", "sample")
    right = rows.with_columns(
        right=pl.col("output").str.strip_chars() == pl.col("targets").list.first()
    )
    items = right.group_by("item").agg(
        pl.len().alias("draws"), pl.col("right").sum(), pl.col("right").last().alias("last")
    )
    reached = items.filter(pl.col("right") == 2)
    assert reached["last"].all()
    assert (items.filter(pl.col("right") < 2)["draws"] == 20).all()
    assert 40 * 2 < rows.height < 40 * 20
    pipeline.read(tmp_path / "run", tmp_path / "audit")
    pipeline.score(tmp_path / "audit", ["passuntil"])
    value = pl.read_parquet(tmp_path / "audit" / "sets.parquet")["value"].item()
    assert 0.05 < value < 0.6


RULE = StoppingRule(0.3, right=12, step=10)


def end_of(right: Mapping[str, bool], items: list[str]) -> int:
    """Where the rule ends a model, by its answers in the order of the items."""
    counts = np.cumsum([right.get(item, False) for item in items])
    looks = range(10, len(items), 10)
    stops = (n for n in looks if RULE.stops(n, counts[n - 1 : n])[0])
    return next(stops, len(items))


def rights(out: Path) -> dict[str, dict[str, bool]]:
    right = pl.col("output") == pl.col("targets").list.first()
    return {
        label: dict(given.select("item", right).iter_rows())
        for (label,), given in read_tables([out]).responses.group_by("model")
    }


def test_an_adaptive_run_ends_each_model_where_its_rule_says(tmp_path: Path) -> None:
    """And the audit takes the unbiased rate and the interval under the rule."""
    adaptive = {"items": 80, "allocation": lambda: Adaptive(RULE)}
    with FakeServer(abilities=frozenset()) as server:
        models = family(server, ("1e5", "1e8", "1e12"))
        outcome = go(models, tmp_path / "run", **adaptive)
        asked = server.fake.requests
        again = go(models, tmp_path / "run", **adaptive)
        assert server.fake.requests == asked + 3 * 10  # the probes alone
    assert outcome.complete
    assert again.complete
    items = TASKS[TASK].items(np.random.default_rng(0), 80)["item"].to_list()
    found = rights(tmp_path / "run")
    for label, right in found.items():
        assert set(right) == set(items[: end_of(right, items)]), label
    assert min(map(len, found.values())) < 80  # a floor or a ceiling is seen early
    pipeline.read(tmp_path / "run", tmp_path / "audit")
    pipeline.score(tmp_path / "audit", ["exact_match"])
    pipeline.estimate(tmp_path / "audit")
    told = {row["model"]: row["rate"] for row in outcome.rates}
    rows = pl.read_parquet(tmp_path / "audit" / "estimates.parquet").filter(metric="exact_match")
    for row in rows.iter_rows(named=True):
        wanted = stopped(int(row["successes"]), row["items"], RULE, 80)
        assert row["method"] == "exact under the stopping rule"
        assert row["value"] == wanted.rate == told[row["model"].split(" ")[0]]
        assert (row["low"], row["high"]) == (wanted.low, wanted.high)
    assert any(
        abs(row["value"] - row["successes"] / row["items"]) > 1e-4 for row in rows.to_dicts()
    )
    notes = pl.read_parquet(tmp_path / "audit" / "findings.parquet")
    assert notes.filter(screen="read.run_stops")["count"].to_list() == [3]  # models, in one note


def test_an_adaptive_run_ends_alike_however_often_it_is_stopped(tmp_path: Path) -> None:
    """A budget ends sessions within rounds; what is asked in the end is the same."""
    with FakeServer(abilities=frozenset()) as server:
        for name, budgets in (("whole", [None]), ("parts", [7, 33, 58, 91, None])):
            for budget in budgets:
                limits = {} if budget is None else {"requests": float(budget)}
                outcome = go(
                    family(server, ("1e5", "1e8")), tmp_path / name, items=80, limits=limits,
                    allocation=lambda: Adaptive(RULE),
                )  # fmt: skip
            assert outcome.complete
    assert rights(tmp_path / "whole") == rights(tmp_path / "parts")


def test_a_fixed_number_of_items_after_a_rule_is_a_plain_mean(tmp_path: Path) -> None:
    with FakeServer(abilities=frozenset()) as server:
        models = family(server, ("1e5",))
        go(models, tmp_path, items=60, allocation=lambda: Adaptive(RULE))
        assert len(read_tables([tmp_path]).table("stops")) == 1
        go(models, tmp_path, items=60)
    tables = read_tables([tmp_path])
    assert tables.table("stops").is_empty()
    assert tables.responses.height == 60


def test_no_file_holds_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KEY", KEY)
    faults = dict.fromkeys(ALL_FAULTS, 0.05)
    with FakeServer(faults=faults) as server:
        path = yaml_of(tmp_path, server, key="FAKE_KEY", tries=12)
        result = CliRunner().invoke(main, command(tmp_path / "run", path, "--items", "30")[3:])
        assert result.exit_code == 0, result.output
        assert server.fake.keys == {f"bearer {KEY.lower()}"}
        events = CliRunner().invoke(
            main, [*command(tmp_path / "run", path, "--items", "40")[3:], "--json"]
        )
        read = CliRunner().invoke(  # every page is made of these tables
            main, ["read", str(tmp_path / "run"), "--out", str(tmp_path / "audit")]
        )
        scored = CliRunner().invoke(main, ["score", str(tmp_path / "audit")])
    assert (read.exit_code, scored.exit_code) == (0, 0), read.output + scored.output
    said = result.output + events.output + read.output + scored.output
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 8
    assert KEY not in said
    assert not [path for path in written if KEY.encode() in path.read_bytes()]


def test_events_are_json_and_the_last_one_sums_up(tmp_path: Path) -> None:
    with FakeServer() as server:
        path = yaml_of(tmp_path, server)
        arguments = [*command(tmp_path / "run", path, "--items", "10")[3:], "--json"]
        arguments[arguments.index("off")] = "warn"
        result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds.count("probe") == kinds.count("self_test") == 2
    assert all(event["passed"] for event in events if event["event"] == "self_test")
    assert kinds[-1] == "end"
    assert events[-1]["complete"] is True
    final = next(event for event in reversed(events) if event["event"] == "progress")
    assert [(cell["done"], cell["total"]) for cell in final["cells"]] == [(10, 10)] * 2


def cell(model: str, done: int, **more: Any) -> dict[str, Any]:
    numbers = {"total": 200, "right": 1, "scored": 8, "failures": 3, "per_second": 1234.5}
    return {"model": model, "task": "multiplication_4_two_shot", "done": done, **numbers,
            "money": 0.0042, "seconds_left": 3601.0, **more}  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_cuts_names_before_numbers(width: int) -> None:
    from rich.console import Console

    from saltus.cli.run import table

    cells = [cell(f"our-organisation/our-model-{n}e8-final", 200 * (n < 5)) for n in range(9)]
    event = {"cells": cells, "money": 0.0378}
    console = Console(width=width, file=StringIO())
    console.print(table(event, width, most=6))
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert len(lines) == 8  # head, cells, totals: all that is under way, and two that are done
    assert max(map(len, lines)) <= width
    assert [line.split()[0][-7:] for line in lines[1:-1]] == [
        f"{n}e8-final"[-7:] for n in (0, 1, 5, 6, 7, 8)
    ]
    assert lines[-2].split()[2:] == ["0/200", "0.125", "3", "1234.5", "0.0042", "1:00:01"]
    assert lines[-1].split() == [
        "all",
        "3",
        "more",
        "1000/1800",
        "27",
        "4938.0",
        "0.0378",
        "1:00:01",
    ]


def test_the_self_test_finds_a_model_that_cannot_copy(tmp_path: Path) -> None:
    with FakeServer(copies=False) as server:
        with pytest.raises(SaltusError, match="words were not copied"):
            go(family(server), tmp_path, self_test="stop")
        assert not (tmp_path / "answers").exists()
        go(family(server), tmp_path, self_test="warn")
    notes = read_tables([tmp_path]).named("read.self_test")
    assert len(notes) == 2
    assert "words were not copied" in notes[0]["message"]


def test_the_self_test_finds_the_wrong_space(tmp_path: Path) -> None:
    with FakeServer() as server:
        go(family(server, answer_prefix=""), tmp_path, self_test="warn")
    notes = read_tables([tmp_path]).named("read.self_test")
    assert "likelier with the other spelling of the space" in notes[0]["message"]


def test_bounds_never_become_scores(tmp_path: Path) -> None:
    with FakeServer(abilities=frozenset({"top_k"})) as server:
        go(family(server), tmp_path)
    tables = read_tables([tmp_path])
    assert tables.responses["target_logprobs"].null_count() == 40
    assert sum(row["count"] for row in tables.named("read.run_at_most")) == 40
    assert sum("at_most" in line for line in lines(tmp_path)) == 40


def test_chat_and_completions_are_two_regimes(tmp_path: Path) -> None:
    with FakeServer() as server:
        completions, chat = family(server)[0], family(server, api="chat")[1]
        go([completions, chat], tmp_path)
    assert set(read_tables([tmp_path]).models["regime"]) == {"completions, greedy", "chat, greedy"}


def test_a_dry_run_asks_nothing(tmp_path: Path) -> None:
    with FakeServer() as server:
        path = yaml_of(tmp_path, server)
        result = CliRunner().invoke(
            main, [*command(tmp_path / "run", path, "--items", "7")[3:], "--dry-run", "--json"]
        )
        assert server.fake.requests == 0
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["requests"] for row in rows] == [14, 14]
    assert not (tmp_path / "run").exists()
    plan = Plan([Served(name="m", url="http://h")], [TASK], 7, Sampling(1.0, 3))
    assert most(plan)["requests"].item() == 28


def test_known_numbers_are_a_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MERGE", 5)
    numbers = [journal.number_of(n) for n in range(23)]
    known = journal.Known()
    for number in numbers[:-1]:
        known.add(number)
    assert [number in known for number in numbers] == [True] * 22 + [False]


def test_room_is_enough_for_the_target_and_says_little_of_it() -> None:
    assert room_for(["7"]) == room_for(["1234567"]) == 32
    assert room_for(["x" * 100]) == 128
    assert room_for(None) >= 32


def test_a_line_that_is_none_of_a_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    start = Start(1, "m", "t", "r", "s", "none", {})
    journal.Journal(path, start).close()
    path.write_text(path.read_text() + "{broken\n" + "{}\n")
    with pytest.raises(StoreError, match=r"a\.jsonl:2"):
        journal.Journal(path, start)


@pytest.mark.parametrize("name", ["a/b", "../x", "a b", "", "äö/ü", ".hidden"])
def test_names_make_safe_paths(name: str) -> None:
    made = journal.file_name(name)
    assert "/" not in made
    assert not made.startswith(".")
    assert made != journal.file_name(name + "x")
