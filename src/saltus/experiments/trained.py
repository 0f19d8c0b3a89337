"""The families that experiments train: once per folder and preset, then shared by all figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from saltus import store

Progress = Callable[[str, float | None], None]


@dataclass(frozen=True)
class TrainedFamilies:
    """Where trained families lie, and how they come to be there.

    Args:
        home: folder for families that are trained here, one audit folder per preset and family.
        preset: of the training.
        given: folder of families trained before, which are not trained again.
        command: recorded in the manifests of the trainings.
        progress: called with what is trained and the share that is done.
    """

    home: Path
    preset: str
    given: Path | None
    command: str
    progress: Progress

    def folder(self, family: str) -> Path:
        """The audit folder of a family's answers; trains it, or goes on, where it is not there.

        Raises:
            SaltusError: the family cannot be trained here.
        """
        if (found := self._given(family)) is not None:
            return found
        from saltus.runners.train import train

        out = self.home / self.preset / family
        train(family, self.preset, out, command=self.command, progress=self.progress)
        return out

    def check(self, families: Iterable[str]) -> None:
        """Say at once, not after an hour, that something cannot be trained.

        Raises:
            SaltusError: there is no such family, or no PyTorch to train it.
        """
        from saltus.models.family import FAMILIES, need_torch

        for family in families:
            if self._given(family) is None:
                FAMILIES[family].preset(self.preset)
                need_torch()

    def _given(self, family: str) -> Path | None:
        found = None if self.given is None else self.given / family
        return found if found is not None and store.is_audit(found) else None
