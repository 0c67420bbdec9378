"""What every reader of pictures is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from spn4cir_core.plugins import Plugin, Room

READERS = Room(
    "reader",
    {
        "folder": "spn4cir_core.images.folder:Folder",
        "shapes": "spn4cir_core.images.shapes:Shapes",
    },
)


@dataclass(frozen=True)
class FoundFile:
    """A file that claims to be a picture. ``path`` is relative to the reader's root, POSIX style."""

    path: str
    corpus: str
    category: str = ""
    group: str = ""
    split: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


class Reader(Plugin):
    """Finds picture files below one root. A generated corpus writes its files first."""

    @abstractmethod
    def root(self, store_root: Path) -> Path:
        """The folder all paths are relative to; a generated corpus lives below ``store_root``.

        Raises:
            InputError: the folder is missing or is no folder.
        """

    @abstractmethod
    def files(self, store_root: Path) -> Iterator[FoundFile]:
        """Every file that claims to be a picture, sorted by path. Files that claim nothing are ignored."""

    def corpus_folder(self, corpus: str) -> str:
        """Folder of one corpus relative to the root, where its annotation files lie; empty: the root itself."""
        return corpus
