"""Reader of several corpora at once: one to train on and a benchmark to be measured by, say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.engine.plugins import Choice
from spn4cir_core.errors import InputError
from spn4cir_core.images.base import READERS, AnnotationFile, FolderReader, FoundFile, Reader
from spn4cir_core.store.fingerprints import fingerprint


class Together(FolderReader):
    """Other readers' corpora, whose folders lie below one folder."""

    plugin_kind: ClassVar[str] = "together"
    readers: tuple[Annotated[Reader, Choice(READERS)], ...] = Field(min_length=1)

    def root(self, store_root: Path) -> Path:
        """The folder that all corpora lie below."""
        root = self.folder.expanduser()
        if not root.is_dir():
            raise InputError(f"folder {root.absolute()} of reader 'together' is not there")
        return root.resolve()

    def files(self, store_root: Path) -> Iterator[FoundFile]:
        """The files of all readers.

        Raises:
            InputError: a reader's folder lies elsewhere, or two readers have a corpus of one name or share files.
        """
        listing: list[FoundFile] = []
        owner: dict[str, int] = {}
        for number, (reader, base) in enumerate(self._based(store_root)):
            for file in reader.files(store_root):
                if owner.setdefault(file.corpus, number) != number and file.corpus:
                    raise InputError(f"two readers have a corpus {file.corpus!r}; rename one of the folders")
                listing.append(replace(file, path=(base / file.path).as_posix()))
        listing.sort(key=lambda file: file.path)
        for one, other in pairwise(listing):
            if one.path == other.path:
                raise InputError(f"two readers find {one.path!r}; give each a folder of its own")
        yield from listing

    @override
    def state(self, store_root: Path) -> str | None:
        """That of all readers together; None where one of them does not know its own."""
        states = [reader.state(store_root) for reader in self.readers]
        return None if None in states or type(self) is not Together else fingerprint(states)

    def linked_folders(self) -> tuple[Path, ...]:
        """Those of all readers together."""
        return tuple(folder for reader in self.readers for folder in reader.linked_folders()) + super().linked_folders()

    def ignored(self, store_root: Path) -> Mapping[str, int]:
        """Those of all readers together."""
        counts: Counter[str] = Counter()
        for reader in self.readers:
            counts.update(reader.ignored(store_root))
        return counts

    def annotation_files(self, store_root: Path) -> Iterator[AnnotationFile]:
        """The annotation files of all readers."""
        for reader, base in self._based(store_root):
            for file in reader.annotation_files(store_root):
                pictures = {name: (base / path).as_posix() for name, path in file.pictures.items()}
                yield replace(file, path=(base / file.path).as_posix(), pictures=pictures)

    def _based(self, store_root: Path) -> Iterator[tuple[Reader, PurePosixPath]]:
        root = self.root(store_root)
        for reader in self.readers:
            own = reader.root(store_root)
            if not own.is_relative_to(root):
                raise InputError(f"{own} of reader {reader.plugin_kind!r} does not lie below {root}, reader 'together'")
            yield reader, PurePosixPath(own.relative_to(root).as_posix())
