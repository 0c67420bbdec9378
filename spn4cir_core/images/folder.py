"""Reader of a directory of pictures."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from spn4cir_core.errors import InputError
from spn4cir_core.images.base import QUERIES, TRIPLETS, FolderReader, FoundFile
from spn4cir_core.images.files import EXTENSIONS
from spn4cir_core.images.folder_metadata import COCO_METADATA, GROUP_COLUMN, METADATA, Metadata, read_metadata
from spn4cir_core.images.formats import file_format
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint, OmitFromFingerprint
from spn4cir_core.store.folder_state import folder_state

CAPTION_FILES = ("captions.csv", "captions.json", "captions.jsonl", "captions.parquet")
OWN_FILES = (*METADATA, *COCO_METADATA, TRIPLETS, QUERIES, *CAPTION_FILES)
ENDINGS = tuple(EXTENSIONS)
TEXTS = frozenset([".csv", ".htm", ".html", ".json", ".jsonl", ".md", ".parquet", ".py", ".svg", ".txt", ".xml"])
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("evaluation", "eval", "test"), "evaluation"),
}


class Folder(FolderReader):
    """Pictures below one directory, which is one corpus or holds one corpus per sub-directory.

    A corpus and each of its folders may hold ``metadata.csv`` (or ``.parquet``, ``.jsonl``, COCO's ``.json``): a column
    ``file`` (or ``file_name``) with paths relative to the table's folder, and further columns, which become attributes.
    A file without a picture's extension is a picture by its first bytes. Names that start with ``.`` or ``_`` are
    ignored, and so are linked directories and the store that the pictures are read for, where it lies among them.
    """

    plugin_kind: ClassVar[str] = "folder"
    subdirectories: Literal["categories", "corpora"] = "categories"
    """What the directories directly below ``folder`` are."""
    corpus: Annotated[str, OmitFromFingerprint()] = Field(default="", pattern=r"^[^/]*$")
    """Name of the one corpus; empty: the folder's own. It decides fingerprints, as the folder's name does: give a
    renamed folder its old name here, and what was made before is used again."""
    split_folders: Annotated[bool, OmitDefaultFromFingerprint()] = True
    """Whether the first directories inside the corpus are splits, where all are called train, validation, test or the
    like, and at least two of these. The category is then the next directory."""
    category_column: str = ""
    """Metadata column that gives the category; empty: the first directory inside the corpus does."""
    group_column: str = ""
    """Metadata column whose equal values keep images on one side of the split; empty: a column ``group``, if any."""
    split_column: str = ""
    """Metadata column that asks for a split: train, validation (val, dev) or evaluation (test)."""

    @model_validator(mode="after")
    def _names_one_corpus(self) -> Self:
        if self.corpus and self.subdirectories == "corpora":
            raise ValueError('corpus names the whole folder; with subdirectories = "corpora" each has its own name')
        return self

    def root(self, store_root: Path) -> Path:
        """The directory itself."""
        root = self.folder.expanduser()
        if not root.is_dir():
            problem = "is not a folder" if root.exists() else "does not exist"
            raise InputError(f"image folder {root.absolute()} {problem}; give a directory of pictures")
        return root.resolve()

    def corpus_folder(self, corpus: str) -> str:
        """The corpus's sub-directory, or the root where the whole directory is one corpus."""
        return corpus if self.subdirectories == "corpora" else ""

    def files(self, store_root: Path) -> Iterator[FoundFile]:
        """Every picture of every corpus. A file that only the metadata names is listed too."""
        root = self.root(store_root)
        roots = (root, *self.linked_folders())
        store = store_root.resolve()
        listing = [
            file
            for name, folder in self._folder_of(root, store).items()
            for file in self._corpus(roots, folder, name, store)
        ]
        if self.subdirectories == "corpora":
            # A picture beside the corpora belongs to none: the scan drops it and says so.
            listing += [FoundFile(entry.name, "") for entry in root.iterdir() if _is_picture(entry, roots)]
        yield from sorted(listing, key=lambda file: file.path)

    @override
    def state(self, store_root: Path) -> str | None:
        """That of all below the directory; of a reader derived from this one nothing is known."""
        state = folder_state(self.root(store_root), store_root.resolve()) if type(self) is Folder else None
        return f"{state} {self.corpus}" if state and self.corpus else state

    @override
    def corpora(self, store_root: Path) -> set[str]:
        """Looks no further than the first picture of each, where it has one."""
        root = self.root(store_root)
        roots, store = (root, *self.linked_folders()), store_root.resolve()
        return {
            name
            for name, folder in self._folder_of(root, store).items()
            if next(picture_names(root / folder, roots, store), None)
            or next(self._corpus(roots, folder, name, store), None)
        }

    def _folder_of(self, root: Path, store: Path) -> dict[str, str]:
        """Corpus → its folder, relative to the root; the store is none."""
        if self.subdirectories == "categories":
            return {self.corpus or root.name or "corpus": ""}
        folders = [entry for entry in root.iterdir() if entry.is_dir() and entry != store]
        names = sorted(entry.name for entry in folders if not _hidden(entry.name))
        return dict(zip(names, names, strict=True))

    def ignored(self, store_root: Path) -> Mapping[str, int]:
        """The files that are neither pictures nor this package's own tables."""
        root = self.root(store_root)
        roots = (root, *self.linked_folders())
        others = (
            Path(folder) / name
            for folder, names in _walk(root, store_root.resolve())
            for name in names
            if not _has_extension(name) and name not in OWN_FILES
        )
        return Counter(
            path.suffix.lower() or "no extension" for path in others if path.is_file() and not _is_picture(path, roots)
        )

    def _corpus(self, roots: Sequence[Path], folder: str, corpus: str, store: Path) -> Iterator[FoundFile]:
        base = roots[0] / folder
        pictures = sorted(picture_names(base, roots, store))
        metadata = read_metadata(base, _folders(base, store), pictures, roots)
        self._check_columns(metadata, base)
        splits = _split_folders(pictures) if self.split_folders else {}
        for inner in sorted({*pictures, *metadata.rows}):
            row = dict(metadata.rows.get(inner, {}))
            folders = inner.split("/")[:-1]
            split = splits.get(folders[0], "") if folders else ""
            category = next(iter(folders[1:] if split else folders), "") if not self.category_column else ""
            yield FoundFile(
                path=f"{folder}/{inner}" if folder and not inner.startswith("/") else inner,
                corpus=corpus,
                category=row.pop(self.category_column, category),
                group=row.pop(self.group_column, "") if self.group_column else row.get(GROUP_COLUMN, ""),
                split=_split(row.pop(self.split_column, ""), inner, base) or split,
                attributes=row,
            )

    def _check_columns(self, metadata: Metadata, base: Path) -> None:
        known = metadata.columns()
        for name in ("category_column", "group_column", "split_column"):
            column = getattr(self, name)
            if column and metadata.rows and column not in known:
                raise InputError(f"the metadata of {base} has no column {column!r} ({name}); it has {sorted(known)}")


def picture_names(base: Path, roots: Sequence[Path], store: Path | None = None) -> Iterator[str]:
    """Paths of the files below a folder that claim to be pictures, relative to it; links may lead into ``roots``.

    Those of the store, where it lies below the folder, are none.
    """
    for folder, names in _walk(base, store):
        relative = Path(folder).relative_to(base).as_posix()
        prefix = "" if relative == "." else f"{relative}/"
        yield from (
            f"{prefix}{name}" for name in names if _has_extension(name) or _is_picture(Path(folder) / name, roots)
        )


def _has_extension(name: str) -> bool:
    """Whether a file that is no folder claims to be a picture by its name."""
    return name.lower().endswith(ENDINGS) and not _hidden(name)


def _hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _is_picture(path: Path, roots: Sequence[Path]) -> bool:
    """Whether a file claims to be a picture by its name or, where that tells nothing, by its first bytes.

    Links that lead out of the roots, and files that are text by their names, are not looked into.
    """
    suffix = path.suffix.lower()
    if _hidden(path.name) or suffix in TEXTS or path.is_dir():
        return False
    if suffix in EXTENSIONS:
        return True
    try:
        return any(path.resolve().is_relative_to(root) for root in roots) and file_format(path) != ""
    except (OSError, RuntimeError, ValueError):  # as in ImageFiles.locate
        return False


def _walk(base: Path, store: Path | None) -> Iterator[tuple[str, list[str]]]:
    """The folder and each below it with the names of its files, but for hidden names, links and the store."""
    own = None if store is None else os.fspath(store)
    for folder, folders, names in os.walk(base):
        folders[:] = [name for name in folders if not _hidden(name) and os.path.join(folder, name) != own]  # noqa: PTH118 -- no object for each folder
        yield folder, [name for name in names if not _hidden(name)]


def _folders(base: Path, store: Path) -> list[str]:
    """The folder itself and all below it that pictures are looked for in, relative to it."""
    relative = (Path(folder).relative_to(base).as_posix() for folder, _ in _walk(base, store))
    return ["" if folder == "." else folder for folder in relative]


def _split_folders(pictures: Sequence[str]) -> dict[str, str]:
    """First folder → split, as in Hugging Face's imagefolder; empty where the first folders are something else."""
    first = {name.partition("/")[0] for name in pictures if "/" in name}
    splits = {name: SPLITS.get(name.lower(), "") for name in first}
    return splits if all(splits.values()) and len(set(splits.values())) > 1 else {}


def _split(value: str, file: str, base: Path) -> str:
    if value and value.lower() not in SPLITS:
        raise InputError(f"the metadata of {base} asks for split {value!r} for {file}; use one of {', '.join(SPLITS)}")
    return SPLITS.get(value.lower(), "")
