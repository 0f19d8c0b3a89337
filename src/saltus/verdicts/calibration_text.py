"""The calibration as a page of Markdown: error rates by truth, by scales, by items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import sqrt

import polars as pl

from saltus.verdicts.calibrate import MODES, POSSIBLE

SHORT = {"METRIC_ARTEFACT": "ARTEFACT", "INCONCLUSIVE": "INCONCL.", "NO_EVIDENCE": "NO_EV."}
TRUTHS = {"smooth": "smooth", "break": "broken", "none": "unchanging"}

ERROR_BARS = (
    (("BREAK",), "smooth", "<=", ".05"),
    (("BREAK", "METRIC_ARTEFACT"), "none", "<=", ".01"),
    (("METRIC_ARTEFACT",), "break", "<=", ".03"),
    (("NO_EVIDENCE",), "none", ">=", ".92"),
)
POWER_BARS = (  # world, mode, only at the largest number of scales, bar
    ("iii_step", "K", False, ".87"),
    ("ii_break", "K", False, ".70"),
    ("iii_flatrise", "K", False, ".33"),
    ("ii_break", "U", True, ".80"),
    ("iii_flatrise", "U", True, ".47"),
    ("iii_step", "U", True, ".70"),
)

INTRODUCTION = """\
# Calibration: how often the verdict is wrong

