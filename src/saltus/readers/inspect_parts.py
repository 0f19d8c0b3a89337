"""The parts of an Inspect AI log that Saltus needs, as types; everything else is skipped.

Source: inspect_ai 0.3, `inspect_ai/log/_log.py` and `inspect_ai/model/_model_output.py`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from saltus.readers.mend import Count


class Dataset(msgspec.Struct):
    """What was evaluated: size of the whole data set, and the samples chosen."""

    samples: Count | None = None
    sample_ids: list[int | str] | None = None
    shuffled: bool | None = None


class Config(msgspec.Struct):
    """How often each sample was asked, and how many samples there were to be."""

    epochs: Count | None = None
    limit: Any = None


class Shard(msgspec.Struct):
    """One part of a merged log."""

    shard: str = ""
    samples: Count = 0


class Shards(msgspec.Struct):
    """The parts of a merged log, as of the last merge."""

    ledger: list[Shard] = []


class Spec(msgspec.Struct):
    """Who was evaluated on what (`eval`)."""

    task: str
    model: str
    task_args: dict[str, Any] | None = None
    model_args: dict[str, Any] | None = None
    dataset: Dataset | None = None
    config: Config | None = None
    shards: Shards | None = None


class Metric(msgspec.Struct):
    """One aggregate."""

    value: float | None = None


class Aggregate(msgspec.Struct):
    """The aggregates of one scorer."""

    name: str
    reducer: str | None = None
    scored_samples: Count | None = None
    metrics: dict[str, Metric] = {}


class Results(msgspec.Struct):
    """All aggregates, and how many samples they are of."""

    total_samples: Count = 0
    completed_samples: Count = 0
    scores: list[Aggregate] = []


class Reduced(msgspec.Struct):
    """One item's score over its epochs."""

    sample_id: int | str | None = None
    value: Any = None


class Reduction(msgspec.Struct):
    """One scorer's scores of all items, over epochs."""

    scorer: str
    samples: list[Reduced] = []


class Log(msgspec.Struct):
    """A log; `samples` stay unparsed until their turn comes."""

    eval: Spec
    status: str = "started"
    results: Results | None = None
    samples: list[msgspec.Raw] | None = None
    reductions: list[Reduction] | None = None
    invalidated: bool = False


class Message(msgspec.Struct):
    """One message: text, or parts of text, images and the like."""

    content: str | list[Any] = ""
    role: str = ""
    source: str | None = None

    @property
    def text(self) -> str:
        """The text, or the parts' texts joined."""
        if isinstance(self.content, str):
            return self.content
        parts = (part for part in self.content if isinstance(part, dict))
        return "\n".join(str(part.get("text", "")) for part in parts if part.get("type") == "text")


class Choice(msgspec.Struct):
    """One completion."""

    message: Message = msgspec.field(default_factory=Message)
    stop_reason: str | None = None
    logprobs: msgspec.Raw = msgspec.Raw(b"null")
    prompt_logprobs: msgspec.Raw = msgspec.Raw(b"null")


class Output(msgspec.Struct):
    """What the model gave."""

    choices: list[Choice] = []
    completion: str | None = None

    @property
    def text(self) -> str | None:
        """The answer; None where the model gave none."""
        if self.completion or not self.choices:
            return self.completion or None
        return self.choices[0].message.text


class Score(msgspec.Struct):
    """One scorer's verdict on a sample; `history` is there when it was edited."""

    value: Any = None
    history: list[msgspec.Raw] | None = None


class Limit(msgspec.Struct):
    """What ended a sample before its time."""

    type: str = ""


class Sample(msgspec.Struct):
    """One sample of one epoch; a summary has the same fields less the output."""

    id: int | str
    epoch: Count = 1
    input: str | list[Message] = ""
    choices: list[str] | None = None
    target: str | list[str] = ""
    messages: list[Message] = []
    output: Output = msgspec.field(default_factory=Output)
    scores: dict[str, Score] | None = None
    error: Any = None
    limit: Limit | str | None = None
    invalidation: Any = None
    attachments: msgspec.Raw = msgspec.Raw(b"{}")

    @property
    def key(self) -> tuple[str, int]:
        """Identity within a log."""
        return str(self.id), self.epoch


class Candidate(msgspec.Struct):
    """One token that could have been."""

    token: str
    logprob: float | None = None


class Token(msgspec.Struct):
    """One token with its log-probability, nats."""

    token: str
    logprob: float | None = None
    top_logprobs: list[Candidate] | None = None


class Tokens(msgspec.Struct):
    """The tokens of a completion or a prompt."""

    content: list[Token] = []


LOG = msgspec.json.Decoder(Log)
SAMPLE = msgspec.json.Decoder(Sample)
SUMMARIES = msgspec.json.Decoder(list[Sample])
REDUCTIONS = msgspec.json.Decoder(list[Reduction])
ATTACHMENTS = msgspec.json.Decoder(dict[str, str])
TOKENS = msgspec.json.Decoder(Tokens | None)
