"""Synthetic model families whose truth is known, and the paper's mathematical model.

Nothing downstream can tell a world from a user's logs: both are `models` and `responses`.
"""

from saltus.worlds.example import example
from saltus.worlds.respond import Facts, Generated, generate
from saltus.worlds.world import WORLDS, Arrays, Choices, Draw, Tokens, World, generate_arrays

__all__ = [
    "WORLDS", "Arrays", "Choices", "Draw", "Facts", "Generated", "Tokens", "World", "example",
    "generate", "generate_arrays",
]  # fmt: skip
