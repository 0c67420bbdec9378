"""The contract of readers of pictures, and the table of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, cast

from pydantic import model_validator
from typing_extensions import override

from spn4cir_core.engine.plugins import Plugin, Room
from spn4cir_core.errors import InputError, RecipeError
from spn4cir_core.models.model_source import missing_by
from spn4cir_core.store.fingerprints import OmitFromFingerprint

READERS = Room(
    "reader",
    {
        "circo": "spn4cir_core.images.circo:Circo",
        "cirr": "spn4cir_core.images.cirr:Cirr",
        "fashioniq": "spn4cir_core.images.fashioniq:FashionIq",
        "folder": "spn4cir_core.images.folder:Folder",
        "genecis": "spn4cir_core.images.genecis:GeneCis",
        "shapes": "spn4cir_core.images.shapes:Shapes",
        "together": "spn4cir_core.images.combined_reader:Together",
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


@dataclass(frozen=True)
class AnnotationFile:
    """A file of triplets or queries that comes with a corpus. ``path`` is relative to the reader's root."""

    path: str
    corpus: str
    layout: Literal["corpus", "fashioniq", "cirr", "circo", "genecis"]
    """``corpus`` for this package's own CSV files, else the benchmark whose layout it has."""
    holds: Literal["triplets", "queries"]
    """Triplets are trained on, queries evaluated on."""
    pictures: Mapping[str, str] = field(default_factory=dict)
    """Image name in the file → path relative to the reader's root; empty where names are paths in the corpus."""
    as_published: bool = False
    """Whether its rows are read as the published code reads them (:class:`~.benchmark.Benchmark`)."""


TRIPLETS, QUERIES = "triplets.csv", "queries.csv"
"""This package's own annotation files, in a corpus's folder."""


class Reader(Plugin):
    """Finds picture files below one root. A generated corpus writes its files first."""

    links_into: Annotated[Path | None, OmitFromFingerprint()] = None
    """A folder outside the root that links in it may lead into: ``…/blobs`` of a Hugging Face cache."""

    def linked_folders(self) -> tuple[Path, ...]:
        """The folders outside the root that links may lead into, resolved.

        Raises:
            InputError: ``links_into`` is no folder.
        """
        if self.links_into is None:
            return ()
        folder = self.links_into.expanduser()
        if not folder.is_dir():
            raise InputError(f"images.reader.links_into: {folder.absolute()} is not a folder")
        return (folder.resolve(),)

    @override
    def missing(self) -> Iterable[str]:
        """The folder that links may lead into."""
        yield from missing_by(lambda: Reader.linked_folders(self))

    @abstractmethod
    def root(self, store_root: Path) -> Path:
        """The folder all paths are relative to; a generated corpus lives below ``store_root``.

        Raises:
            InputError: the folder is missing or is no folder.
        """

    @abstractmethod
    def files(self, store_root: Path) -> Iterator[FoundFile]:
        """Every file that claims to be a picture, sorted by path. Files that claim nothing are ignored."""

    def state(self, store_root: Path) -> str | None:
        """What changes whenever anything that :meth:`files` reads changes; None where only reading tells."""
        return None

    def ignored(self, store_root: Path) -> Mapping[str, int]:
        """Extension, in lower case, → number of files that are no pictures; by default none are counted."""
        return {}

    def corpus_folder(self, corpus: str) -> str:
        """Folder of one corpus relative to the root, where its annotation files lie; empty: the root itself."""
        return corpus

    def corpora(self, store_root: Path) -> set[str]:
        """Names of the corpora that have files."""
        return {file.corpus for file in self.files(store_root) if file.corpus}

    def annotation_files(self, store_root: Path) -> Iterator[AnnotationFile]:
        """The annotation files there are, in a fixed order; by default the two CSV files in each corpus's folder."""
        root = self.root(store_root)
        for corpus in sorted(self.corpora(store_root)):
            for name, holds in ((TRIPLETS, "triplets"), (QUERIES, "queries")):
                path = PurePosixPath(self.corpus_folder(corpus), name).as_posix()
                if (root / path).exists():
                    yield AnnotationFile(path, corpus, "corpus", cast(Literal["triplets", "queries"], holds))


class FolderReader(Reader):
    """A reader whose root is a folder that is there before a run, wherever the store is."""

    folder: Annotated[Path, OmitFromFingerprint()]

    @model_validator(mode="before")
    @classmethod
    def _has_a_folder(cls, settings: Any) -> Any:
        if isinstance(settings, Mapping) and "folder" not in settings:
            raise RecipeError("which pictures? Name their folder with --images, or as folder under [images.reader]")
        return settings

    @override
    def missing(self) -> Iterable[str]:
        """The folder of pictures, too."""
        yield from missing_by(lambda: self.root(Path()))
        yield from super().missing()
