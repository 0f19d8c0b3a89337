"""The paper's figures, and what goes beyond them: each an experiment in one file."""

from saltus.experiments.experiment import EXPERIMENTS, Context, Experiment, Outcome

__all__ = ["EXPERIMENTS", "Context", "Experiment", "Outcome"]
