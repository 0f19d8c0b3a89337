"""Suspicions that the harness, not the model, made a number."""
