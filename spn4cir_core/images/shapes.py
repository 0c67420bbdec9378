"""The built-in corpus: pictures of coloured shapes, true edit triplets, and composed queries of unseen scenes."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import ClassVar, Self

from pydantic import Field, model_validator

from spn4cir_core.errors import InputError
from spn4cir_core.images.base import FoundFile, Reader
from spn4cir_core.images.shape_scenes import Edit, Scene, draw_scene, random_scene, sample_edits
from spn4cir_core.store.fingerprints import fingerprint, plain

VERSION = 1
"""Goes up whenever the same settings would give other files."""
TRAINING, UNSEEN = "scenes", "unseen_scenes"
SPLITS = {TRAINING: "train", UNSEEN: "evaluation"}


class Scenes:
    """Base scenes and the results of their edits; every distinct scene has one file name."""

    def __init__(self, rng: Random, bases: int, edits: int, known: Collection[Scene] = ()) -> None:
        """Draw ``bases`` scenes and up to ``edits`` edits of each, none of which leads to a ``known`` scene."""
        self.names: dict[Scene, str] = {}
        self.edits: list[tuple[Scene, Edit]] = []
        for number in range(bases):
            base = random_scene(rng)
            while base in self.names or base in known:
                base = random_scene(rng)
            self.names[base] = f"{number:05d}.png"
            for index, edit in enumerate(sample_edits(base, edits, rng)):
                if edit.result not in known:
                    self.names.setdefault(edit.result, f"{number:05d}_{index:02d}.png")
                    self.edits.append((base, edit))


class Shapes(Reader):
    """Scenes of two to four shapes on a 3 × 3 grid.

    Corpus ``scenes`` (training): base scenes, the results of their edits, and ``triplets.csv``.
    Corpus ``unseen_scenes`` (evaluation): other scenes likewise, and ``queries.csv``; no scene of it is a
    training scene, and no two queries are equal.
    """

    plugin_kind: ClassVar[str] = "shapes"
    scenes: int = Field(default=300, ge=1, le=20_000)
    edits: int = Field(default=10, ge=0, le=50)
    """Edits of each base scene, in both corpora."""
    test_scenes: int = Field(default=100, ge=0, le=20_000)
    validation_scenes: int = Field(default=0, ge=0, le=20_000)
    """How many of the training scenes, the last ones, are of the validation split: their true edits are the composed
    queries on which a training is watched."""
    size_px: int = Field(default=48, ge=24, le=512)
    seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _leaves_scenes_to_train_on(self) -> Self:
        if self.validation_scenes >= self.scenes:
            raise ValueError(f"validation_scenes must be below scenes = {self.scenes}")
        return self

    def draw(self) -> tuple[Scenes, Scenes]:
        """The training scenes and the unseen ones."""
        seen = Scenes(Random(f"shapes {self.seed} training"), self.scenes, self.edits)
        unseen = Scenes(Random(f"shapes {self.seed} unseen"), self.test_scenes, self.edits, known=seen.names)
        return seen, unseen

    def root(self, store_root: Path) -> Path:
        """The corpus's folder below the store; written first where it is missing, whole or not at all."""
        folder = store_root / "corpora" / f"shapes-{fingerprint({'version': VERSION, 'settings': plain(self)})}"
        if not folder.is_dir():
            self._write(folder)
        return folder

    def files(self, store_root: Path) -> Iterator[FoundFile]:
        """Every picture; all results of one base scene's edits are one group."""
        root = self.root(store_root)
        for corpus, split in SPLITS.items():
            for path in sorted((root / corpus).glob("*.png")):
                number = path.stem.split("_")[0]
                held_out = corpus == TRAINING and int(number) >= self.scenes - self.validation_scenes
                group, own = f"{corpus}/{number}", "validation" if held_out else split
                yield FoundFile(path.relative_to(root).as_posix(), corpus, group=group, split=own)

    def _write(self, folder: Path) -> None:
        scratch = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        try:
            shutil.rmtree(scratch, ignore_errors=True)
            seen, unseen = self.draw()
            self._write_corpus(scratch / TRAINING, seen)
            self._write_corpus(scratch / UNSEEN, unseen)
            _write_triplets(scratch / TRAINING / "triplets.csv", seen)
            _write_queries(scratch / UNSEEN / "queries.csv", unseen)
            _rename(scratch, folder)
        except OSError as error:
            raise InputError(
                f"cannot write the built-in corpus to {folder}: {error}; check rights and space"
            ) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _write_corpus(self, folder: Path, scenes: Scenes) -> None:
        folder.mkdir(parents=True)
        for scene, name in scenes.names.items():
            draw_scene(scene, self.size_px).save(folder / name)


def _write_triplets(path: Path, scenes: Scenes) -> None:
    rows = [(scenes.names[base], scenes.names[edit.result], edit.text, edit.kind) for base, edit in scenes.edits]
    _write_csv(path, ("reference", "target", "modified_text", "kind"), rows)


def _write_queries(path: Path, scenes: Scenes) -> None:
    rows = [
        (f"q{number:05d}", scenes.names[base], edit.text, scenes.names[edit.result], edit.kind)
        for number, (base, edit) in enumerate(scenes.edits)
    ]
    _write_csv(path, ("query_id", "reference", "modified_text", "targets", "kind"), rows)


def _write_csv(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _rename(scratch: Path, folder: Path) -> None:
    """Move the finished folder into place; another process may have been first, with the same bytes."""
    try:
        scratch.replace(folder)
    except OSError:
        if not folder.is_dir():
            raise
