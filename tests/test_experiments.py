"""Laws over the experiments, and golden numbers of the figures that need no training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rapidfuzz.distance import Levenshtein

from saltus import store
from saltus.errors import SaltusError, StoreError, UnknownNameError
from saltus.experiments import EXPERIMENTS, Context, Experiment, Outcome, judged
from saltus.experiments import fig2 as fig2_module
from saltus.experiments.answers import answers_of, scored
from saltus.experiments.errata import ERRATA
from saltus.experiments.reproduce import reproduce
from saltus.metrics.metric import Metric
from saltus.pipeline import read
from saltus.verdicts import survey
from saltus.worlds.paper import token_loss, token_probability
from trained_families import trained_family

# families that tests/trained_families.py can draw
DRAWN = {"multiplication": False, "addition": True}
TRIED = [entry for entry in EXPERIMENTS if set(entry.families) <= DRAWN.keys()]
every = pytest.mark.parametrize("entry", list(EXPERIMENTS), ids=lambda entry: entry.name)
tried = pytest.mark.parametrize("entry", TRIED, ids=lambda entry: entry.name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of families as `saltus train` leaves them."""
    folder = tmp_path_factory.mktemp("trained")
    for name, broken in DRAWN.items():
        trained_family(folder, name, broken=broken, items=80)
    return folder


