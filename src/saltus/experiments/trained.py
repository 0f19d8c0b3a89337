"""The families that experiments train: once per folder, then shared by all figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from saltus import store
from saltus.errors import SaltusError

Progress = Callable[[str, float | None], None]


@dataclass(frozen=True)
class TrainedFamilies:
    """Where trained families lie, and how they come to be there.

    Args:
        home: folder for families that are trained here, one audit folder each.
        preset: of the training.
        seed: of the training.
        given: folder of families trained before, used instead; None trains.
        progress: called with a family's name and the share that is done.
    """

    home: Path
    preset: str
    seed: int
    given: Path | None
    progress: Progress

    def folder(self, family: str) -> Path:
        """The audit folder of a family's answers.

        Raises:
            SaltusError: the family is neither given nor can be trained here.
        """
        if self.given is not None:
            found = self.given / family
            if not store.is_audit(found):
                raise SaltusError(
                    f"{self.given} has no audit folder {family!r}; train it with "
                    f"`saltus train {family} --out {found}`, or leave --trained out"
                )
            return found
        raise SaltusError(f"no trained family {family!r}; name a folder with --trained DIR")
