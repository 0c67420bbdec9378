"""The metadata of a folder of pictures: tables in it and in its sub-folders, their names matched with the files."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from spn4cir_core.errors import InputError
from spn4cir_core.images.name_matching import match_names, several_names
from spn4cir_core.images.user_tables import Row, as_text, read_table
from spn4cir_core.user_files import inside

log = logging.getLogger(__name__)
METADATA = ("metadata.csv", "metadata.parquet", "metadata.jsonl")
COCO_METADATA = ("metadata.json", "_annotations.coco.json")
"""Read where there is none of the others, and they are in COCO's layout or a list of objects that name files."""
FILE_COLUMNS = ("file", "file_name", "filename", "image", "image_file", "image_path", "images", "path")
"""Names of the column with the pictures, the first that a table has."""
SHOP_COLUMNS = {"image_src": "shopify", "product_image_url": "shopify", "regular_price": "woocommerce"}
"""Columns by which a shop's export is known that was laid into the folder as it is."""
GROUP_COLUMN, VARIANT_COLUMN = "group", "variant"
"""Product and variant of it, where the recipe names no group column: two colours of one product are two variants."""


class MetadataError(InputError):
    """A table that cannot be used as metadata."""


@dataclass
class Metadata:
    """The rows of the tables of one folder, by the path of the picture relative to it."""

    rows: dict[str, dict[str, str]] = field(default_factory=dict)

    def columns(self) -> set[str]:
        """The names of all columns."""
        return {column for row in self.rows.values() for column in row}

    def add(self, path: str, row: dict[str, str]) -> None:
        """The row of a table further down goes before that of one further up; neither empties what the other fills."""
        before = self.rows.get(path, {})
        self.rows[path] = before | {key: value for key, value in row.items() if value or key not in before}


def read_metadata(base: Path, folders: Sequence[str], pictures: Sequence[str], roots: Sequence[Path]) -> Metadata:
    """What the tables in a folder and below it say about its pictures.

    A name that matches no picture keeps its row, so that the scan can drop and count it.

    Args:
        folders: the folder itself (``""``) and those below it, relative to ``base``.
        pictures: paths of the pictures, relative to ``base``.
        roots: the folders that tables may lie in, links followed.

    Raises:
        InputError: a table leads out of the roots; the folder's own cannot be read, has no column of files, or names
            several pictures and not one that is there. Such a table further down is not used, and the log says so.
    """
    metadata = Metadata()
    for folder in sorted(folders, key=lambda name: (name.count("/") + bool(name), name)):
        try:
            rows = _rows_below(base, folder, pictures, roots)
        except MetadataError as error:
            if not folder:
                raise
            log.warning("%s. The table is not used", error)
            continue
        for name, row in rows:
            metadata.add(f"{folder}/{name}" if folder and not name.startswith("/") else name, row)
    return metadata


def _rows_below(
    base: Path, folder: str, pictures: Sequence[str], roots: Sequence[Path]
) -> list[tuple[str, dict[str, str]]]:
    path = _table(base / folder)
    if path is None:
        return []
    prefix = f"{folder}/" if folder else ""
    below = [name.removeprefix(prefix) for name in pictures if name.startswith(prefix)]
    return list(_matched(path, _rows(inside(path, *roots)), below))


def _table(folder: Path) -> Path | None:
    present = [name for name in METADATA if (folder / name).is_file()]
    if len(present) > 1:
        raise MetadataError(f"{folder} has {' and '.join(present)}; keep one of them")
    present += [name for name in COCO_METADATA if (folder / name).is_file()]
    return folder / present[0] if present else None


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        table = [as_text(row) for row in read_table(path)]
    except (OSError, ValueError, csv.Error) as error:  # Arrow's and JSON's errors are ValueErrors
        if path.name in COCO_METADATA:
            log.warning("%s is not used: %s", path, error)
            return []
        raise MetadataError(
            f"{path} cannot be read: {error}. It must be UTF-8, with one line of column names"
        ) from error
    return table


def _file_column(path: Path, row: Row) -> str:
    folded = {column.strip().casefold().replace(" ", "_"): column for column in reversed(row)}
    column = next((folded[name] for name in FILE_COLUMNS if name in folded), None)
    if column is None:
        shop = next((shop for column, shop in SHOP_COLUMNS.items() if column in folded), "")
        cure = f"Import it: spn4cir import --format {shop}" if shop else "Name the column of the pictures so"
        raise MetadataError(f"{path} has no column {FILE_COLUMNS[0]!r}; it has {sorted(row)}. {cure}")
    return column


def _matched(path: Path, table: list[dict[str, str]], pictures: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Path and other columns of each row, one for each of its pictures."""
    if not table or (path.name in COCO_METADATA and not any(name in table[0] for name in FILE_COLUMNS)):
        return
    named = list(_named(_file_column(path, table[0]), table, set(pictures)))
    matched = match_names(list(dict.fromkeys(name for name, _ in named)), pictures)
    if matched.missing:
        if pictures and len(matched.missing) > 1 and not matched.path_of:
            raise MetadataError(f"{path}: {matched.hint()}. Paths in it are relative to its folder")
        log.warning("%s: %s", path, matched.hint())
    rows: set[str] = set()
    for name, row in named:
        file = matched.path_of.get(name) or PurePosixPath(name).as_posix()
        if file in rows:
            log.warning("%s names %s more than once; its first row is used", path, file)
        elif file != ".":
            rows.add(file)
            yield file, row


def _named(column: str, table: list[dict[str, str]], pictures: set[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Name and other columns of each row's pictures; those of one row are one group, unless a column says otherwise."""
    for row in table:
        value = row[column].strip()
        names = [value] if value in pictures else several_names(value)
        others = {key: text for key, text in row.items() if key != column}
        if len(names) > 1 and not others.get(GROUP_COLUMN):
            others[GROUP_COLUMN] = names[0]
        yield from ((name, others) for name in names if name)
