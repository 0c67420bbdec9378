"""Reader of a directory of pictures."""

from __future__ import annotations

import csv
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from spn4cir_core.errors import InputError
from spn4cir_core.images.base import QUERIES, TRIPLETS, FoundFile, Reader
from spn4cir_core.images.files import EXTENSIONS
from spn4cir_core.images.formats import file_format
from spn4cir_core.store.fingerprints import OmitFromFingerprint
from spn4cir_core.user_files import inside, read_json_lines

log = logging.getLogger(__name__)

METADATA = ("metadata.csv", "metadata.parquet", "metadata.jsonl")
OWN_FILES = (*METADATA, TRIPLETS, QUERIES, "captions.csv", "captions.json", "captions.jsonl", "captions.parquet")
TEXTS = frozenset([".csv", ".htm", ".html", ".json", ".jsonl", ".md", ".parquet", ".py", ".svg", ".txt", ".xml"])
FILE_COLUMNS = ("file", "file_name")
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("evaluation", "eval", "test"), "evaluation"),
}
Rows = dict[str, dict[str, str]]


class Folder(Reader):
    """Pictures below one directory, which is one corpus or holds one corpus per sub-directory.

    A corpus may hold ``metadata.csv`` (or ``.parquet``, ``.jsonl``): a column ``file`` (or ``file_name``)
    with paths relative to the corpus, and further columns, which become attributes. A file without a picture's
    extension is a picture by its first bytes. Names that start with ``.`` or ``_`` are ignored, and so are linked
    directories.
    """

    plugin_kind: ClassVar[str] = "folder"
    folder: Annotated[Path, OmitFromFingerprint()]
    subdirectories: Literal["categories", "corpora"] = "categories"
    """What the directories directly below ``folder`` are."""
    category_column: str = ""
    """Metadata column that gives the category; empty: the first directory inside the corpus does."""
    group_column: str = ""
    """Metadata column whose equal values keep images on one side of the split."""
    split_column: str = ""
    """Metadata column that asks for a split: train, validation (val, dev) or evaluation (test)."""

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
        if self.subdirectories == "categories":
            listing = list(self._corpus(root, "", root.name or "corpus"))
        else:
            folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not _hidden(entry.name))
            listing = [file for name in folders for file in self._corpus(root, name, name)]
            # A picture beside the corpora belongs to none: the scan drops it and says so.
            listing += [FoundFile(entry.name, "") for entry in root.iterdir() if _is_picture(entry, root)]
        yield from sorted(listing, key=lambda file: file.path)

    def ignored(self, store_root: Path) -> Mapping[str, int]:
        """The files that are neither pictures nor this package's own tables."""
        root = self.root(store_root)
        return Counter(
            path.suffix.lower() or "no extension"
            for path in _paths(root)
            if path.name not in OWN_FILES and path.is_file() and not _is_picture(path, root)
        )

    def _corpus(self, root: Path, folder: str, corpus: str) -> Iterator[FoundFile]:
        base = root / folder
        rows = _read_metadata(base, root)
        self._check_columns(rows, base)
        for inner in sorted({*_walk(base, root), *rows}):
            row = dict(rows.get(inner, {}))
            parts = PurePosixPath(inner).parts
            category = parts[0] if len(parts) > 1 and not self.category_column else ""
            yield FoundFile(
                path=(PurePosixPath(folder) / inner).as_posix(),
                corpus=corpus,
                category=row.pop(self.category_column, category),
                group=row.pop(self.group_column, ""),
                split=_split(row.pop(self.split_column, ""), inner, base),
                attributes=row,
            )

    def _check_columns(self, rows: Rows, base: Path) -> None:
        wanted = {
            name: getattr(self, name)
            for name in ("category_column", "group_column", "split_column")
            if getattr(self, name)
        }
        known = next(iter(rows.values()), {})
        for name, column in wanted.items():
            if rows and column not in known:
                raise InputError(f"the metadata of {base} has no column {column!r} ({name}); it has {sorted(known)}")


def _hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _is_picture(path: Path, root: Path) -> bool:
    """Whether a file claims to be a picture by its name or, where that tells nothing, by its first bytes.

    Links that lead out of the root, and files that are text by their names, are not looked into.
    """
    suffix = path.suffix.lower()
    if _hidden(path.name) or suffix in TEXTS or path.is_dir():
        return False
    if suffix in EXTENSIONS:
        return True
    try:
        return path.resolve().is_relative_to(root) and file_format(path) != ""
    except (OSError, RuntimeError, ValueError):  # as in ImageFiles.locate
        return False


def _paths(base: Path) -> Iterator[Path]:
    """All that lies below a folder, but for hidden names."""
    for folder, folders, names in os.walk(base):
        folders[:] = [name for name in folders if not _hidden(name)]
        yield from (Path(folder) / name for name in names if not _hidden(name))


def _walk(base: Path, root: Path) -> Iterator[str]:
    return (path.relative_to(base).as_posix() for path in _paths(base) if _is_picture(path, root))


def _split(value: str, file: str, base: Path) -> str:
    if value and value.lower() not in SPLITS:
        raise InputError(f"the metadata of {base} asks for split {value!r} for {file}; use one of {', '.join(SPLITS)}")
    return SPLITS.get(value.lower(), "")


def _read_metadata(base: Path, root: Path) -> Rows:
    present = [name for name in METADATA if (base / name).is_file()]
    if not present:
        return {}
    if len(present) > 1:
        raise InputError(f"{base} has {' and '.join(present)}; keep one of them")
    path = inside(base / present[0], root)
    read = {".csv": _read_csv, ".parquet": _read_parquet, ".jsonl": _read_jsonl}[path.suffix]
    try:
        table = read(path)
    except (OSError, ValueError, csv.Error) as error:  # Arrow's and JSON's errors are ValueErrors
        raise InputError(f"{path} cannot be read: {error}. It must be UTF-8, with one line of column names") from error
    column = next((name for name in FILE_COLUMNS if table and name in table[0]), None)
    if table and column is None:
        raise InputError(f"{path} has no column {FILE_COLUMNS[0]!r}; it has {sorted(table[0])}")
    rows: Rows = {}
    for row in table:
        name = PurePosixPath(row[str(column)].strip()).as_posix()
        if name in rows:
            log.warning("%s names %s more than once; its first row is used", path, name)
        elif name != ".":
            rows[name] = {key: value for key, value in row.items() if key != column}
    return rows


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, restkey="", restval="")
        return [{key: value for key, value in row.items() if key} for row in reader]


def _read_parquet(path: Path) -> list[dict[str, str]]:
    import pyarrow.parquet as pq

    return [_as_text(row) for row in pq.read_table(path).to_pylist()]


def _read_jsonl(path: Path) -> list[dict[str, str]]:
    lines = read_json_lines(path)
    if any(not isinstance(line, dict) for line in lines):
        raise ValueError("every line must be a JSON object")
    columns = list(dict.fromkeys(key for line in lines for key in line))
    return [_as_text({key: line.get(key) for key in columns}) for line in lines]


def _as_text(row: dict[str, Any]) -> dict[str, str]:
    return {key: _text(value) for key, value in row.items()}


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, default=str)
