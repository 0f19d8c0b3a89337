"""The report as files and as pieces: escaping, completeness, no network, valid charts."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import altair
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltus.metrics.metric import METRICS, find
from saltus.report import report
from saltus.report.cards import cards
from saltus.report.chart import fill, rows, spread, template
from saltus.report.document import document, encoded
from saltus.report.evidence import evidence
from saltus.report.figures import specification
from saltus.report.overview import skipped, summary
from saltus.report.page import charts, embedded, spark_path
from saltus.report.plots import Axis, Rule, panel
from saltus.report.provenance import created, notes, provenance
from saltus.report.series import _smoothly, log_ticks, ticks, unlink
from saltus.report.text import number, probability, safe, scale, slug
from saltus.report.vocabulary import AXES, BY_NAME, WORDS
from saltus.report.write import _places, whole
from saltus.tables import Bands, Estimates, Findings, Fits, Models, Verdicts, conform, empty
from saltus.verdicts.links import Points, to_link
from saltus.verdicts.rule import VERDICTS

SIZES = (7e7, 4e8, 1e9, 3e9, 7e9, 1.2e10)
HOSTILE = "<script>alert(1)</script>"
TASK = '</script><img src="https://evil.example/x"> & | `tick` *star*'
FIGURES = {"png": b"\x89PNG\r\n", "svg": b"<svg"}
MANIFEST: dict[str, Any] = {
    "format": "saltus.audit/1",
    "saltus": "9.9.9",
    "command": f"saltus audit {HOSTILE}",
    "seed": 7,
    "inputs": [{"path": "logs/a.jsonl", "size": 1234, "sha256": "ab" * 32}],
    "stages": {"judge": {"finished": "2026-01-02T03:04:05+00:00"}},
}


def estimates(task: str, family: str = "toy") -> list[dict[str, Any]]:
    """Six models, the smallest under a hostile name: a rate that leaves zero, and a smooth loss."""
    made = []
    for place, params in enumerate(SIZES):
        rate, loss = max(0.0, place - 2) / 10, 2.0 * (SIZES[0] / params) ** 0.2
        model = HOSTILE if place == 0 else f"{family}-{place}"
        base = {"model": model, "family": family, "params": params, "task": task, "items": 100}
        base |= {
            "flops": params * 6e11,
            "tokens": 1e11 * (place + 1),
            "loss": 3.0 - place / 5,
            "level": 0.95,
        }
        hits = {"value": rate, "low": max(0.0, rate - 0.05), "high": rate + 0.05, "chance": 0.0}
        nats = {"value": loss, "low": 0.9 * loss, "high": 1.1 * loss}
        made.append(base | {"metric": "exact_match"} | hits)
        made.append(base | {"metric": "target_log_loss"} | nats)
    return made


def verdict(task: str, name: str, axis: str = "params", **changes: Any) -> dict[str, Any]:
    row = {
        "family": "toy", "task": task, "axis": axis, "slice": "final checkpoints",
        "verdict": name, "sentence": f"A sentence on {task} along {axis}.", "scales": 6,
        "metric": "exact_match", "partner": "target_log_loss", "items": 100, "chance": 0.0,
        "apparent": True, "near_floor": 3, "p_change": 0.0002, "p_break": 0.41, "inverse": False,
        "p_smooth": [{"curve": "line", "p": 0.41}], "settle": "more items",
    }  # fmt: skip
    return row | changes


def fit_row(task: str) -> dict[str, Any]:
    x = np.log10(SIZES)
    z = -math.log(2.0) + 0.2 * math.log(10) * (x - x[0])
    slope = 0.2 * math.log(10)
    return {
        "family": "toy", "task": task, "metric": "target_log_loss", "axis": "params",
        "slice": "final checkpoints", "curve": "line", "rss": 0.0, "status": "converged",
        "parameters": [
            {"name": "intercept", "value": -math.log(2.0) - slope * x[0]},
            {"name": "slope", "value": slope},
        ],
        "x": x.tolist(), "z": z.tolist(), "fitted": z.tolist(),
    }  # fmt: skip


def band_row(task: str) -> dict[str, Any]:
    x = np.log10(SIZES)
    return {
        "family": "toy", "task": task, "axis": "params", "slice": "final checkpoints",
        "metric": "exact_match", "partner": "target_log_loss", "curve": "line", "x": x.tolist(),
        "low": [0.0] * 6, "median": [0.1] * 6, "high": [0.3] * 6, "inside": 5, "scales": 6,
    }  # fmt: skip


def tables(rows: list[dict[str, Any]] | None = None) -> dict[str, pl.DataFrame]:
    judged = rows or [
        verdict(TASK, "METRIC_ARTEFACT"),
        verdict(TASK, "LOSS_THRESHOLD", "loss", threshold=2.4, threshold_low=2.2, tau=math.nan),
        verdict("plain", "INCONCLUSIVE", reason="too_few_scales", p_break=None, gain=math.inf),
    ]
    tasks = dict.fromkeys(row["task"] for row in judged)
    cells = [row for task in tasks for row in estimates(task)]
    cells += [{"model": "toy-1", "task": "plain", "metric": "bleu", "missing": "empty output"}]
    seen = [
        {name: row[name] for name in ("model", "family", "params")} | {"model_name": row["model"]}
        for row in estimates("x")[::2]
    ]
    seen += [{"model": "lost", "model_name": "lost", "family": None, "params": None}]
    found = {"screen": "exact_zeros", "severity": "warning", "count": 3, "message": HOSTILE}
    return {
        "models": conform(pl.DataFrame(seen), Models),
        "estimates": conform(pl.DataFrame(cells, infer_schema_length=None), Estimates),
        "fits": conform(pl.DataFrame([fit_row(task) for task in tasks]), Fits),
        "bands": conform(pl.DataFrame([band_row(task) for task in tasks]), Bands),
        "findings": conform(pl.DataFrame([found]), Findings),
        "verdicts": conform(pl.DataFrame(judged, infer_schema_length=None), Verdicts),
    }


def made(data: dict[str, pl.DataFrame]) -> tuple[list[Any], list[dict[str, Any]]]:
    models = _places(data["estimates"])
    return cards(data, {entry["model"]: place for place, entry in enumerate(models)}), models


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report")
    report(tables(), MANIFEST, path, figures=False)
    return path


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text outside scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.inside or self.inside[-1] not in ("script", "style"):
            self.text.append(data)


def parsed(text: str) -> Elements:
    elements = Elements()
    elements.feed(text)
    return elements


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', text, re.S)
    assert found is not None
    whole_data: dict[str, Any] = json.loads(found[1])
    return whole_data


def test_page_loads_nothing_from_the_network(html: str) -> None:
    elements = parsed(html)
    loads = [
        value
        for _, attributes in elements.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action", "poster")
    ]
    assert loads
    assert all((value or "").startswith("#") for value in loads)
    styles = "".join(re.findall(r"<style>(.*?)</style>", html, re.S))
    assert "@import" not in styles
    assert "url(" not in styles
    policy = next(a["content"] for t, a in elements.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_foreign_text_stays_text(html: str) -> None:
    elements = parsed(html)
    assert not [tag for tag, _ in elements.tags if tag == "img"]
    assert sum(tag == "script" for tag, _ in elements.tags) == 3  # data, Vega, our own
    text = "".join(elements.text)
    assert HOSTILE in text
    assert TASK in text


def test_every_verdict_row_has_its_line_and_its_card(html: str) -> None:
    elements = parsed(html)
    lines = [a for tag, a in elements.tags if tag == "tr" and "data-v" in a]
    expected = sorted(tables()["verdicts"].select("verdict", "axis").rows())
    assert sorted((a["data-v"], a["data-a"]) for a in lines) == expected
    assert sum(tag == "details" and a.get("class") == "card" for tag, a in elements.tags) == 2
    text = "".join(elements.text)
    for sentence in tables()["verdicts"]["sentence"]:
        assert text.count(sentence) == 2  # overview and card


@pytest.mark.parametrize("name", ["report.html", "report.md", "report.json"])
def test_no_number_reads_nan_or_infinite(folder: Path, name: str) -> None:
    text = (folder / name).read_text(encoding="utf-8")
    shown = re.sub(r"<script>.*?</script>|<style>.*?</style>", "", text, flags=re.S)
    assert not re.search(r"\b(nan|NaN|inf|Infinity)\b|>None<", shown)


def test_report_json_is_sorted_and_whole(folder: Path) -> None:
    text = (folder / "report.json").read_bytes()
    report_json = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert list(report_json) == sorted(report_json)
    assert len(report_json["verdicts"]) == 3
    assert report_json["verdicts"][0]["evidence"][0]["step"] == ""
    assert report_json["findings"][0]["message"] == HOSTILE
    assert report_json["manifest"]["inputs"][0]["sha256"] == "ab" * 32
    assert {entry["why"] for entry in report_json["skipped"]} >= {"empty output"}


def test_markdown_tables_keep_their_columns(folder: Path) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert HOSTILE not in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block


@given(st.text())
def test_safe_markdown_is_one_line_without_live_markup(text: str) -> None:
    out = safe(text)
    assert "\n" not in out
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`<*_]", out)


@given(st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.lists(inner)))
def test_embedded_json_cannot_leave_its_script(value: Any) -> None:
    text = str(embedded(value))
    assert not set("<>&") & set(text)
    assert json.loads(text) == value


def test_page_keeps_its_charts_small_and_whole(html: str) -> None:
    data = data_of(html)
    assert len(html) < 1_500_000
    assert [len(views) for views in data["cards"]] == [2, 1]
    assert HOSTILE in [model["model"] for model in data["models"]]
    first = data["cards"][0][0]
    shared = data["pool"][first["s"]]
    assert shared["axis"] == "params"
    assert first["data"]["points"]["k"] == [2, 2, 2, 0, 0, 0]  # no success: an upper limit
    assert first["data"]["zone"]["h"] == [0.01]  # 1/n
    assert data["cards"][0][1]["data"]["threshold"] == {"x": [2.4], "l": [2.2], "h": [3.06]}


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("panels", [1, 2])
def test_every_template_is_a_valid_specification(axis: str, panels: int) -> None:
    partner = "target_log_loss" if panels == 2 else None
    data = tables([verdict("task", "BREAK", axis, partner=partner, threshold=2.5)])
    (card,), models = made(data)
    chart = card.leading.chart
    assert chart.template == f"{axis}-{panels}"
    spec = fill(template(chart.template), chart.card(), models)
    altair.VConcatChart.from_dict(spec)
    assert len(spec["datasets"]["points"]) == len(SIZES)
    places = data["estimates"][axis].drop_nulls().unique().to_list()
    assert sorted({row["x"] for row in spec["datasets"]["points"]}) == pytest.approx(sorted(places))


def test_fitted_curve_is_drawn_through_the_points_of_its_power_law() -> None:
    data = tables([verdict("task", "METRIC_ARTEFACT")])
    (card,), models = made(data)
    smooth = rows(card.leading.chart.data["smooth"], models, "params")
    assert smooth[0]["y"] == pytest.approx(2.0, rel=1e-2)
    assert smooth[-1]["y"] == pytest.approx(2.0 * (SIZES[0] / SIZES[-1]) ** 0.2, rel=1e-2)


def test_a_curve_over_a_narrow_range_has_no_steps() -> None:
    line = np.linspace(0.5021, 0.5129, 60)
    drawn = _smoothly(line)
    assert len(set(drawn)) == 60
    assert np.abs(np.diff(drawn, 2)).max() < 1e-4
    assert _smoothly(np.array([0.5, np.nan, 12345.678])) == [0.5, None, 12350]
    assert _smoothly(np.array([0.25, 0.25])) == [0.25, 0.25]


def test_loss_axis_runs_from_high_to_low() -> None:
    spec = template("loss-1")
    assert spec["vconcat"][0]["encoding"]["x"]["scale"]["reverse"] is True
    assert template("params-1")["vconcat"][0]["encoding"]["x"]["scale"]["type"] == "log"


def test_runs_at_one_scale_are_rings_and_their_mean_carries_the_line() -> None:
    data = tables([verdict("task", "GRADUAL")])
    twice = data["estimates"].filter(pl.col("params") == SIZES[-1]).with_columns(
        pl.lit("again").alias("model"), (pl.col("value") + 0.2).alias("value")
    )  # fmt: skip
    data["estimates"] = pl.concat([data["estimates"], twice])
    (card,), models = made(data)
    spec = fill(template("params-2"), card.leading.chart.card(), models)
    rings = [row for row in spec["datasets"]["points"] if row["k"] == 1]
    assert sorted(row["m"] for row in rings) == ["again", "toy-5"]
    assert spec["datasets"]["means"][-1]["y"] == pytest.approx(0.4)


def test_figures_are_the_page_s_charts(tmp_path: Path) -> None:
    written = report(tables([verdict("task", "BREAK", threshold=1e9)]), MANIFEST, tmp_path)
    figures = [path for path in written if path.parent.name == "figures"]
    assert [path.suffix for path in figures] == [".png", ".svg"]
    for path in figures:
        assert path.read_bytes().startswith(FIGURES[path.suffix[1:]])
    assert "exact match" in figures[1].read_text(encoding="utf-8")


def test_figure_titles_hold_foreign_text_as_text() -> None:
    data = tables([verdict(TASK, "BREAK")])
    (card,), models = made(data)
    spec = json.loads(specification(card, card.leading.chart, models))
    assert spec["title"]["text"].endswith(TASK)


def test_lead_is_the_first_axis_that_could_be_judged() -> None:
    rows = [
        verdict("task", "BREAK", "flops"),
        verdict("task", "INCONCLUSIVE", "params", reason="no_power"),
        verdict("task", "GRADUAL", "loss"),
    ]
    (card,), _ = made(tables(rows))
    assert [view.row["axis"] for view in card.views] == ["params", "flops", "loss"]
    assert card.leading.row["axis"] == "flops"
    assert not card.agree


def test_break_and_loss_threshold_agree() -> None:
    rows = [verdict("task", "BREAK"), verdict("task", "LOSS_THRESHOLD", "loss")]
    (card,), _ = made(tables(rows))
    assert card.comparable
    assert card.agree


def test_summary_counts_what_looks_emergent_and_what_became_of_it() -> None:
    rows = [
        verdict("a", "BREAK"),
        verdict("b", "METRIC_ARTEFACT"),
        verdict("c", "METRIC_ARTEFACT"),
        verdict("d", "GRADUAL", apparent=False),
        verdict("d", "GRADUAL", apparent=False, inverse=True),
    ]
    data = tables(rows)
    text = " ".join(summary(made(data)[0], data))
    assert "4 series: 4 tasks of 1 family" in text
    assert "3 look emergent" in text
    assert "1 is a real break and 2 are artefacts of the metric" in text
    assert "Of the others, 1 improves gradually." in text
    assert "1 series falls with scale" in text


def test_where_none_looks_emergent_there_are_no_others() -> None:
    rows = [verdict(name, "GRADUAL", apparent=False) for name in "ab"]
    data = tables(rows)
    lines = summary(made(data)[0], data)
    assert "2 improve gradually." in lines


def test_one_value_is_no_range() -> None:
    data = tables()
    data["estimates"] = data["estimates"].with_columns(value=pl.lit(0.25))
    card = made(data)[0][0]
    assert card.leading.range == "0.25"


def test_nothing_judged_is_said_first_and_why() -> None:
    data = tables()
    data["verdicts"] = empty(Verdicts)
    data["models"] = data["models"].with_columns(params=None, tokens=None)
    lines = summary([], whole(data))
    assert lines[0] == "Nothing could be judged."
    assert "no axis along which" in lines[1]
    assert "--models" in lines[1]


def test_unknown_metrics_and_lost_answers_are_why_nothing_is_judged() -> None:
    data = whole(tables())
    data["verdicts"] = empty(Verdicts)
    unknown = data["estimates"].with_columns(metric=pl.lit("score"))
    lines = summary([], data | {"estimates": unknown})
    assert "No facts are known of score" in lines[1]
    assert "--columns metric==acc" in lines[1]
    one = data["estimates"]["model"].unique().sort()[-1]
    lost = data["estimates"].with_columns(
        value=pl.when(pl.col("model") != one).then("value").otherwise(None)
    )
    open_series = tables([verdict("task", "INCONCLUSIVE", reason="too_few_scales")])
    text = " ".join(summary(made(open_series)[0], data | {"estimates": lost}))
    assert "1 of 6 models has no score" in text


def test_open_series_alone_are_nothing_judged_too(tmp_path: Path) -> None:
    data = tables([verdict("task", "INCONCLUSIVE", reason="too_few_scales")])
    lines = summary(made(data)[0], data)
    assert lines[0] == "Nothing could be judged."
    assert "too few scales" in lines[1]


def test_report_of_empty_tables_says_so(tmp_path: Path) -> None:
    report({}, {}, tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Nothing could be judged." in html
    assert "The files hold no score" in html


def test_skipped_lists_scores_without_value_and_models_without_place() -> None:
    entries = {entry.why: entry for entry in skipped(whole(tables()))}
    assert entries["empty output"].amount == 1
    lost = next(entry for why, entry in entries.items() if "no place on any axis" in why)
    assert lost.what == "models lost"


def test_skipped_lists_families_that_make_no_series() -> None:
    data = whole(tables())
    place = {"params": None, "flops": None, "loss": None}
    lone = (
        pl.DataFrame(estimates("other", "lone"))
        .head(1)
        .with_columns(**{name: pl.lit(None) for name in place})
    )
    data["estimates"] = pl.concat([data["estimates"], conform(lone, Estimates)])
    (entry,) = (entry for entry in skipped(data) if entry.what == "lone: 1 task")
    assert "no axis" in entry.why


def test_skipped_counts_scores_off_the_link_scale_once() -> None:
    lost = ["toy-4", "toy-5"]
    rows = [verdict("t", "GRADUAL", axis, unplaced=lost) for axis in ("params", "flops")]
    entries = skipped(whole(tables([*rows, verdict("u", "GRADUAL", unplaced=lost[:1])])))
    (entry,) = [entry for entry in entries if "no place on the link scale" in entry.why]
    assert (entry.what, entry.amount) == ("target_log_loss: 2 tasks, 2 models", 3)


def test_evidence_reads_the_limits_of_the_rule() -> None:
    def reading(step: str, **changes: Any) -> str:
        steps = evidence(FIELDS | verdict("t", "BREAK") | changes)
        return next(f"{s.number} {s.reading}" for s in steps if s.step == step)

    assert reading("3", p_break=0.04).startswith("p = .040 yes")
    assert reading("3", p_break=0.05).startswith("p = .050 undecided")
    assert reading("3", p_break=0.2).startswith("p = .200 no")
    assert reading("6", p_sub=0.0249).startswith("p = .025 yes")
    assert reading("1", apparent=None) == "– could not be tested"


def test_the_card_names_the_models_off_the_link_scale(tmp_path: Path) -> None:
    lost = verdict("t", "METRIC_ARTEFACT", unplaced=["toy-4", "toy-5"])
    said = ("2 models", "toy-4, toy-5")
    assert said in [step[2:] for step in evidence(FIELDS | lost)]
    for place, row in enumerate((lost, verdict("t", "METRIC_ARTEFACT"))):
        report(tables([row]), MANIFEST, tmp_path / str(place), figures=False)
        for name in ("report.html", "report.md"):
            text = (tmp_path / str(place) / name).read_text(encoding="utf-8")
            assert ("Off the link scale, left out" in text) is (place == 0)
            assert (said[1] in text) is (place == 0)


FIELDS: dict[str, Any] = dict.fromkeys(conform(empty(Verdicts), Verdicts).columns)


def test_vocabulary_explains_every_verdict() -> None:
    assert set(VERDICTS) <= set(BY_NAME)
    assert len({word.symbol for word in WORDS}) == len({word.css for word in WORDS}) == len(WORDS)
    assert all(word.meaning and word.limit for word in WORDS)
    assert "never means that there is no break" in BY_NAME["BELOW_RESOLUTION"].limit
    assert "positive evidence" in BY_NAME["METRIC_ARTEFACT"].meaning


LINKED = sorted(metric.name for metric in METRICS if metric.link)


@pytest.mark.parametrize("name", LINKED)
def test_unlink_undoes_the_link_of_every_metric(name: str) -> None:
    metric = find(name)
    assert metric is not None
    low, high = (0.0 if metric.bounds[0] is None else metric.bounds[0]), metric.bounds[1]
    value = low + 0.4 * ((high - low) if high is not None else 5.0)
    value = value + 1.0 if metric.link == "perplexity" else value
    value = -2.0 if metric.better == "higher" and metric.link == "nll" else value
    chance = {"brier_sum": 0.75, "brier_mean": 0.1875}.get(str(metric.chance), math.nan)
    value = 0.8 * chance if metric.link == "brier" else value
    one = [np.array([number]) for number in (value, 1e-4, 1e12, 1e12, chance)]
    z = to_link(metric, Points(*one)).z
    inverse = unlink(metric, None if math.isnan(chance) else chance)
    assert inverse is not None
    assert inverse(z)[0] == pytest.approx(value, rel=1e-6)


def test_unknown_metric_has_no_inverse() -> None:
    assert unlink(None, None) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(0.0), "0"), (number(0.12345), "0.123"), (number(12345.6), "12,346"),
        (number(2.4e-7), "2.4 × 10⁻⁷"), (number(None), "–"), (number(math.nan), "–"),
        (probability(0.0004), "< .001"), (probability(0.04), ".040"), (probability(1.0), "1.000"),
        (scale(1.4e9, "params"), "1.4B"), (scale(1e21, "flops"), "10²¹"),
        (scale(2.2166, "loss"), "2.22"), (scale(None, "loss"), "–"),
    ],
)  # fmt: skip
def test_numbers_read_as_expected(text: str, expected: str) -> None:
    assert text == expected


@given(st.floats(1e-3, 1e24), st.floats(1.01, 1e9))
def test_log_ticks_lie_within_the_axis_and_stay_few(low: float, ratio: float) -> None:
    marks = log_ticks(low, low * ratio)
    assert all(low <= mark <= low * ratio for mark in marks)
    assert len(marks) <= 8
    assert marks == sorted(marks)


def test_loss_ticks_are_even() -> None:
    assert ticks("loss", 1.92, 3.08) == [2, 2.5, 3]


@given(st.text(), st.text())
def test_slugs_are_safe_file_names(family: str, task: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", slug(family, None, task))


def test_different_tasks_never_share_a_slug() -> None:
    assert slug("a", None, "x y") != slug("a", None, "x_y")


def test_spread_is_even_on_its_axis() -> None:
    assert spread(1.0, 100.0, 3, "params") == pytest.approx([1.0, 10.0, 100.0])
    assert spread(3.0, 2.0, 3, "loss") == pytest.approx([3.0, 2.5, 2.0])


def test_sparkline_spans_its_box() -> None:
    assert spark_path((0.0, 1.0)) == "M0 20L100 0"
    assert spark_path((1.0,)) == ""


def test_charts_share_what_is_the_same() -> None:
    data = tables([verdict("a", "BREAK"), verdict("b", "BREAK")])
    page_data = charts(*made(data))
    assert len(page_data["pool"]) == len(page_data["templates"]) == 1
    assert len(page_data["cards"]) == 2


def test_provenance_is_tolerant_and_complete() -> None:
    origin = provenance(MANIFEST)
    assert ("seed", "7") in origin.facts
    assert origin.inputs[0] == ("logs/a.jsonl", "1,234", "ab" * 32)
    assert created(MANIFEST) == "2026-01-02T03:04:05+00:00"
    assert notes({"example": True})
    assert notes({"notes": "synthetic"}) == ["synthetic"]
    assert not notes(MANIFEST)


def test_document_is_the_same_twice() -> None:
    data = whole(tables())
    own, _ = made(data)
    assert encoded(document(own, data, MANIFEST)) == encoded(document(own, data, MANIFEST))


def test_one_axis_is_not_called_an_order(tmp_path: Path) -> None:
    report(tables([verdict(TASK, "GRADUAL")]), {}, tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "parameters is the only axis" in html
    assert "in the order" not in html.partition('id="axes"')[2].partition('id="cards"')[0]


def test_a_rule_s_name_lies_on_top_of_the_data_on_a_white_seam() -> None:
    rows = pl.DataFrame({"x": [1.0, 2.0], "y": [0.4, 0.6]})
    drawn = panel(rows, Axis("x", "x"), Axis("y", "y"), "t", rules=[Rule(0.5, "half")])
    *_, names = drawn["layer"]
    assert [part["mark"].get("stroke") for part in names["layer"]] == ["white", None]
    assert all(part["mark"]["type"] == "text" for part in names["layer"])
