"""What the readers of published benchmarks share: a folder in the layout of its publishers."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar

from spn4cir_core.errors import InputError
from spn4cir_core.images.base import FolderReader, FoundFile
from spn4cir_core.images.folder import picture_names
from spn4cir_core.images.manifest import manifest_column
from spn4cir_core.images.name_matching import folded_stem
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint

NAME = "name"
"""Attribute that holds the image's name in the benchmark's files."""
GALLERIES = "galleries"
"""Attribute that names the evaluation galleries an image belongs to, separated by ``|``."""


class Benchmark(FolderReader):
    """A benchmark's pictures and annotations below one folder. A picture that is named but missing is counted.

    The corpus's name is the benchmark's. Whatever belongs to an evaluation gallery is never trained on.
    """

    HINT: ClassVar[str] = "holds the benchmark"
    as_published: Annotated[bool, OmitDefaultFromFingerprint()] = False
    """Read annotations as the published code does: an empty caption still joins ("and is red"), queries whose reference
    and target are equal pixels are asked, triplets that stand twice or whose target people rejected are trained on."""

    def root(self, store_root: Path) -> Path:
        """The folder itself."""
        root = self.folder.expanduser()
        if not root.is_dir():
            raise InputError(
                f"{self.plugin_kind} folder {root.absolute()} is not there; give the folder that {self.HINT}"
            )
        return root.resolve()

    def files(self, store_root: Path) -> Iterator[FoundFile]:
        """Every picture that the benchmark names, also those that are missing.

        Raises:
            InputError: all pictures of a split are missing.
        """
        root = self.root(store_root)
        files = self.located(root)
        for split in sorted({file.split for file in files}, reverse=True):  # train first
            self._check_presence(root, [file for file in files if file.split == split])
        yield from sorted(files, key=lambda file: file.path)

    @abstractmethod
    def pictures(self, root: Path) -> Iterable[FoundFile]:
        """The pictures in any order, each with the attributes ``name`` and, for evaluation, ``galleries``.

        The path is where the publisher has the picture; one that lies elsewhere below the root is found by its name.
        """

    def located(self, root: Path) -> list[FoundFile]:
        """The pictures with the paths at which they lie; a missing one keeps the publisher's path."""
        files = list(self.pictures(root))
        missing = [index for index, file in enumerate(files) if not (root / file.path).is_file()]
        if missing:
            paths = sorted(picture_names(root, (root, *self.linked_folders())), key=lambda path: (len(path), path))
            by_stem: dict[str, list[str]] = defaultdict(list)
            for path in paths:
                by_stem[folded_stem(path)].append(path)
            for index in missing:
                elsewhere = by_stem.get(folded_stem(files[index].path), [])
                own = [path for path in elsewhere if files[index].category in PurePosixPath(path).parts[:-1]]
                files[index] = replace(files[index], path=next(iter([*own, *elsewhere]), files[index].path))
        return files

    def names(self, root: Path) -> dict[str, str]:
        """Image name → path relative to the root."""
        return {file.attributes[NAME]: file.path for file in self.located(root)}

    def _check_presence(self, root: Path, files: list[FoundFile]) -> None:
        if files and not any((root / file.path).is_file() for file in files):
            there = next(picture_names(root, (root, *self.linked_folders())), "")
            split = {"train": "training"}.get(files[0].split, files[0].split)
            raise InputError(
                f"all {len(files)} {split} pictures of {self.plugin_kind} are missing below {root}: expected for "
                f"example {files[0].path!r}, {f'found for example {there!r}' if there else 'found no picture at all'}"
            )


def first_folder(root: Path, *candidates: str) -> Path:
    """The first of several folders that is there: publishers and mirrors differ.

    Raises:
        InputError: none of them is.
    """
    for name in candidates:
        if (root / name).is_dir():
            return root / name
    raise InputError(f"{root} holds none of the folders {', '.join(map(repr, candidates))}")


def published_names(images: Artifact) -> dict[str, str]:
    """Image id → name in its benchmark, of all images of an ``images`` artefact that a benchmark's reader listed."""
    attributes_of = {image_id: dict(pairs or ()) for image_id, pairs in manifest_column(images, "attributes").items()}
    return {
        image_id: attributes[NAME]
        for image_id, attributes in attributes_of.items()
        if {NAME, GALLERIES} <= attributes.keys()
    }