@pytest.fixture(scope="module")
def outcomes(trained: Path) -> Iterator[dict[str, Outcome]]:
    """Every experiment on drawn families, run once, with few resamples and classes as stated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judged, "RESAMPLES", 99)
        patch.setattr(survey, "class_of", stated_class)
        yield {
            entry.name: entry.function(Context(entry.name, "smoke", 0, trained.joinpath))
            for entry in TRIED
        }


def stated_class(metric: Metric | None) -> str | None:
    """Measuring the class of each metric takes ten seconds and has tests of its own."""
    hard = metric is not None and metric.reaction == "thresholded"
    return None if metric is None else "thresholded" if hard else "linear"


@every
def test_states_its_claim_and_what_must_show(entry: Experiment) -> None:
    for text in (entry.title, entry.claim, entry.expected, entry.source):
        assert text
    assert entry.claim.endswith(".")
    assert entry.expected.endswith(".")


@every
def test_names_errors_of_the_paper_that_exist(entry: Experiment) -> None:
    assert set(entry.errors) <= set(ERRATA.values())


def test_the_list_of_errors_is_whole() -> None:
    assert sorted(ERRATA) == list(range(1, 23))


@tried
def test_shows_figures_sentences_checks_and_a_verdict(
    entry: Experiment, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[entry.name]
    assert outcome.figures
    assert outcome.shown
    assert outcome.checks
    assert outcome.verdict.endswith(".")
    names = [figure.name for figure in outcome.figures]
    names += [sheet.name for sheet in outcome.sheets]
    assert len(set(names)) == len(names)
    assert all(figure.caption.endswith(".") for figure in outcome.figures)


@tried
def test_nothing_that_is_shown_holds_a_nan(entry: Experiment, outcomes: dict[str, Outcome]) -> None:
    for figure in outcomes[entry.name].figures:
        json.dumps(figure.panels, allow_nan=False)
    text = " ".join(outcomes[entry.name].shown)
    assert "nan" not in text.lower().split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("figures") / "out"
    reproduce(["fig9"], out, seed=3, command="saltus reproduce fig9")
    return out


def test_writes_figures_tables_and_one_page(folder: Path) -> None:
    names = {path.name for path in (folder / "fig9").iterdir()}
    assert {"fig9.png", "fig9.svg", "curves.csv", "result.json", "manifest.json"} <= names
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "Fig. 9" in page
    assert "Error in the paper" in page
    assert 'src="http' not in page


def test_the_manifest_says_how_to_make_it_again(folder: Path) -> None:
    manifest = json.loads((folder / "fig9" / "manifest.json").read_text())
    assert manifest["seed"] == 3
    assert manifest["preset"] == "smoke"
    assert manifest["experiment"] == "fig9"
    assert {"numpy", "polars", "altair"} <= manifest["versions"].keys()
    for name, digest in manifest["files"].items():
        assert store.sha256(folder / "fig9" / name) == digest


def test_the_same_seed_makes_the_same_files(folder: Path, tmp_path: Path) -> None:
    reproduce(["fig9"], tmp_path / "again", seed=3)
    files = json.loads((folder / "fig9" / "manifest.json").read_text())["files"]
    again = json.loads((tmp_path / "again" / "fig9" / "manifest.json").read_text())["files"]
    assert again == files


def test_a_later_run_keeps_the_earlier_experiments(folder: Path) -> None:
    before = (folder / "fig9" / "manifest.json").read_text()
    reproduce(["fig9"], folder, seed=3, command="saltus reproduce fig9")
    assert (folder / "fig9" / "manifest.json").read_text() == before


def test_refuses_a_folder_that_holds_other_things(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("words")
    with pytest.raises(StoreError, match="name another folder"):
        reproduce(["fig9"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_unknown_names_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no experiment named 'fig99'; did you mean"):
        reproduce(["fig99"], tmp_path)
    with pytest.raises(UnknownNameError, match="no preset named 'huge'"):
        reproduce(["fig9"], tmp_path, preset="huge")


def test_fig2_has_the_numbers_of_the_specification() -> None:
    # science.md 1.1, c_0 = 1e8 and alpha = -0.3, computed independently there
    values = fig2_module._values()
    by_params = {round(np.log10(row["params"])): row for row in values.iter_rows(named=True)}
    assert by_params[7]["probability"] == pytest.approx(0.135978, abs=1e-6)
    assert by_params[9]["accuracy_4"] == pytest.approx(0.134694, abs=1e-6)
    assert by_params[10]["edits_5"] == pytest.approx(1.110622, abs=1e-6)
    assert by_params[12]["brier_sum"] == pytest.approx(0.007478, abs=1e-6)
    assert [by_params[power]["grade"] for power in (8, 9)] == [0, 1]


def test_fig2_a_longer_target_moves_the_curve_and_does_not_steepen_it() -> None:
    p = token_probability(token_loss(fig2_module.GRID, 1e8, -0.3))
    slopes = [fig2_module._steepest(p, length) for length in (1, 5)]
    # d/dx of exp(-exp(-u)) is largest at u = 0, where it is 1/e
    assert slopes == pytest.approx([0.3 * np.log(10) / np.e] * 2, rel=2e-3)


def test_fig9_has_the_numbers_of_the_specification(outcomes: dict[str, Outcome]) -> None:
    # science.md 1.8: e = 0, .05, .1, .2, .4 -> 1, .951, .899, .800, .601 (400 draws)
    rows = outcomes["fig9"].sheets[0].frame
    rouge = dict(rows.filter(metric="ROUGE-L-Sum").select("error", "value").iter_rows())
    expected = {0.0: 1.0, 0.05: 0.951, 0.1: 0.899, 0.2: 0.800, 0.4: 0.601}
    assert {e: rouge[e] for e in expected} == pytest.approx(expected, abs=0.02)


def test_a_smooth_family_is_an_artefact_and_a_broken_one_a_break(
    outcomes: dict[str, Outcome],
) -> None:
    verdicts = outcomes["fig3"].sheets[0].frame
    seeds = verdicts.filter(verdicts["seed"].is_not_null())
    smooth, broken = (seeds.filter(family=name)["verdict"].to_list() for name in DRAWN)
    assert "BREAK" not in smooth
    assert set(broken) == {"BREAK"}


def test_fig3_scores_are_those_of_a_plain_loop(trained: Path) -> None:
    (answers,) = answers_of(trained / "multiplication")
    table = scored(answers, 2)
    row = table.row(5, named=True)
    texts = answers.responses.filter(model=row["model"]).select("output", "targets").rows()
    right = [output[:2] == targets[0][:2] for output, targets in texts]
    edits = [Levenshtein.distance(output[:2], targets[0][:2]) for output, targets in texts]
    assert row["accuracy"] == pytest.approx(np.mean(right))
    assert row["edits"] == pytest.approx(np.mean(edits))


def test_fig4_never_places_a_run_without_success(outcomes: dict[str, Outcome]) -> None:
    values = outcomes["fig4"].sheets[0].frame
    assert values.filter(successes=0).height > 0
    drawn = json.dumps(outcomes["fig4"].figures[0].panels)
    assert '"accuracy": 0.0,' not in drawn


def test_predictions_are_those_of_a_plain_loop(trained: Path, outcomes: dict[str, Outcome]) -> None:
    (answers,) = answers_of(trained / "multiplication")
    row = (
        outcomes["predictions"].sheets[0].frame.filter(family="multiplication").row(-3, named=True)
    )
    texts = answers.responses.filter(model=row["model"]).select("output", "targets").rows()
    exact = np.mean([output == targets[0] for output, targets in texts])
    positions = [
        np.mean([output[place] == targets[0][place] for output, targets in texts])
        for place in range(4)
    ]
    ratios = (
        outcomes["predictions"].sheets[0].frame.filter(model=row["model"], source="greedy answers")
    )
    found = dict(ratios.select("prediction", "ratio").iter_rows())
    assert found["(mean p)^L"] == pytest.approx(np.mean(positions) ** 4 / exact)
    assert found["product over positions"] == pytest.approx(np.prod(positions) / exact)


def test_the_interval_of_a_ratio_holds_the_ratio(outcomes: dict[str, Outcome]) -> None:
    rows = outcomes["predictions"].sheets[0].frame.drop_nulls(["ratio", "low"])
    assert rows.height > 50
    inside = (rows["low"] <= rows["ratio"]) & (rows["ratio"] <= rows["high"])
    assert inside.all()


def test_a_family_of_one_curve_is_not_split_by_size(outcomes: dict[str, Outcome]) -> None:
    tests = outcomes["loss"].sheets[0].frame.filter(family="multiplication")
    assert tests["status"].to_list() == ["tested"]
    assert tests["p_runs"][0] > 0.05  # drawn from the loss alone


def test_calibration_alone_never_passes_for_ability(outcomes: dict[str, Outcome]) -> None:
    assert all(check.holds for check in outcomes["fig6"].checks)


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A served family of the user's: products of unequal length, no seeds, no losses."""
    rng = np.random.default_rng(1)
    products = rng.integers(2, 12, 120) * rng.integers(2, 12, 120)
    rows = [
        {"model": f"lm-{size}", "family": "lm", "params": size, "task": "times",
         "item": f"{item}", "target": f"{product}",
         "output": f"{product if rng.random() < place / 6 else product + 1}"}
        for place, size in enumerate((1e8, 4e8, 1e9, 4e9, 1e10, 4e10))
        for item, product in enumerate(products)
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("own")
    (folder / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)))
    read(folder / "answers.jsonl", folder / "audit")
    return folder / "audit"


@pytest.mark.parametrize("name", ["fig3", "fig4", "predictions", "loss"])
def test_a_users_folder_is_shown_beside_the_trained_families(
    name: str, own_folder: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judged, "RESAMPLES", 49)
    monkeypatch.setattr(survey, "class_of", stated_class)
    outcome = EXPERIMENTS[name].function(Context(name, "smoke", 0, trained.joinpath, (own_folder,)))
    shown = " ".join([*outcome.shown, *(figure.caption for figure in outcome.figures)])
    if name in ("fig3", "fig4"):
        assert "lm: " in shown
    assert {path.parent for path in outcome.inputs} >= {own_folder}


def test_a_family_that_nobody_trained_is_trained_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SaltusError, match=r"pip install 'saltus\[train\]'"):
        reproduce(["fig2", "fig3"], tmp_path / "out", trained=tmp_path)
    assert not (tmp_path / "out").exists()
