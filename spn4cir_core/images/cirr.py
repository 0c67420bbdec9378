"""Reader of CIRR: real-life scenes in sets of six."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from spn4cir_core.errors import InputError
from spn4cir_core.images.base import AnnotationFile, FoundFile
from spn4cir_core.images.benchmark import GALLERIES, NAME, Benchmark, first_folder
from spn4cir_core.user_files import inside, read_json_file

SPLITS = {"train": "train", "val": "evaluation", "test1": "evaluation"}


class Cirr(Benchmark):
    """``cirr/captions/cap.rc2.<split>.json``, ``cirr/image_splits/split.rc2.<split>.json``, and the pictures.

    The split files give each picture's path below ``pictures_folder`` (``train/34/….png``, ``dev/….png``, ``test1/…``).
    ``captions`` and ``image_splits`` may also lie in the folder itself.
    """

    plugin_kind: ClassVar[str] = "cirr"
    HINT: ClassVar[str] = "holds cirr/ and the pictures of CIRR"
    pictures_folder: str = "."
    """Where the paths of the split files start, relative to ``folder``: ``img_raw`` in some copies."""
    evaluate: Literal["val", "test1"] = "val"
    """The gallery: ``val`` has targets here, ``test1`` is scored by the benchmark's server."""

    def pictures(self, root: Path) -> Iterable[FoundFile]:
        """One file per image of the training list and of the evaluated split's."""
        for split in ("train", self.evaluate):
            for name, path in self._table(root, split).items():
                yield FoundFile(
                    path=(PurePosixPath(self.pictures_folder) / path).as_posix(),
                    corpus=self.plugin_kind,
                    split=SPLITS[split],
                    attributes={NAME: name, GALLERIES: "" if split == "train" else split},
                )

    def annotation_files(self, store_root: Path) -> Iterator[AnnotationFile]:
        """Captions of training, if there, and of the evaluated split."""
        root = self.root(store_root)
        pictures = self.names(root)
        captions = first_folder(root, "cirr/captions", "captions").relative_to(root)
        train, evaluated = (captions / f"cap.rc2.{split}.json" for split in ("train", self.evaluate))
        if (root / train).is_file():
            yield AnnotationFile(train.as_posix(), self.plugin_kind, "cirr", "triplets", pictures, self.as_published)
        yield AnnotationFile(evaluated.as_posix(), self.plugin_kind, "cirr", "queries", pictures, self.as_published)

    def _table(self, root: Path, split: str) -> dict[str, str]:
        path = inside(first_folder(root, "cirr/image_splits", "image_splits") / f"split.rc2.{split}.json", root)
        table = read_json_file(path)
        if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
            raise InputError(f"{path} is not a JSON object from image name to path, as CIRR's image_splits are")
        return table
