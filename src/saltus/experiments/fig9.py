"""Fig. 9: ROUGE-L-Sum against the error probability per token, computed and not assumed."""

from __future__ import annotations

import numpy as np
import polars as pl

from saltus.experiments.experiment import PAPER, Check, Context, Outcome, experiment
from saltus.metrics.metric import METRICS
from saltus.report.plates import Figure, Sheet
from saltus.report.plots import Axis, Style, panel

SENTENCES, WORDS, VOCABULARY = 3, 20, 1000
ERRORS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
NAMES = {"rougeLsum_f": "ROUGE-L-Sum", "rouge2_f": "ROUGE-2", "exact_match": "exact match"}
SCORE = Axis("value", "score", domain=(0.0, 1.0))
LINEAR = 0.1  # nonlinearity index up to which a metric counts as linear


@experiment(
    title="Fig. 9: ROUGE-L-Sum",
    claim="As the error probability per token rises slightly, such as from 0.05 to 0.1, "
    "ROUGE-L-Sum falls sharply.",
    expected="A computed curve, not a confirmation: ROUGE-L-Sum is 1 - e, a straight line, and "
    "falls from 0.951 to 0.899 where the paper sees a sharp fall.",
    source=f"{PAPER}, App. A.4",
    errors=(16, 17),
)
def fig9(context: Context) -> Outcome:
    """Texts with substituted words, scored as `rouge_score` scores them."""
    draws = context.pick(400, 2000)
    rows = pl.DataFrame([row for e in ERRORS for row in _scored(context, e, draws)])
    rouge = rows.filter(pl.col("metric") == NAMES["rougeLsum_f"])
    value = dict(rouge.select("error", "value").iter_rows())
    bend = _nonlinearity(rouge)
    near = rows.filter(pl.col("error") <= 0.2)
    axis = Axis("error", "error probability per token")
    style = Style(group="metric", low="low", high="high")
    sharp = value[0.05] - value[0.1]
    return Outcome(
        figures=[
            Figure("fig9", f"{SENTENCES} sentences of {WORDS} words from a vocabulary of "
                   f"{VOCABULARY:,}, every word replaced with probability e; mean of {draws:,} "
                   "texts with its 95 % interval.",
                   [panel(rows, axis, SCORE, "A  Whole range", style),
                    panel(near, axis, SCORE, "B  Where the paper looks", style)],
                   columns=2)
        ],
        sheets=[Sheet("curves", "Scores against the error probability", rows)],
        shown=[
            f"ROUGE-L-Sum falls from {value[0.05]:.3f} at e = 0.05 to {value[0.1]:.3f} at e = 0.1, "
            f"a fall of {sharp:.3f} for 0.05 more errors.",
            f"Its nonlinearity index is {bend:.3f} (0 is a straight line; exact match on the same "
            f"texts has {_nonlinearity(_metric(rows, 'exact_match')):.3f}).",
            "The sharp fall of the paper is not reproduced with the definition of Lin (2004) as "
            "`rouge_score` implements it.",
        ],
        checks=[
            Check("ROUGE-L-Sum is linear in e: its nonlinearity index is at most 0.1",
                  bend <= LINEAR, f"index {bend:.3f}"),
            Check("it equals 1 - e within 0.03 for e up to 0.4", bool(max(
                abs(value[e] - 1 + e) for e in ERRORS if e <= 0.4) <= 0.03),
                f"0.05: {value[0.05]:.3f}, 0.1: {value[0.1]:.3f}, 0.4: {value[0.4]:.3f}"),
            Check("the paper's sharp fall between 0.05 and 0.1: more than twice the fall of a "
                  "straight line", sharp > 0.1, f"fall {sharp:.3f} against 0.050"),
        ],
        verdict="ROUGE-L-Sum is linear in the error probability, so a jump under it would not "
        "be a metric artefact." if bend <= LINEAR
        else "ROUGE-L-Sum is not linear in the error probability here.",
    )  # fmt: skip


def _metric(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    return rows.filter(pl.col("metric") == NAMES[name])


def _scored(context: Context, error: float, draws: int) -> list[dict[str, object]]:
    """Mean of each metric over the texts at one error probability, with a 95 % interval."""
    outputs, targets = _texts(context.rng(f"texts/{error}"), error, draws)
    found = []
    for name, title in NAMES.items():
        values = METRICS[name].compute(outputs, [[t] for t in targets]).value
        mean, margin = values.mean(), 1.96 * values.std(ddof=1) / np.sqrt(draws)
        found.append({"metric": title, "error": error, "value": float(mean),
                      "low": float(mean - margin), "high": float(mean + margin),
                      "texts": draws})  # fmt: skip
    return found


def _texts(rng: np.random.Generator, error: float, draws: int) -> tuple[list[str], list[str]]:
    shape = (draws, SENTENCES, WORDS)
    words = rng.integers(VOCABULARY, size=shape)
    # another word than the right one, each equally likely
    other = (words + rng.integers(1, VOCABULARY, size=shape)) % VOCABULARY
    wrong = np.where(rng.random(shape) < error, other, words)
    return _written(wrong), _written(words)


def _written(words: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> list[str]:
    return ["\n".join(" ".join(f"w{word}" for word in line) for line in text) for text in words]


def _nonlinearity(rows: pl.DataFrame) -> float:
    """Largest distance from the straight line between the ends, both ends scaled to 1 and 0."""
    e, value = rows["error"].to_numpy(), rows["value"].to_numpy()
    scaled = (value - value[-1]) / (value[0] - value[-1])
    return float(np.abs(scaled - (1 - e / e[-1])).max())
