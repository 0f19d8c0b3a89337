"""What each step of the procedure asked, the number it got and how that reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from saltus.report.text import NOTHING, count, number, present, probability, scale, several
from saltus.verdicts.rates import rates_for

Row = Mapping[str, Any]
MANY = 10_000_000  # nobody can ask so many items, and a fit far off its data gives such numbers


class Evidence(NamedTuple):
    """One step of one verdict.

    Args:
        step: number of the step in the procedure; empty for the design itself.
        question: what was asked.
        number: what came out.
        reading: how that reads, in a few words; empty where nothing was tested.
    """

    step: str
    question: str
    number: str
    reading: str


def evidence(row: Row) -> list[Evidence]:
    """The evidence behind one row of `Verdicts`, step by step."""
    return [make(row) for make in STEPS]


def _design(row: Row) -> Evidence:
    items = "no whole counts" if row["items"] is None else several(row["items"], "item")
    noise = {"K": "noise measured", "U": "noise from scatter"}.get(row["noise"], "")
    return Evidence("", "Design", several(row["scales"], "scale"), _join(items, noise))


def _unplaced(row: Row) -> Evidence:
    """Models whose continuous score lies at an end of its range, off the scale of the tests."""
    lost = row["unplaced"] or []
    shown = several(len(lost), "model") if lost else NOTHING
    return Evidence("", "Off the link scale, left out", shown, ", ".join(lost))


def _apparent(row: Row) -> Evidence:
    question = "Flat near the floor, then well above?"
    if row["apparent"] is None:
        return Evidence("1", question, NOTHING, "could not be tested")
    near = f"{row['near_floor']} of {row['scales']} scales near the floor"
    floor = "" if row["near_floor"] is None else near
    return Evidence("1", question, "yes" if row["apparent"] else "no", floor)


def _change(row: Row) -> Evidence:
    p = row["p_change"]
    reading = _read(p, ((0.05, "yes"), (2, "no change seen")))
    return Evidence("2", "Changes with scale?", _p(p), reading)


def _break(row: Row) -> Evidence:
    p = row["p_break"]
    reading = _read(
        p, ((0.04 + 1e-12, "yes, all are"), (0.2, "undecided"), (2, "no, a smooth curve fits"))
    )
    worst = max(row["p_smooth"] or [], key=lambda entry: entry["p"] or 0, default=None)
    name = (
        f"largest p of {len(row['p_smooth'])}: {str(worst['curve']).replace('_', ' ')}"
        if worst and present(p)
        else ""
    )
    return Evidence("3", "Every smooth curve rejected?", _p(p), _join(reading, name))


def _extrapolation(row: Row) -> Evidence:
    question = "Above what smaller scales predict?"
    return _yes_no("4", question, row["beyond_extrapolation"], "")


def _material(row: Row) -> Evidence:
    gain = f"gain {number(row['gain'], 2)}" if present(row["gain"]) else ""
    return _yes_no("5", "Gain over that at least .10?", row["material"], gain)


def _below(row: Row) -> Evidence:
    p = row["p_sub"]
    reading = _read(p, ((0.025, "yes, while unseen"), (2, "not shown")))
    question = "Improves below the threshold?"
    return Evidence("6", question, _p(p), reading)


def _deviance(row: Row) -> Evidence:
    p = row["p_deviance"]
    reading = _read(p, ((0.05, "smooth curve rejected"), (2, "compatible with smooth")))
    return Evidence("6", "Do the counts allow a smooth curve?", _p(p), reading)


def _threshold(row: Row) -> Evidence:
    axis = row["axis"]
    if row["threshold"] is None:
        return Evidence("", "Where is the break?", NOTHING, "")
    return Evidence("", "Where is the break?", scale(row["threshold"], axis), _interval(row))


def _interval(row: Row) -> str:
    """The interval of the threshold, open ends said in words."""
    low, high = (row[name] for name in ("threshold_low", "threshold_high"))
    shown_low, shown_high = scale(low, row["axis"]), scale(high, row["axis"])
    if low is None and high is None:
        return "interval open at both ends"
    if low is None:
        return f"95 %: up to {shown_high}"
    return f"95 %: from {shown_low}" if high is None else f"95 %: {shown_low} to {shown_high}"


def _needed(row: Row) -> Evidence:
    needed = row["items_needed"]
    items = count(needed) if needed is None or needed <= MANY else "over 10 million"
    return Evidence("", "Items that would resolve it", items, "")


def _detectable(row: Row) -> Evidence:
    rise = number(row["detectable_change"], 2)
    return Evidence("", "Smallest rise it could see", rise, "")


def _corrected(row: Row) -> Evidence:
    """Only a break has to stand against the number of tests."""
    question = "Survives the number of tests?"
    p = row["p_break_adjusted"] if row["verdict"] in ("BREAK", "LOSS_THRESHOLD") else None
    reading = _read(p, ((0.05, "yes, after Benjamini-Yekutieli"), (2, "no: one of many")))
    return Evidence("3", question, _p(p), reading)


def _simulated(row: Row) -> Evidence:
    """Error rates of the verdict in simulated families of this design."""
    question = "In simulated families like this"
    found = rates_for(row["scales"], row["items"], row["noise"] or "") if row["partner"] else None
    if found is None:
        return Evidence("", question, NOTHING, "")
    false, power = found.break_smooth, found.break_break
    lost = found.artefact_break
    return Evidence(
        "",
        question,
        f"{100 * false.rate:.1f} % false breaks",
        f"{100 * power.rate:.0f} % of breaks found, {100 * lost.rate:.1f} % called artefacts",
    )


STEPS: tuple[Callable[[Row], Evidence], ...] = (
    _design,
    _unplaced,
    _apparent,
    _change,
    _break,
    _corrected,
    _extrapolation,
    _material,
    _below,
    _deviance,
    _threshold,
    _needed,
    _detectable,
    _simulated,
)


def _p(value: float | None) -> str:
    if not present(value):
        return NOTHING
    shown = probability(value)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def _read(value: float | None, limits: tuple[tuple[float, str], ...]) -> str:
    """The reading of the first limit that the value lies below."""
    if value is None or not present(value):
        return ""
    return next(reading for limit, reading in limits if value < limit)


def _yes_no(step: str, question: str, answer: bool | None, detail: str) -> Evidence:
    shown = {None: NOTHING, True: "yes", False: "no"}[answer]
    return Evidence(step, question, shown, detail)


def _join(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
