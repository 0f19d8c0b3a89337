"""Saltus against the field's packages, pair by pair: every difference is an error.

Each comparison takes pairs, scores them with both and returns the largest difference. The
packages are the extra `bench`; `make kernels-equal` runs all of them on 20,000 pairs.
"""

from __future__ import annotations

import importlib
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from saltus.kernels import Counts, Tokenizer
from saltus.metrics import ngrams, overlap, squad

Texts = Sequence[str]
Scores = np.ndarray


def largest(ours: Scores, theirs: Scores) -> float:
    """0.0 only where all numbers are equal."""
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max(initial=0.0))


def rouge(kernels: Any, outputs: Texts, targets: Texts, stem: bool = False) -> float:
    scorer = importlib.import_module("rouge_score.rouge_scorer")
    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    theirs_of = scorer.RougeScorer(kinds, use_stemmer=stem)
    rows = [theirs_of.score(t, o) for o, t in zip(outputs, targets, strict=True)]
    theirs = np.array([[row[kind] for kind in kinds] for row in rows])
    if stem:
        outputs, targets = ([overlap.stemmed(text) for text in side] for side in (outputs, targets))
    counts = kernels.rouge(outputs, targets)
    parts = [overlap.rouge(counts, kind) for kind in ("1", "2", "L", "Lsum")]
    ours = np.stack([np.stack(part, axis=-1) for part in parts], axis=1)
    return largest(ours, theirs)


def rouge_stemmed(kernels: Any, outputs: Texts, targets: Texts) -> float:
    return rouge(kernels, outputs, targets, stem=True)


def words_rapidfuzz(kernels: Any, outputs: Texts, targets: Texts) -> float:
    fuzz = importlib.import_module("rapidfuzz.distance")
    both = [(o.split(), t.split()) for o, t in zip(outputs, targets, strict=True)]
    edits = largest(
        kernels.word_edits(outputs, targets),
        [(len(o), len(t), fuzz.Levenshtein.distance(o, t)) for o, t in both],
    )
    subsequence = largest(
        kernels.word_lcs(outputs, targets)[:, 2],
        [fuzz.LCSseq.similarity(o, t) for o, t in both],
    )
    return max(edits, subsequence)


def words_jiwer(kernels: Any, outputs: Texts, targets: Texts) -> float:
    """jiwer parts words at blanks only and refuses an empty reference."""
    jiwer = importlib.import_module("jiwer")
    both = [
        (" ".join(o.split()), " ".join(t.split())) for o, t in zip(outputs, targets, strict=True)
    ]
    both = [(o, t) for o, t in both if t]
    theirs = [jiwer.wer(t, o) for o, t in both]
    counts = kernels.word_edits([o for o, _ in both], [t for _, t in both])
    return largest(counts[:, 2] / counts[:, 1], theirs)


def _sacrebleu() -> Any:
    return importlib.import_module("sacrebleu.metrics")


def groups_of(outputs: Texts, targets: Texts) -> list[list[str]]:
    """Each target with a few others, so that there are several references."""
    return [list(targets[max(0, k - k % 4) : k + 1]) for k in range(len(outputs))]


def bleu(kernels: Any, outputs: Texts, targets: Texts, tokenizer: Tokenizer) -> float:
    metrics = _sacrebleu()
    ours_of = kernels.bleu
    one = metrics.BLEU(tokenize=tokenizer, effective_order=True)
    difference = 0.0
    for groups in ([[t] for t in targets], groups_of(outputs, targets)):
        theirs = [one.sentence_score(o, g).score for o, g in zip(outputs, groups, strict=True)]
        ours = ngrams.bleu_scores(ours_of(outputs, groups, tokenizer), effective=True)
        difference = max(difference, largest(ours, theirs))
    for first in range(0, len(outputs), 50):  # sets of 50 answers
        some = slice(first, first + 50)
        theirs_whole = metrics.BLEU(tokenize=tokenizer).corpus_score(outputs[some], [targets[some]])
        ours_whole = ngrams.corpus_bleu(outputs[some], [[t] for t in targets[some]], tokenizer)
        difference = max(difference, abs(ours_whole - theirs_whole.score))
    return difference


