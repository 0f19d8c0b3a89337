"""Which column of a plain table plays which role: one table of synonyms, and the user's word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from saltus.errors import SaltusError, UnknownNameError

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "model": ("model", "model_name"),
    "task": ("task", "task_name"),
    "item": ("item", "item_id", "doc_id", "question_id"),
    "item_hash": ("item_hash", "doc_hash"),
    "prompt_hash": ("prompt_hash",),
    "sample": ("sample",),
    "cluster": ("cluster",),
    "filter": ("filter",),
    "output": ("output", "response"),
    "target": ("target",),
    "targets": ("targets",),
    "target_index": ("target_index",),
    "choice_logprobs": ("choice_logprobs",),
    "choice_bytes": ("choice_bytes",),
    "target_logprobs": ("target_logprobs",),
    "target_bytes": ("target_bytes",),
    "finish": ("finish", "finish_reason"),
    "chance": ("chance", "random_baseline"),
    "choices": ("n_options", "n_choices"),
    "metric": ("metric",),
    "value": ("value", "score"),
    "stderr": ("stderr",),
    "items": ("items", "n_items", "n_effective", "n"),
    "family": ("family", "model_family"),
    "params": ("params", "n_params", "num_params", "model_size"),
    "tokens": ("tokens", "n_tokens", "train_tokens", "pretraining_data_size"),
    "flops": ("flops", "train_flops", "flops_6nd"),
    "loss": ("loss",),
    "loss_name": ("loss_name",),
    "step": ("step",),
    "seed": ("seed",),
    "regime": ("regime",),
    "shots": ("shots", "num_fewshot"),
    "kind": ("kind",),
}
"""Role -> accepted column names, the first one found wins; compared without case and unit."""

SIZES = ("params", "tokens", "flops")
UNITS = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
MANY = ("task", "output", "value")
"""Roles that several columns may play together, named with commas or patterns such as `bbh_*`."""
STATED = ("metric",)
"""Roles that the user may state instead of naming a column: `metric==acc`."""

_BRACKET = re.compile(r"\(\s*([^()]+?)\s*\)\s*$")
_FACTOR = re.compile(r"^(.+?)\s*\*\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)$")


@dataclass(frozen=True)
class Column:
    """The column or columns of one role.

    Args:
        names: headers, in order.
        factor: by which the header's unit or the user multiplies the cells.
        mapped: the user named it.
    """

    names: tuple[str, ...]
    factor: float = 1.0
    mapped: bool = False

    @property
    def name(self) -> str:
        """The header, for roles that one column plays."""
        return self.names[0]


def check_mapping(columns: Mapping[str, str]) -> None:
    """Refuse roles that do not exist.

    Raises:
        UnknownNameError: with the nearest role names.
        SaltusError: a value is stated for a role that needs a column.
    """
    for role, name in columns.items():
        if role not in SYNONYMS:
            raise UnknownNameError("column role", role, SYNONYMS)
        if name.startswith("=") and role not in STATED:
            which = ", ".join(STATED)
            raise SaltusError(f"--columns {role}={name}: only {which} can be stated with ==")


def stated(columns: Mapping[str, str], role: str) -> str | None:
    """What the user stated for a role, instead of a column that plays it."""
    name = columns.get(role, "")
    return name[1:].strip() or None if name.startswith("=") else None


@lru_cache(maxsize=4096)
def plain(header: str) -> str:
    """A header in lower case, without unit in brackets and marks: `#Params (B)` is `params`."""
    return re.sub(r"[^0-9a-z]+", "_", _BRACKET.sub("", header.strip().lower())).strip("_")


def unit_of(header: str) -> float | None:
    """The unit that a header states: `(B)`, `(1E21)` or an ending such as `params_b`."""
    bracket = _BRACKET.search(header)
    if bracket is None:
        _, _, ending = header.lower().rpartition("_")
        return UNITS.get(ending) if "_" in header else None
    inside = bracket.group(1).lower()
    if inside in UNITS:
        return UNITS[inside]
    try:
        return float(inside)
    except ValueError:
        return None


def _bare(header: str, role: str) -> str:
    """The plain header, for sizes also without an ending that is a unit."""
    name = plain(header)
    if role in SIZES and name.rpartition("_")[2] in UNITS:
        return name.rpartition("_")[0]
    return name


def _column(header: str, role: str, mapped: bool) -> Column:
    factor = unit_of(header) if role in SIZES else None
    return Column((header,), factor or 1.0, mapped)


def _find(header: Iterable[str], name: str) -> str | None:
    names = list(header)
    if name in names:
        return name
    return next((n for n in names if n.lower() == name.strip().lower()), None)


def _mapped(header: tuple[str, ...], role: str, wanted: str) -> Column | None:
    if (found := _find(header, wanted)) is not None:
        return _column(found, role, True)
    if factor := _FACTOR.match(wanted):
        found = _find(header, factor.group(1))
        return None if found is None else Column((found,), float(factor.group(2)), True)
    if role in MANY and ("," in wanted or "*" in wanted):
        hits = [_matching(header, part.strip()) for part in wanted.split(",")]
        names = tuple(dict.fromkeys(name for found in hits for name in found))
        return Column(names, mapped=True) if all(hits) else None
    return None


def _matching(header: tuple[str, ...], part: str) -> list[str]:
    """The header of that name, or those that a pattern such as `bbh_*` fits."""
    found = _find(header, part)
    return [found] if found else [name for name in header if fnmatchcase(name, part)]


def resolve(header: tuple[str, ...], columns: Mapping[str, str]) -> dict[str, Column]:
    """Role -> column of this header; a mapped role is never looked up by synonym.

    Raises:
        SaltusError: two headers that differ only in unit or case play one role.
    """
    roles: dict[str, Column] = {}
    # a column that the user gave one role plays no other, but for the kind of the row
    taken = set(columns.values())
    for role, names in SYNONYMS.items():
        if role in columns:
            column = _mapped(header, role, columns[role])
        else:
            column = _by_synonym(header, role, names, set() if role == "kind" else taken)
        if column is not None:
            roles[role] = column
    return roles


def _by_synonym(
    header: tuple[str, ...], role: str, names: tuple[str, ...], taken: set[str]
) -> Column | None:
    for name in names:
        hits = [h for h in header if _bare(h, role) == name and h not in taken]
        if len(hits) > 1:
            raise SaltusError(
                f"the columns {', '.join(map(repr, hits))} could all be the role {role!r}; "
                f"say which one: --columns {role}=NAME"
            )
        if hits:
            return _column(hits[0], role, False)
    return None
