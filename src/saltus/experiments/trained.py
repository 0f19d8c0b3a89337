"""The families that experiments train: once per folder and preset, then shared by all figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from saltus import store
from saltus.errors import ReadError, SaltusError

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
        data: folder with the pictures that vision families learn from.
        download: fetch them there where they are not.
    """

    home: Path
    preset: str
    given: Path | None
    command: str
    progress: Progress
    data: Path | None = None
    download: bool = False

    def folder(self, family: str) -> Path:
        """The audit folder of a family's answers; trains it, or goes on, where it is not there.

        Raises:
            SaltusError: the family cannot be trained here.
        """
        if (found := self._given(family)) is not None:
            return found
        from saltus.models.family import FAMILIES
        from saltus.runners.train import train

        out = self.home / self.preset / family
        train(
            family, self.preset, out, data=self.data if FAMILIES[family].images else None,
            download=self.download, command=self.command, progress=self.progress,
        )  # fmt: skip
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

    def lacking(self, families: Iterable[str]) -> str | None:
        """Why the pictures of one of these families are not there, and what to do; else None.

        Raises:
            ReadError: they are there and damaged.
        """
        from saltus.images.load import load_first
        from saltus.models.family import FAMILIES

        for family in families:
            images = FAMILIES[family].images
            if images and self._given(family) is None:
                try:
                    load_first(images, self.data, self.download)
                except ReadError:
                    raise
                except SaltusError as fault:
                    return str(fault)
        return None

    def _given(self, family: str) -> Path | None:
        found = None if self.given is None else self.given / family
        return found if found is not None and store.is_audit(found) else None
