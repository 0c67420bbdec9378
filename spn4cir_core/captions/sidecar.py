"""Captions that a corpus already has: a table, a text file beside each picture, or its metadata."""

from __future__ import annotations

import csv
import logging
import os
import string
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, Literal

from PIL import Image
from typing_extensions import override

from spn4cir_core.captions.base import Captioner, ToCaption
from spn4cir_core.captions.title_text import clean_title
from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles, PictureError
from spn4cir_core.images.folder import picture_names
from spn4cir_core.images.name_matching import match_names
from spn4cir_core.images.user_tables import READERS, Row, as_text, coco_rows, is_coco, read_table
from spn4cir_core.models.answer_text import one_line
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint, files_fingerprint, fingerprint, plain
from spn4cir_core.user_files import inside, parse_json

log = logging.getLogger(__name__)


class Sidecar(Captioner):
    """Takes titles, alt texts or captions from files that came with the pictures."""

    plugin_kind: ClassVar[str] = "sidecar"
    source: Literal["table", "text", "attributes"] = "table"
    """``table``: one file per corpus; ``text``: ``name.txt`` beside ``name.jpg``; ``attributes``: the metadata."""
    table: str = "captions.csv"
    """A .csv, .json, .jsonl or .parquet below the image root or in a folder directly below it."""
    file_column: str = "file"
    """Names pictures relative to the folder of the table."""
    caption_column: str = "caption"
    template: str = "{caption}"
    """Filled from the attributes, e.g. ``{colour} {label}``; an image that lacks one gets no caption."""
    clean_titles: Annotated[bool, OmitDefaultFromFingerprint()] = False
    """Whether HTML, article codes and ``key: value`` lists are taken apart, as the captioner ``auto`` does."""

    @property
    @override
    def sees(self) -> bool:
        """What it says lies beside the pictures."""
        return False

    @override
    def fingerprint(self, files: ImageFiles) -> str:
        """Hash of the settings, the tables or text files, and what names of another spelling are matched with."""
        sides = {"table": self._tables, "text": _texts, "attributes": _none}[self.source](files)
        digest = {**plain(self), "files": files_fingerprint(sides, files.root)}
        respelled = self._named(files)[1] if self.source == "table" else {}
        return fingerprint({**digest, "respelled": respelled} if respelled else digest)

    @override
    def metadata_columns(self) -> tuple[str, ...]:
        return tuple(sorted(self._names())) if self.source == "attributes" else ()

    @override
    def prompt(self, image: ToCaption) -> str:
        """Empty: there is no prompt."""
        return ""

    @override
    def row_key(self, image: ToCaption) -> str:
        """The caption hangs on the picture's name or metadata, not on its pixels."""
        return fingerprint({"path": image.path, "attributes": image.attributes})

    @override
    def start(self, files: ImageFiles) -> Callable[[Sequence[ToCaption], Sequence[Image.Image]], list[str]]:
        """Read the table, if that is the source.

        Raises:
            InputError: the table is missing, unreadable, lacks a column, or the template is malformed.
        """
        caption = {"table": self._from_table, "text": self._from_text, "attributes": self._from_attributes}[
            self.source
        ](files)
        tidy = clean_title if self.clean_titles else one_line
        return lambda images, pictures: [tidy(first_of(caption(image))) for image in images]

    def _from_table(self, files: ImageFiles) -> Callable[[ToCaption], str]:
        captions, _ = self._named(files)
        return lambda image: captions.get(image.path, "")

    def _named(self, files: ImageFiles) -> tuple[dict[str, str], dict[str, str]]:
        """Captions by the path of the picture, and the paths that names of another spelling are matched with."""
        captions: dict[str, str] = {}
        respelled: dict[str, str] = {}
        for path in self._tables(files):
            folder = PurePosixPath(path.parent.relative_to(files.root).as_posix())
            rows = list(read_caption_file(path, self.file_column, self.caption_column))
            unseen = [name for name, _ in rows if not os.path.isfile(path.parent / name)]  # noqa: PTH113 -- no error for any name
            pictures = picture_names(path.parent, (files.root, *files.linked_folders)) if unseen else ()
            matched = match_names(dict.fromkeys(unseen), pictures)
            if matched.present and matched.missing:
                log.warning("%s: %s", path, matched.hint())
            respelled |= {name: (folder / other).as_posix() for name, other in matched.path_of.items()}
            for name, caption in rows:
                captions.setdefault((folder / matched.path_of.get(name, name)).as_posix(), caption)
        return captions, respelled

    def _from_text(self, files: ImageFiles) -> Callable[[ToCaption], str]:
        def caption(image: ToCaption) -> str:
            try:
                return files.read(PurePosixPath(image.path).with_suffix(".txt").as_posix()).decode("utf-8-sig")
            except (PictureError, UnicodeDecodeError) as error:
                log.warning("no caption for %s: %s", image.path, error)
                return ""

        return caption

    def _parts(self) -> list[tuple[str, str | None]]:
        """Literal text and the column after it; the whole text between two braces is the column's name."""
        try:
            parts = list(string.Formatter().parse(self.template))
        except ValueError as error:
            raise InputError(f"sidecar template {self.template!r} is malformed: {error}") from error
        columns = [
            (text, None if name is None else _written(name, conversion, spec)) for text, name, spec, conversion in parts
        ]
        names = [column for _, column in columns if column is not None]
        if not names or "" in names:
            raise InputError(f"sidecar template {self.template!r} names no attribute in its braces, e.g. {{caption}}")
        return columns

    def _names(self) -> set[str]:
        return {column for _, column in self._parts() if column is not None}

    def _from_attributes(self, files: ImageFiles) -> Callable[[ToCaption], str]:
        parts, names = self._parts(), self._names()

        def caption(image: ToCaption) -> str:
            values = {name: first_of(image.attributes.get(name, "")).strip() for name in names}
            filled = [text + (values[column] if column is not None else "") for text, column in parts]
            return "".join(filled) if all(values.values()) else ""

        return caption

    def _tables(self, files: ImageFiles) -> list[Path]:
        try:
            value = sorted([*files.root.glob(self.table), *files.root.glob(f"*/{self.table}")])
        except (ValueError, NotImplementedError) as error:  # an empty or an absolute path
            raise InputError(f"sidecar table {self.table!r} must be a path below {files.root}: {error}") from error
        if not value:
            raise InputError(f"no {self.table} in {files.root} or in a folder directly below it")
        return [inside(path, files.root, *files.linked_folders) for path in value]


