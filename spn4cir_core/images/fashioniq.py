"""Reader of FashionIQ: three categories of clothes, two captions a triplet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Literal

from spn4cir_core.errors import InputError
from spn4cir_core.images.base import AnnotationFile, FoundFile
from spn4cir_core.images.benchmark import GALLERIES, NAME, Benchmark
from spn4cir_core.user_files import inside, read_json_file

Category = Literal["dress", "shirt", "toptee"]
EXTENSIONS = (".png", ".jpg", ".jpeg")


class FashionIq(Benchmark):
    """``captions/cap.<category>.<split>.json``, ``image_splits/split.<category>.<split>.json``, ``images/<name>.png``.

    Pictures may be ``.png`` or ``.jpg``. Trained on: ``train``; evaluated on: ``val`` (the targets of ``test`` are
    not public). 811 images are listed for training in one category and for validation in another: they are for
    evaluation here, and the 523 training triplets that need one of them are left out and counted.
    """

    plugin_kind: ClassVar[str] = "fashioniq"
    HINT: ClassVar[str] = "holds captions/, image_splits/ and images/ of FashionIQ"
    categories: tuple[Category, ...] = ("dress", "shirt", "toptee")

    def pictures(self, root: Path) -> Iterable[FoundFile]:
        """One file per image of the split lists; ``galleries`` are the categories whose validation list has it."""
        lists: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for category in self.categories:
            for split in ("train", "val"):
                for name in _names(inside(root / "image_splits" / f"split.{category}.{split}.json", root)):
                    lists[name].append((category, split))
        present = {entry.name for entry in (root / "images").iterdir()} if (root / "images").is_dir() else set()
        for name, places in lists.items():
            galleries = [category for category, split in places if split == "val"]
            yield FoundFile(
                path=_path(name, present),
                corpus=self.plugin_kind,
                category=galleries[0] if galleries else places[0][0],
                split="evaluation" if galleries else "train",
                attributes={NAME: name, GALLERIES: "|".join(galleries)},
            )

    def annotation_files(self, store_root: Path) -> Iterator[AnnotationFile]:
        """Captions of training and of validation, by category."""
        root = self.root(store_root)
        pictures = self.names(root)
        for category in self.categories:
            train, val = (f"captions/cap.{category}.{split}.json" for split in ("train", "val"))
            yield AnnotationFile(train, self.plugin_kind, "fashioniq", "triplets", pictures, self.as_published)
            yield AnnotationFile(val, self.plugin_kind, "fashioniq", "queries", pictures, self.as_published)


def _names(path: Path) -> list[str]:
    names = read_json_file(path)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path} is not a JSON list of image names, as FashionIQ's image_splits are")
    return names


def _path(name: str, present: set[str]) -> str:
    file = next((name + extension for extension in EXTENSIONS if name + extension in present), name + EXTENSIONS[0])
    return f"images/{file}"
