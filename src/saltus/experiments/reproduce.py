"""Run experiments into a folder: figures, tables, manifests, and one page for all.

DIR/index.html, index.md, manifest.json     the page of everything in the folder
DIR/NAME/                                    figures, tables, result.json, manifest.json
DIR/trained/PRESET/FAMILY/                   audit folder of a family trained for them
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import process_time
from typing import Any

import polars as pl

from saltus import store
from saltus.errors import SaltusError, StoreError, UnknownNameError
from saltus.experiments.experiment import EXPERIMENTS, PRESETS, Context, Experiment, Outcome
from saltus.experiments.trained import TrainedFamilies
from saltus.report.plates import Plate, write_index, write_plate

Progress = Callable[[str, float | None], None]
LIBRARIES = ("numpy", "scipy", "polars", "altair", "vl-convert-python", "torch")


def reproduce(
    names: Sequence[str],
    out: Path,
    *,
    preset: str = "smoke",
    seed: int = 0,
    trained: Path | None = None,
    responses: Sequence[Path] = (),
    data: Path | None = None,
    download: bool = False,
    command: str = "",
    progress: Progress = lambda name, share: None,
) -> pl.DataFrame:
    """Run experiments and write their page.

    Args:
        names: of experiments; none, or "all", for every one.
        out: folder; experiments already in it stay on the page.
        preset: smoke, paper or full: how much is drawn and trained.
        seed: of everything random.
        trained: folder whose subfolders are audit folders of trained families; those are not
            trained again.
        responses: audit folders with answers or scores of the user's own families.
        data: folder with the pictures that vision families learn from; without it those
            figures are left out of "all".
        download: fetch the pictures there where they are not.
        command: recorded in the manifests.
        progress: called with an experiment's name and the share of it that is done.

    Returns:
        One row per experiment: checks that hold, verdict, CPU seconds, folder.

    Raises:
        SaltusError: an unknown experiment or preset, a folder that cannot be used, or a
            family that cannot be trained here.
    """
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    chosen = [EXPERIMENTS[name] for name in _names(names)]
    for folder in responses:
        store.load_manifest(folder)
    families = TrainedFamilies(out / "trained", preset, trained, command, progress, data, download)
    families.check({family for entry in chosen for family in entry.families})
    lacking = {entry.name: families.lacking(entry.families) for entry in chosen}
    left_out = {name: why for name, why in lacking.items() if why is not None}
    for name, why in left_out.items():
        if name in names:
            raise SaltusError(f"{name}: {why}")
    _check(out)
    manifest = _manifest(command, preset, seed)
    rows = []
    for entry in chosen:
        if entry.name in left_out:
            rows.append(_left_out(entry, left_out[entry.name]))
            continue
        progress(entry.name, 0.0)
        context = Context(entry.name, preset, seed, families.folder, tuple(responses))
        rows.append(_run(entry, context, out, manifest))
        progress(entry.name, 1.0)
    store.save_manifest(out, manifest | {"inputs": _inputs_of(out), "stages": {}})
    write_index(out, [entry.name for entry in EXPERIMENTS], manifest | {"inputs": _inputs_of(out)})
    return pl.DataFrame(rows)


def _left_out(entry: Experiment, why: str) -> dict[str, Any]:
    """The row of an experiment whose pictures are not there."""
    nothing = {"checks": "left out", "cpu_seconds": 0.0, "folder": ""}
    return {"experiment": entry.name, "verdict": why} | nothing


def _names(names: Sequence[str]) -> list[str]:
    if not names or "all" in names:
        return [entry.name for entry in EXPERIMENTS]
    return list(dict.fromkeys(names))


def _check(out: Path) -> None:
    """Only a new folder, or one that an earlier run made, is written into."""
    if out.is_file():
        raise StoreError(f"{out} is a file; name a folder for the figures")
    if out.is_dir() and any(out.iterdir()):
        known = {"trained", *(entry.name for entry in EXPERIMENTS)}
        names = {path.name for path in out.iterdir() if not path.name.startswith(".")}
        if not names <= known | {"index.html", "index.md", store.MANIFEST}:
            raise StoreError(
                f"{out} holds other things than figures; name another folder, nothing was written"
            )
    out.mkdir(parents=True, exist_ok=True)


def _run(
    entry: Experiment, context: Context, out: Path, manifest: Mapping[str, Any]
) -> dict[str, Any]:
    """One experiment into its folder, which changes as a whole."""
    start = process_time()
    outcome = entry.function(context)
    plate = Plate(_words(entry, outcome), outcome.figures, outcome.sheets)
    with store.draft_of(out / entry.name) as draft:
        store.discard(draft, *(path.name for path in draft.iterdir()))
        files = write_plate(plate, draft)
        whole = {
            **manifest,
            "experiment": entry.name,
            "inputs": [_input(path) for path in outcome.inputs],
            "files": {
                str(path.relative_to(draft)): store.sha256(path)
                for path in sorted(files)
            },
            "stages": {},
        }  # fmt: skip
        store.save_manifest(draft, whole)
    held = sum(check.holds is True for check in outcome.checks)
    return {
        "experiment": entry.name,
        "checks": f"{held} of {len(outcome.checks)}",
        "verdict": outcome.verdict,
        "cpu_seconds": round(process_time() - start, 1),
        "folder": str(out / entry.name),
    }


def _words(entry: Experiment, outcome: Outcome) -> dict[str, Any]:
    return {
        "name": entry.name,
        "title": entry.title,
        "claim": entry.claim,
        "expected": entry.expected,
        "source": entry.source,
        "errors": [error._asdict() for error in entry.errors],
        "shown": list(outcome.shown),
        "checks": [check._asdict() for check in outcome.checks],
        "verdict": outcome.verdict,
    }


def _manifest(command: str, preset: str, seed: int) -> dict[str, Any]:
    made = store.new_manifest() | {"command": command, "preset": preset, "seed": seed}
    return made | {"versions": {name: found for name in LIBRARIES if (found := _version(name))}}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _input(path: Path) -> dict[str, Any]:
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": store.sha256(path)}


def _inputs_of(out: Path) -> list[dict[str, Any]]:
    """The inputs of all experiments in a folder, each once."""
    found: dict[str, dict[str, Any]] = {}
    for entry in EXPERIMENTS:
        path = out / entry.name / store.MANIFEST
        if path.is_file():
            try:
                inputs = json.loads(path.read_text(encoding="utf-8"))["inputs"]
            except (ValueError, KeyError) as fault:
                raise SaltusError(f"{path} cannot be read: {fault}; delete {path.parent}") from None
            found |= {one["path"]: one for one in inputs}
    return [found[name] for name in sorted(found)]