def bleu_13a(kernels: Any, outputs: Texts, targets: Texts) -> float:
    return bleu(kernels, outputs, targets, "13a")


def bleu_intl(kernels: Any, outputs: Texts, targets: Texts) -> float:
    return bleu(kernels, outputs, targets, "intl")


def bleu_char(kernels: Any, outputs: Texts, targets: Texts) -> float:
    return bleu(kernels, outputs, targets, "char")


def chrf(kernels: Any, outputs: Texts, targets: Texts, word_order: int = 0) -> float:
    metrics = _sacrebleu()
    one = metrics.CHRF(word_order=word_order)
    words = word_order > 0
    theirs = [one.sentence_score(o, [t]).score for o, t in zip(outputs, targets, strict=True)]
    parts = [kernels.chrf, kernels.chrf_words] if words else [kernels.chrf]
    counts = [ngrams.chrf_orders(part(outputs, targets)) for part in parts]
    ours = ngrams.chrf_scores(np.hstack(counts))
    difference = largest(ours, theirs)
    groups = groups_of(outputs, targets)
    for first in range(0, len(outputs), 50):
        some, k = slice(first, first + 50), 4
        padded = [[g[n] if n < len(g) else None for g in groups[some]] for n in range(k)]
        theirs_whole = one.corpus_score(outputs[some], padded).score
        ours_whole = ngrams.corpus_chrf(outputs[some], groups[some], words)
        difference = max(difference, abs(ours_whole - theirs_whole))
    return difference


def chrf_plus(kernels: Any, outputs: Texts, targets: Texts) -> float:
    return chrf(kernels, outputs, targets, word_order=2)


def ter(kernels: Any, outputs: Texts, targets: Texts) -> float:
    metrics = _sacrebleu()
    one = metrics.TER()
    theirs = [one.sentence_score(o, [t]) for o, t in zip(outputs, targets, strict=True)]
    counts: Counts = kernels.ter(outputs, targets)
    edits = largest(counts[:, 2], [score.num_edits for score in theirs])
    rates = ngrams.ter_scores(counts[:, 2].astype(float), counts[:, 1].astype(float))
    whole = ngrams.corpus_ter(outputs[:200], [[t] for t in targets[:200]])
    whole_of_them = one.corpus_score(outputs[:200], [targets[:200]]).score
    return max(edits, largest(rates, [s.score for s in theirs]), abs(whole - whole_of_them))


def squad_script(kernels: Any, outputs: Texts, targets: Texts) -> float:
    """The published script's formulas, written out here: it is no package."""

    def normal(text: str) -> str:
        bare = "".join(c for c in text.lower() if c not in set(string.punctuation))
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())

    def f1(output: str, target: str) -> float:
        have, want = normal(output).split(), normal(target).split()
        if not have or not want:
            return float(have == want)
        same = sum((Counter(have) & Counter(want)).values())
        if not same:
            return 0.0
        precision, recall = 1.0 * same / len(have), 1.0 * same / len(want)
        return (2 * precision * recall) / (precision + recall)

    counts = kernels.squad(outputs, targets)
    both = list(zip(outputs, targets, strict=True))
    exact = largest(counts[:, 3], [normal(o) == normal(t) for o, t in both])
    return max(exact, largest(squad.f1_scores(counts), [f1(o, t) for o, t in both]))


COMPARISONS: dict[str, tuple[str, Callable[[Any, Texts, Texts], float]]] = {
    "ROUGE": ("rouge_score", rouge),
    "ROUGE, stemmed": ("rouge_score", rouge_stemmed),
    "word edits and subsequence": ("rapidfuzz", words_rapidfuzz),
    "word error rate": ("jiwer", words_jiwer),
    "BLEU 13a": ("sacrebleu", bleu_13a),
    "BLEU intl": ("sacrebleu", bleu_intl),
    "BLEU char": ("sacrebleu", bleu_char),
    "chrF": ("sacrebleu", chrf),
    "chrF++": ("sacrebleu", chrf_plus),
    "TER": ("sacrebleu", ter),
    "SQuAD": ("", squad_script),
}
