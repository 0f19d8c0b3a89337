"""Scores of fixed outputs: facts above, formula below.

Entries stand in choice, text, edit, likelihood, overlap and (facts only) reported. They take
and return arrays and lists; only `score` knows tables.
"""