def _written(name: str, conversion: str | None, spec: str | None) -> str:
    """What stands between two braces, whatever Python would make of it."""
    return name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")


def _texts(files: ImageFiles) -> list[Path]:
    return sorted(path for path in files.root.rglob("*.txt") if path.is_file())


def _none(files: ImageFiles) -> list[Path]:
    return []


def first_of(text: str) -> str:
    """The first of several captions, where the text is a JSON list of them; else the text."""
    if text.startswith("["):
        try:
            value = parse_json(text)
        except ValueError:
            return text
        return str(value[0]) if isinstance(value, list) and value else ""
    return text


def read_caption_file(path: Path, file_column: str, caption_column: str) -> Iterator[tuple[str, str]]:
    """Yield (file, caption) of each row; a JSON object may map files to captions directly.

    Raises:
        InputError: the file cannot be read, or lacks a column.
    """
    if path.suffix not in READERS:
        raise InputError(f"caption table {path}: the suffix must be one of {', '.join(READERS)}")
    try:
        rows = _rows(path, file_column, caption_column)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"caption table {path} cannot be read: {error}") from error
    for row in rows:
        for column in (file_column, caption_column):
            if column not in row:
                raise InputError(f"caption table {path} has no column {column!r} in a row with {sorted(map(str, row))}")
        caption = row[caption_column]
        yield str(row[file_column]), as_text({caption_column: caption})[caption_column] if caption else ""


def _rows(path: Path, file_column: str, caption_column: str) -> list[Row]:
    value = parse_json(path.read_text(encoding="utf-8-sig")) if path.suffix == ".json" else None
    if isinstance(value, dict) and is_coco(value):
        return [{file_column: row["file_name"], caption_column: row.get("caption")} for row in coco_rows(value)]
    if isinstance(value, dict):
        return [{file_column: name, caption_column: caption} for name, caption in value.items()]
    return read_table(path)