Synthetic families whose truth is known (`saltus.worlds`) are judged like a user's. A smooth
family must not be called BREAK, a broken one must not be called METRIC_ARTEFACT, and one
that does not change with scale must be called NO_EVIDENCE. In mode U the model noise is
unknown; in mode K it is given. Every cell of the design (world, scales S, items n, noise
tau) has its own families; each is judged in both modes. Binomial standard errors stand in
brackets, in units of the last digit.
"""


def markdown(
    table: pl.DataFrame, covered: pl.DataFrame | None = None, *, command: str | None = None
) -> str:
    """The tables of rates as Markdown.

    Args:
        table: what `calibrate` returned.
        covered: what `coverage` returned.
        command: the command that made them.
    """
    parts = [
        INTRODUCTION,
        f"Made by `{command}`.\n" if command else "",
        _design(table),
        "## What must hold\n",
        _bars(table, covered),
        "## Verdicts by world\n",
        *(_by_world(table, noise) for noise in MODES),
        "## By truth\n",
        _by_truth(table),
        "## Power and false alarms by scales and by items\n",
        _by_size(table, "scales", "S"),
        _by_size(table, "items", "n"),
        "## Worst cells\n",
        _worst(table),
        *([] if covered is None else ["## Interval of the threshold\n", _coverage(covered)]),
    ]
    return "\n".join(part for part in parts if part)


def _design(table: pl.DataFrame) -> str:
    values = {
        name: ", ".join(map(str, table[name].unique().sort().to_list()))
        for name in ("scales", "items", "tau")
    }
    replicates, audits = int(table["replicates"][0]), int(table["count"].sum())
    share = table.filter(noise=MODES[0]).group_by("truth").agg(_share("apparent"))
    seen = dict(share.iter_rows())
    return (
        f"S in {{{values['scales']}}}, n in {{{values['items']}}}, tau in {{{values['tau']}}},\n"
        f"{replicates} families per cell, {audits} audits in all.\n\n"
        "The pattern that is called emergence (absent in small models, present in the largest)\n"
        "shows in "
        + ", ".join(f"{seen[truth]:.3f} of the {name} families" for truth, name in _truths(seen))
        + ".\n"
    )


def _bars(table: pl.DataFrame, covered: pl.DataFrame | None) -> str:
    """The bars that the procedure was built to, each with the rate of its worst world."""
    rows = [
        [
            f"{' or '.join(SHORT.get(name, name) for name in verdicts)} given {TRUTHS[truth]}",
            noise,
            f"{sense} {bar}",
            _extreme(table.filter(truth=truth, noise=noise), verdicts, sense),
        ]
        for verdicts, truth, sense, bar in ERROR_BARS
        for noise in MODES
    ]
    rows += [
        [f"BREAK given {world}{where}", noise, f">= {bar}", _extreme(part, ("BREAK",), ">=")]
        for world, noise, largest, bar in POWER_BARS
        for where, part in [_power_part(table, world, noise, largest)]
    ]
    if covered is not None and covered.height:
        least = covered.sort("rate").row(0, named=True)
        rate = _rate(least["covered"], least["replicates"])
        rows.append(["coverage of the threshold", "U", ">= .90", f"{rate} {least['world']}"])
    shown = [row for row in rows if row[-1]]
    return _table(["bar, for every world", "mode", "bar", "worst world"], shown)


def _power_part(
    table: pl.DataFrame, world: str, noise: str, largest: bool
) -> tuple[str, pl.DataFrame]:
    """The audits of one world, all or those with the most scales, and how to say which."""
    part = table.filter(world=world, noise=noise)
    if not largest:
        return "", part
    most = max(table["scales"].to_list())
    return f", S={most}", part.filter(scales=most)


def _extreme(table: pl.DataFrame, verdicts: Sequence[str], sense: str) -> str:
    """The rate of the world that is nearest to breaking the bar, or nothing without one."""
    wanted = pl.col("count").filter(pl.col("verdict").is_in(verdicts)).sum().alias("hits")
    worlds = table.group_by("world").agg(wanted, pl.col("count").sum().alias("audits"))
    if worlds.is_empty():
        return ""
    order = worlds.sort(pl.col("hits") / pl.col("audits"), "world", descending=sense == "<=")
    world, hits, audits = order.row(0)
    return f"{_rate(hits, audits)} {world}"


def _truths(present: Iterable[str]) -> list[tuple[str, str]]:
    return [(truth, name) for truth, name in TRUTHS.items() if truth in set(present)]


def _share(column: str) -> pl.Expr:
    return (pl.col(column).sum() / pl.col("count").sum()).alias("share")


def _by_world(table: pl.DataFrame, noise: str) -> str:
    head = ["world", "truth", *(SHORT.get(name, name) for name in POSSIBLE), "audits"]
    rows = []
    for (world, truth), part in _groups(table.filter(noise=noise), "world", "truth"):
        cells = [_given(part, name) for name in POSSIBLE]
        rows.append([world, truth, *cells, str(part["count"].sum())])
    return f"Mode {noise}:\n\n" + _table(head, rows)


def _by_truth(table: pl.DataFrame) -> str:
    head = ["truth", "mode", *(SHORT.get(name, name) for name in POSSIBLE), "audits"]
    rows = []
    for (truth, noise), part in _groups(table, "truth", "noise"):
        cells = [_given(part, name) for name in POSSIBLE]
        rows.append([TRUTHS[truth], noise, *cells, str(part["count"].sum())])
    return _table(head, rows)


def _by_size(table: pl.DataFrame, column: str, symbol: str) -> str:
    """P(BREAK) of every world that breaks, and the errors, by the size of the design."""
    sizes = table[column].unique().sort().to_list()
    head = ["rate", "mode", *(f"{symbol}={size}" for size in sizes)]
    broken = table.filter(truth="break")
    lines = [
        (f"BREAK given {world}", broken.filter(world=world), "BREAK")
        for world in broken["world"].unique(maintain_order=True)
    ]
    lines += [
        (f"{SHORT.get(verdict, verdict)} given {TRUTHS[truth]}", table.filter(truth=truth), verdict)
        for verdict, truth in (
            ("BREAK", "smooth"), ("METRIC_ARTEFACT", "smooth"), ("METRIC_ARTEFACT", "break"),
            ("NO_EVIDENCE", "none"),
        )
    ]  # fmt: skip
    rows = [
        [
            name,
            noise,
            *(_given(part.filter(pl.col(column) == size, noise=noise), verdict) for size in sizes),
        ]
        for name, part, verdict in lines
        if part.height
        for noise in MODES
    ]
    return _table(head, rows)


def _given(part: pl.DataFrame, verdict: str) -> str:
    """How often these audits end in a verdict."""
    return _rate(int(part.filter(verdict=verdict)["count"].sum()), int(part["count"].sum()))


def _worst(table: pl.DataFrame) -> str:
    """The cells with the highest rates of the two errors that matter most."""
    head = ["error", "mode", "world", "S", "n", "tau", "rate"]
    rows = []
    for verdict, truth in (("BREAK", "smooth"), ("METRIC_ARTEFACT", "break")):
        cells = table.filter(verdict=verdict, truth=truth).sort("rate", descending=True)
        for noise in MODES:
            for row in cells.filter(noise=noise).head(3).iter_rows(named=True):
                place = [str(row[name]) for name in ("world", "scales", "items", "tau")]
                error = f"{SHORT.get(verdict, verdict)} given {TRUTHS[truth]}"
                rows.append([error, noise, *place, _rate(row["count"], row["replicates"])])
    return _table(head, rows)


def _coverage(covered: pl.DataFrame) -> str:
    """Coverage of the nominal 95 % interval of the threshold."""
    head = ["world", "S", "n", "tau", "coverage", "mean width / range", "families"]
    rows = [
        [
            *(str(row[name]) for name in ("world", "scales", "items", "tau")),
            _rate(row["covered"], row["replicates"]),
            f"{row['width']:.3f}",
            str(row["replicates"]),
        ]
        for row in covered.iter_rows(named=True)
    ]
    words = "Nominal 95 %, mode U; made for every family, whether or not a break is found.\n\n"
    return words + _table(head, rows)


def _groups(table: pl.DataFrame, *keys: str) -> Iterable[tuple[tuple[str, ...], pl.DataFrame]]:
    return table.partition_by(*keys, as_dict=True, maintain_order=True).items()


def _rate(count: int, audits: int) -> str:
    """`.031(4)`: the rate and the standard error of its last digit."""
    if not audits:
        return "–"
    rate = count / audits
    error = round(1000 * sqrt(rate * (1 - rate) / audits))
    return f"{rate:.3f}({error})".removeprefix("0")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
