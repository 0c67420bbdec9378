"""What the readers of published benchmarks share: a folder in the layout of its publishers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from spn4cir_core.errors import InputError
from spn4cir_core.images.base import FoundFile, Reader
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint, OmitFromFingerprint

NAME = "name"
"""Attribute that holds the image's name in the benchmark's files."""
GALLERIES = "galleries"
"""Attribute that names the evaluation galleries an image belongs to, separated by ``|``."""


class Benchmark(Reader):
    """A benchmark's pictures and annotations below one folder. A picture that is named but missing is counted.

    The corpus's name is the benchmark's. Whatever belongs to an evaluation gallery is never trained on.
    """

    HINT: ClassVar[str] = "holds the benchmark"
    folder: Annotated[Path, OmitFromFingerprint()]
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
        """Every picture that the benchmark names, also those that are missing."""
        yield from sorted(self.pictures(self.root(store_root)), key=lambda file: file.path)

    @abstractmethod
    def pictures(self, root: Path) -> Iterable[FoundFile]:
        """The pictures in any order, each with the attributes ``name`` and, for evaluation, ``galleries``."""

    def names(self, root: Path) -> dict[str, str]:
        """Image name → path relative to the root."""
        return {file.attributes[NAME]: file.path for file in self.pictures(root)}


def first_folder(root: Path, *candidates: str) -> Path:
    """The first of several folders that is there: publishers and mirrors differ.

    Raises:
        InputError: none of them is.
    """
    for name in candidates:
        if (root / name).is_dir():
            return root / name
    raise InputError(f"{root} holds none of the folders {', '.join(map(repr, candidates))}")
