"""Three items whose answer every model can copy, asked before anything is spent.

What fails here is the harness: a template that ends in a space, a chat model behind the
completions interface, a server that answers for another model. One extra space before the
answers of a few-shot arithmetic task turned 78 % into 0.5 % (lm-evaluation-harness issue 2695),
so that, where text can be scored, each answer is scored with and without a leading space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from saltus.models.client import Abilities, Client, Failed, Reply, Request
from saltus.models.served import Served

SHOWN = "Word: apple\nCopy: apple\n\nWord: bridge\nCopy: bridge\n\n"
WORDS = ("river", "candle", "table")
OTHER_SPELLING = 1.0  # nats by which the other spelling must be likelier to be a finding
INTRODUCTION = "Copy the word exactly. Answer with the word alone.\n\n"


@dataclass(frozen=True)
class SelfTest:
    """What came of it for one model.

    Args:
        passed: every word was copied, and is likelier as the harness spells it.
        said: what was seen, in one sentence.
        requests: requests that it took.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
    """

    passed: bool
    said: str
    requests: int
    prompt_tokens: int = 0
    completion_tokens: int = 0


def prompt(word: str) -> str:
    """A word to copy, after two that were copied."""
    return f"{INTRODUCTION}{SHOWN}Word: {word}\nCopy:"


class _Scored(NamedTuple):
    """Log-probability of a word as the harness spells it, and as it does not."""

    ours: float
    other: float


async def self_test(served: Served, client: Client, abilities: Abilities) -> SelfTest:
    """Ask a model to copy, and score the copy as the items of tasks are scored."""
    asks = [Request(prompt(word), max_tokens=16, stop=("\n",)) for word in WORDS]
    if abilities.exact:
        for word in WORDS:
            ours = served.continued(prompt(word), word)
            other = ours[1:] if ours.startswith(" ") else " " + ours
            asks += [Request(prompt(word), ours), Request(prompt(word), other)]
    replies: list[Reply | Failed] = []
    for first in range(0, len(asks), client.batch):
        replies += await client.ask(asks[first : first + client.batch])
    copied, scored = replies[: len(WORDS)], replies[len(WORDS) :]
    faults = [*_copies(copied), *_spelling(scored)]
    whole = [reply for reply in replies if isinstance(reply, Reply)]
    return SelfTest(
        not faults,
        "; ".join(faults) or "three words were copied",
        sum(reply.tries for reply in replies),
        sum(reply.prompt_tokens or 0 for reply in whole),
        sum(reply.completion_tokens or 0 for reply in whole),
    )


def _copies(replies: list[Reply | Failed]) -> list[str]:
    """What is wrong with the copies."""
    failed = [reply.reason for reply in replies if isinstance(reply, Failed)]
    if failed:
        return [f"{len(failed)} of {len(WORDS)} words got no answer ({failed[0]})"]
    said = [(reply.text or "").strip() for reply in replies if isinstance(reply, Reply)]
    pairs = zip(WORDS, said, strict=True)
    wrong = [f"{word!r} became {got[:40]!r}" for word, got in pairs if got != word]
    return [f"{len(wrong)} of {len(WORDS)} words were not copied: {', '.join(wrong)}"][: len(wrong)]


def _spelling(replies: list[Reply | Failed]) -> list[str]:
    """Whether a leading space more or less is what the model expects."""
    sums = [
        sum(reply.logprobs) if isinstance(reply, Reply) and reply.logprobs else None
        for reply in replies
    ]
    pairs = [
        _Scored(ours, other)
        for ours, other in zip(sums[::2], sums[1::2], strict=True)
        if ours is not None and other is not None
    ]
    if sums and not pairs:
        return ["no copy has a log-probability"]
    better = [pair for pair in pairs if pair.other > pair.ours + OTHER_SPELLING]
    if len(better) * 2 <= len(pairs):
        return []
    gap = sum(pair.other - pair.ours for pair in better) / len(better)
    return [
        f"answers are {gap:.1f} nats likelier with the other spelling of the space before them; "
        "set `answer_prefix` in the family file"
    ]
