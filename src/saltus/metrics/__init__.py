"""Scores of fixed outputs: facts above, formula below.

Entries stand in choice, text, edit, likelihood, overlap and (facts only) reported. They take
and return arrays and lists; only `score` knows tables.
"""

from saltus.metrics.metric import METRICS

# Registered in the order that `metric.py` lists, whichever module is asked for first: of
# several thresholded metrics a verdict takes the first.
len(METRICS)
