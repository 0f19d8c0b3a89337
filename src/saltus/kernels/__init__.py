"""Counting over pairs of texts: whole numbers from which the formulas in `metrics` make scores.

Every function takes outputs and targets, pair by pair, and returns an int64 table with a row
for each pair (`Counts`). `COMPILED` tells whether the C extension does the work, with the
interpreter's lock released and the pairs split over threads; where it could not be built,
the plain Python of `saltus.kernels.plain` gives the same numbers, and is what the tests hold
the extension against. Kernels know no tables and no metrics.

============  =======================================================================
function      columns
============  =======================================================================
`rouge`       tokens of the output, of the target; common 1-grams, common 2-grams;
              longest common subsequence; union of subsequences line by line
`word_edits`  words of the output, of the target; insertions + deletions + substitutions
`word_lcs`    words of the output, of the target; longest common subsequence
`bleu`        tokens of the output, of the target of the closest length; common 1- to 4-grams
`chrf`        characters of the output, of the target; common 1- to 6-grams
`chrf_words`  words of the output, of the target, marks at their ends apart; common 1-, 2-grams
`ter`         words of the output, of the target; edits with shifts
`squad`       tokens of the output, of the target; common tokens; 1 where all are equal
============  =======================================================================
"""

from __future__ import annotations

from saltus.kernels import plain
from saltus.kernels.plain import ALL, LCS, NGRAMS, UNION, Counts, Tokenizer

try:
    from saltus.kernels import compiled
except ImportError:
    COMPILED = False
    equal = plain.equal
    rouge, word_edits, word_lcs = plain.rouge, plain.word_edits, plain.word_lcs
    bleu, chrf, chrf_words = plain.bleu, plain.chrf, plain.chrf_words
    ter, squad = plain.ter, plain.squad
else:
    COMPILED = True
    equal = compiled.equal
    rouge, word_edits, word_lcs = compiled.rouge, compiled.word_edits, compiled.word_lcs
    bleu, chrf, chrf_words = compiled.bleu, compiled.chrf, compiled.chrf_words
    ter, squad = compiled.ter, compiled.squad

__all__ = [
    "ALL", "COMPILED", "LCS", "NGRAMS", "UNION", "Counts", "Tokenizer", "bleu", "chrf",
    "chrf_words", "equal", "rouge", "squad", "ter", "word_edits", "word_lcs",
]  # fmt: skip
