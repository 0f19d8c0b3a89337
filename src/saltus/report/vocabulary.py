"""The words of the report: every verdict, reason, axis and severity, explained once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Word:
    """How one verdict is shown and explained.

    Args:
        name: as the tables have it.
        title: short human title.
        symbol: one character, so that nothing rests on colour alone.
        css: class name in the style sheet, which holds the colours.
        color: on white, for figures; from the colour-blind-safe palette of Okabe and Ito.
        meaning: what the verdict says.
        limit: what it does not say.
        notable: whether its cards stand open.
    """

    name: str
    title: str
    symbol: str
    css: str
    color: str
    meaning: str
    limit: str
    notable: bool

    @property
    def rank(self) -> int:
        """Its place in `WORDS`: what calls most for a look comes first."""
        return next((place for place, word in enumerate(WORDS) if word == self), len(WORDS))


WORDS: tuple[Word, ...] = (
    Word(
        "BREAK",
        "Real break",
        "▲",
        "v-break",
        "#c4501b",
        "The continuous score itself bends or jumps: every smooth curve is rejected, the largest "
        "scale lies above what the smaller ones predict, and the gain is large enough to matter.",
        "It does not say why. Training dynamics, data and undetected harness faults remain "
        "possible causes; in a large collection some breaks are expected by chance.",
        True,
    ),
    Word(
        "LOSS_THRESHOLD",
        "Threshold in loss",
        "◆",
        "v-loss",
        "#8a4fa3",
        "A real break on the axis of pre-training loss: below a certain loss the ability appears, "
        "above it the score stays where guessing is.",
        "The loss is that of one corpus and tokenizer; it does not carry over to another.",
        True,
    ),
    Word(
        "HARNESS_ARTEFACT",
        "Harness artefact",
        "!",
        "v-harness",
        "#b07b00",
        "The evaluation harness or the file, not the model, made the number.",
        "It says nothing about the model; repeat the evaluation with the fault mended.",
        True,
    ),
    Word(
        "METRIC_ARTEFACT",
        "Metric artefact",
        "≈",
        "v-metric",
        "#0b6fae",
        "The jump belongs to the thresholded metric. This rests on positive evidence: the "
        "continuous score already improves at scales where the thresholded metric still sits at "
        "its floor, and a smooth curve describes it.",
        "It does not say that the ability is useless or easy to foresee, and it never rests on "
        "a break that merely failed to show.",
        True,
    ),
    Word(
        "BELOW_RESOLUTION",
        "Below resolution",
        "⋯",
        "v-resolution",
        "#2a8c9e",
        "The counts are compatible with a smooth rise that the number of items cannot show: at "
        "the small scales too few successes were expected to see any.",
        "It never means that there is no break. It means this test cannot tell; the card says "
        "how many items could.",
        True,
    ),
    Word(
        "GRADUAL",
        "Gradual",
        "↗",
        "v-gradual",
        "#2f8a63",
        "The score changes with scale, and there is no apparent jump to explain.",
        "It is not a proof of smoothness between or beyond the scales that were measured.",
        False,
    ),
    Word(
        "NO_EVIDENCE",
        "No evidence",
        "–",
        "v-none",
        "#7b7f87",
        "Neither a change with scale nor an apparent jump was seen.",
        "It is not proof that scale does nothing; the smallest rise this design could have "
        "seen is given where it is known.",
        False,
    ),
    Word(
        "INCONCLUSIVE",
        "Inconclusive",
        "?",
        "v-open",
        "#9a8f7d",
        "The evidence at hand carries none of the verdicts; the reason and what would settle it "
        "are stated.",
        "It is not a weak form of any other verdict.",
        False,
    ),
)

BY_NAME: Mapping[str, Word] = {word.name: word for word in WORDS}


def word(verdict: str) -> Word:
    """The entry of a verdict; an unknown name is shown as it stands, in grey."""
    plain = Word(verdict, verdict, "·", "v-none", "#7b7f87", "", "", False)
    return BY_NAME.get(verdict, plain)


# In this order the first axis that could be judged leads a card. The order is fixed, so
# that the axis is never picked for the verdict it gives.
AXES: Mapping[str, str] = {
    "params": "parameters",
    "flops": "FLOPs",
    "tokens": "tokens",
    "loss": "loss",
}

AXIS_PHRASES: Mapping[str, str] = {
    "params": "parameters",
    "flops": "training compute",
    "tokens": "training tokens",
    "loss": "pre-training loss",
}


def axis_name(row: Mapping[str, Any]) -> str:
    """The axis of a verdict; inverse scaling is judged in a row of its own."""
    name = AXES.get(row["axis"], row["axis"])
    return f"{name}, falling" if row["inverse"] else name


AXIS_TITLES: Mapping[str, str] = {
    "params": "parameters",
    "flops": "training compute (FLOPs)",
    "tokens": "training tokens",
    "loss": "pre-training loss (nats per token), falling",
}

SEVERITIES: Mapping[str, tuple[str, str]] = {
    "error": ("Errors", "s-error"),
    "warning": ("Warnings", "s-warning"),
    "note": ("Notes", "s-note"),
}

REFERENCES: tuple[tuple[str, str], ...] = (
    (
        "Schaeffer, Miranda and Koyejo (2023)",
        "Are Emergent Abilities of Large Language Models a Mirage? NeurIPS 2023, "
        "arXiv:2304.15004. The claim under test: sharp metrics make smooth progress look sudden.",
    ),
    (
        "Wei et al. (2022)",
        "Emergent Abilities of Large Language Models. TMLR, arXiv:2206.07682. The pattern "
        "that step 1 looks for.",
    ),
    (
        "Du, Zeng, Dong and Tang (2024)",
        "Understanding Emergent Abilities of Language Models from the Loss Perspective. NeurIPS "
        "2024, arXiv:2403.15796. The axis of pre-training loss and its threshold.",
    ),
    (
        "Srivastava et al. (2022)",
        "Beyond the Imitation Game. TMLR, arXiv:2206.04615. Breakthroughness and linearity.",
    ),
    (
        "Clopper and Pearson (1934)",
        "The use of confidence or fiducial limits illustrated in the case of the binomial. "
        "Biometrika 26(4). Exact intervals and upper limits at zero successes.",
    ),
    (
        "Benjamini and Yekutieli (2001)",
        "The control of the false discovery rate in multiple testing under dependency. "
        "Annals of Statistics 29(4). Many tasks judged at once.",
    ),
)
