"""Reader of CIRCO: all unlabelled images of COCO 2017 as gallery, several targets a query; evaluation only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Literal

from spn4cir_core.images.base import AnnotationFile, FoundFile
from spn4cir_core.images.benchmark import GALLERIES, NAME, Benchmark, first_folder
from spn4cir_core.images.files import EXTENSIONS


class Circo(Benchmark):
    """``annotations/{val,test}.json`` and ``COCO2017_unlabeled/unlabeled2017/<twelve digits>.jpg``.

    Nothing of it is trained on. To train on another corpus and evaluate on this one, read both with ``together``.
    """

    plugin_kind: ClassVar[str] = "circo"
    HINT: ClassVar[str] = "holds annotations/ and COCO2017_unlabeled/ of CIRCO"
    evaluate: Literal["val", "test"] = "val"
    """``val`` has targets here, ``test`` is scored by the benchmark's server."""

    def pictures(self, root: Path) -> Iterable[FoundFile]:
        """Every picture of the folder; its name is COCO's number without leading zeros."""
        folder = first_folder(root, "COCO2017_unlabeled/unlabeled2017", "unlabeled2017", "images")
        for path in folder.iterdir():
            if path.suffix.lower() in EXTENSIONS and path.stem.isdecimal():
                yield FoundFile(
                    path=path.relative_to(root).as_posix(),
                    corpus=self.plugin_kind,
                    split="evaluation",
                    attributes={NAME: str(int(path.stem)), GALLERIES: "unlabeled2017"},
                )

    def annotation_files(self, store_root: Path) -> Iterator[AnnotationFile]:
        """The queries of the evaluated split."""
        root = self.root(store_root)
        path = f"annotations/{self.evaluate}.json"
        yield AnnotationFile(path, self.plugin_kind, "circo", "queries", self.names(root), self.as_published)
