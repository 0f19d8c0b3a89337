"""Pairs of texts that are hard on tokenizers: like logs, only worse."""

from __future__ import annotations

import random
import string

# what str.split() parts at, without the ASCII six
SPACES = "\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2005\u200a\u2028\u2029\u202f\u205f\u3000"
ODD = (
    "\u0130\u212a\u0131\u017f\u1e9e\u00df\u03a3\u03c2"  # lower case changes them oddly
    "\u0301\u0308\u0327\u200b\u200d\ufeff\u00ad"  # combining, joiners, no width
    "\u00b2\u00bd\u0663\u2167\u3007\u4e00\u6211\u7231\u3042\u30a2\uac00"  # numbers, CJK
    "\u2014\u2026\u00ab\u3002\uff0c\u20ac\u00a3\u2200\U0001f600\U0001d7d8\U00020000"
    "\ud800\udfff\udc80\x00\x01\x7f"  # lone surrogates, controls
)
MARKS = string.punctuation
WORDS = """the a an The cat dog sat on mat of running runs ran it's 3.14 1,000 e.g. a-b
5-4""".split()  # noqa: SIM905
PIECES = [
    "&quot;", "&amp;", "&lt;", "&gt;", "&amp;lt;", "<skipped>", "-\n", "...", ",,", ".,.", "5.",
    ".5", "5-", "-5", "\r\n", "\n\n", "'s", "\u0130\u0130", "\u212a",
]  # fmt: skip


def text(rng: random.Random, longest: int = 12) -> str:
    """A text of pieces, from plain words to what no one should write."""
    kinds = rng.choice(["plain", "plain", "lines", "marks", "odd", "cjk"])
    return "".join(_piece(rng, kinds) for _ in range(rng.randint(0, longest)))


def _piece(rng: random.Random, kinds: str) -> str:
    space = rng.choice([" "] * 12 + ["\n", "\t", "  ", ""])
    if kinds == "plain":
        return rng.choice(WORDS) + space
    if kinds == "lines":
        return rng.choice(WORDS) + rng.choice(" \n")
    if kinds == "marks":
        return rng.choice([rng.choice(PIECES), rng.choice(MARKS), rng.choice(WORDS), space])
    if kinds == "cjk":
        return rng.choice("我爱猫狗的一是了。，、アイう")
    return rng.choice([rng.choice(ODD), rng.choice(SPACES), rng.choice(WORDS), space, "a", "7"])


def mutated(rng: random.Random, given: str) -> str:
    """The text with some pieces dropped, doubled, replaced or moved."""
    parts = given.split(" ")
    for _ in range(rng.randint(0, 4)):
        place = rng.randrange(len(parts))
        action = rng.randrange(4)
        if action == 0 and len(parts) > 1:
            parts.insert(rng.randrange(len(parts)), parts.pop(place))
        elif action == 1:
            parts.insert(place, rng.choice(WORDS))
        elif action == 2:
            parts[place] = text(rng, 2)
        elif len(parts) > 1:
            parts.pop(place)
    return " ".join(parts)


def shuffled_blocks(rng: random.Random, words: int, names: int) -> tuple[str, str]:
    """Few names and moved blocks: many equal n-grams, many ties, many shifts."""
    have = [f"w{rng.randrange(names)}" for _ in range(words)]
    want = list(have)
    for _ in range(rng.randint(0, 5)):
        start = rng.randrange(words)
        block = want[start : start + rng.randint(1, 12)]
        del want[start : start + len(block)]
        place = rng.randint(0, len(want))
        want[place:place] = block
    for _ in range(rng.randint(0, 4)):
        want[rng.randrange(words)] = f"w{rng.randrange(names)}"
    seams = rng.choice([0.0, 0.1])
    return tuple(
        "".join(w + ("\n" if rng.random() < seams else " ") for w in side) for side in (have, want)
    )  # type: ignore[return-value]


def pairs(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Outputs and targets: alike, unlike, equal, empty, with moved blocks, a few of them long."""
    rng = random.Random(seed)
    outputs, targets = [], []
    for number in range(count):
        if number % 10 == 9:
            size = rng.choice([10, 40, 70] + [200] * (number % 100 == 99))
            one, other = shuffled_blocks(rng, size, rng.choice([5, 30, 500]))
        else:
            one = text(rng, rng.choice([3, 12, 12, 60]))
            other = mutated(rng, one) if rng.random() < 0.7 else text(rng)
        outputs.append(one)
        targets.append(other)
    return outputs, targets
