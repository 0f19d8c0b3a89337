"""What `saltus run` writes, line by line, and how the parts of an answer become one row.

A folder of a run holds `run.json` and one file of JSON lines per model and task under
`answers/`. Such a file begins with a `Start`; every other line is a `Part`: the reply to one
request, appended when it came. An answer has several where its target or its choices were
scored as well; the last one is marked and carries what the item says. A part that failed says
why and is asked again by the next run; it counts only as long as no reply follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from saltus.readers.facts import label

FORMAT = 1
TEXT, TARGET, CHOICE = "text", "target", "choice"
"""Names of parts; a choice has its number behind it."""


class Start(msgspec.Struct, omit_defaults=True):
    """First line of a file: whose answers, to what, and how they were asked for.

    Args:
        saltus_answers: format of the file.
        model: name of the model.
        task: name of the task.
        regime: how the model was asked.
        source: where the answers come from.
        target: how log-probabilities of a given text were got.
        asked: what decides an answer beside the item.
        chance: exact match of a uniform guess.
        step: training step of a checkpoint.
        seed: training seed.
    """

    saltus_answers: int
    model: str
    task: str
    regime: str
    source: str
    target: str
    asked: dict[str, Any]
    chance: float | None = None
    step: int | None = None
    seed: int | None = None

    def place(self) -> dict[str, Any]:
        """The model's columns in `models`, without facts."""
        return {
            "model": label(self.model, self.step, self.seed, self.regime),
            "model_name": self.model,
            "step": self.step,
            "seed": self.seed,
            "regime": self.regime,
        }


class Item(msgspec.Struct, omit_defaults=True):
    """What an item says that its answers are scored against.

    Args:
        targets: accepted answers.
        target_index: index of the right choice.
        choice_bytes: length of each choice in bytes.
        cluster: items that share it are variants of one.
        prompt_hash: of the prompt within its template.
    """

    targets: list[str] | None = None
    target_index: int | None = None
    choice_bytes: list[int] | None = None
    cluster: str | None = None
    prompt_hash: str | None = None


class Part(msgspec.Struct, omit_defaults=True):
    """The reply to one request, or why there is none.

    Args:
        item: identifier of the item.
        sample: index of the repeated answer.
        part: text, target or choice with its number.
        key: hash of the whole request, 16 hexadecimal digits.
        last: no part of this answer is to come.
        text: the answer.
        finish: why it stopped.
        logprobs: nats per token of the target or the choice.
        missing: why there are none.
        at_most: upper bound of their sum, where only that is known.
        merged: the target began within a token.
        failed: why there is no reply.
        prompt_tokens: tokens read, as the server counts.
        completion_tokens: tokens written.
        mismatch: the server's counts contradict what it sent, and are left out.
        charged: tokens (read, written) that a budget counts where the server states none.
        tries: times that the request was sent.
        faults: what went wrong on the way.
        about: the item, on a last part and on a failed one.
    """

    item: str
    sample: int = 0
    part: str = TEXT
    key: str = ""
    last: bool = False
    text: str | None = None
    finish: str | None = None
    logprobs: tuple[float, ...] | None = None
    missing: str | None = None
    at_most: float | None = None
    merged: bool = False
    failed: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    mismatch: bool = False
    charged: tuple[int, int] | None = None
    tries: int = 1
    faults: tuple[str, ...] = ()
    about: Item | None = None


Place = tuple[str, int]
"""Item and sample."""


class Pending:
    """Answers of which not all parts are there; memory is that of these alone."""

    def __init__(self) -> None:
        self._parts: dict[Place, dict[str, Part]] = {}

    def take(self, part: Part) -> dict[str, Part] | None:
        """Add a part; all of an answer's parts when it was the last."""
        place = (part.item, part.sample)
        parts = self._parts.setdefault(place, {})
        parts[part.part] = part
        if not part.last:
            return None
        return self._parts.pop(place)

    def parts(self, place: Place) -> dict[str, Part]:
        """What is there of an answer, failed parts left out."""
        found = self._parts.get(place, {})
        return {name: part for name, part in found.items() if part.failed is None}

    def failed(self) -> dict[Place, dict[str, Part]]:
        """Answers that ended with a failure, so far."""
        return {
            place: parts
            for place, parts in self._parts.items()
            if any(part.failed is not None for part in parts.values())
        }


def row_of(parts: Mapping[str, Part], exact: bool) -> dict[str, Any]:
    """The columns of `responses` that the parts of one answer make.

    Args:
        parts: by name.
        exact: whether log-probabilities of targets are values; if they are bounds, those that
            happen to be exact are the model's right answers, so that none of them is taken.
    """
    about = next((part.about for part in parts.values() if part.about is not None), None) or Item()
    first = next(iter(parts.values()))
    text, target = parts.get(TEXT), parts.get(TARGET)
    choices = [parts.get(f"{CHOICE} {n}") for n in range(len(about.choice_bytes or ()))]
    sums = [sum(c.logprobs) if c is not None and c.logprobs else None for c in choices]
    whole = bool(sums) and None not in sums
    return {
        "item": first.item,
        "item_hash": first.item,
        "prompt_hash": about.prompt_hash,
        "sample": first.sample,
        "cluster": about.cluster,
        "output": text.text if text is not None else None,
        "targets": about.targets,
        "target_index": about.target_index,
        "choice_logprobs": sums if whole else None,
        "choice_bytes": about.choice_bytes,
        "target_logprobs": target.logprobs if target is not None and exact else None,
        "target_bytes": len(about.targets[0].encode()) if about.targets else None,
        "finish": "failed" if text is not None and text.failed else text.finish if text else None,
    }
