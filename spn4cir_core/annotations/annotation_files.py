"""Parse ``triplets.csv`` and ``queries.csv``: UTF-8, one header line, every fault counted with its line."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TypeVar

from spn4cir_core.annotations.records import SOURCE, Record
from spn4cir_core.errors import InputError
from spn4cir_core.images.base import QUERIES, TRIPLETS
from spn4cir_core.user_files import parse_json

Row = TypeVar("Row")
COLUMNS = {
    TRIPLETS: ("reference", "target", "modified_text"),
    QUERIES: ("query_id", "reference", "modified_text", "targets"),
}
OPTIONAL = ("kind", "modified_texts", "soft_targets", "negatives", "paraphrases", "weight", SOURCE)


@dataclass(frozen=True)
class Triplet:
    """One annotated triplet; ids are those of the manifest."""

    annotation_id: str
    corpus: str
    reference_id: str
    target_id: str
    modified_text: str
    modified_texts: list[str]
    """What one text is drawn from each time the triplet is trained on; ``[modified_text]`` unless the file has more."""
    kind: str
    source: str = ""
    """The row as it stood where it was imported from, as JSON; empty if it was not."""
    soft_targets: dict[str, float] = field(default_factory=dict)
    """Scores that people gave other images as answers; above zero they are right ones (CIRR's ``target_soft``)."""


@dataclass(frozen=True)
class Query:
    """One composed query with all its targets."""

    query_id: str
    corpus: str
    reference_id: str
    modified_text: str
    target_ids: list[str]
    kind: str
    source: str = ""
    more_reference_ids: list[str] = field(default_factory=list)
    """Further reference images beside the first."""
    negative_ids: list[str] = field(default_factory=list)
    """Images that people marked as wrong answers (explicit negatives)."""
    paraphrases: list[str] = field(default_factory=list)
    """The modified text in other words."""
    weight: float = 1.0
    """How many queries it stands for in a mean over queries."""


@dataclass(frozen=True)
class Drop:
    """A row that is not used, or used in part."""

    file: str
    line: int
    reason: str
    detail: str


class RowError(Exception):
    """A row cannot be used; says why in a few words that can be counted, and in detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass
class Parser:
    """Turns the rows of one corpus's files into triplets and queries; collects what it leaves out.

    ``kept_ids`` maps the id of every picture of the manifest, merged duplicates included, to the id of
    the picture that stands for it; ``dropped`` maps the paths of dropped files to the reason.
    """

    corpus: str
    folder: str
    kept_ids: Mapping[str, str]
    dropped: Mapping[str, str]
    drops: list[Drop] = field(default_factory=list)
    as_published: bool = False
    """Whether triplets that stand twice are two, and queries are asked whose reference and target are equal pixels."""

    def triplets(self, data: bytes) -> list[Triplet]:
        """Triplets in the order of the file.

        Raises:
            InputError: the file is not UTF-8, or a column is missing.
        """
        seen: set[tuple[str, ...]] = set()
        return list(self._rows(TRIPLETS, data, lambda line, row: self._triplet(line, row, seen)))

    def queries(self, data: bytes) -> list[Query]:
        """Queries in the order of the file.

        Raises:
            InputError: the file is not UTF-8, or a column is missing.
        """
        seen: set[str] = set()
        file = PurePosixPath(self.folder, QUERIES).as_posix()
        return list(self._rows(QUERIES, data, lambda line, row: self._query(file, line, row, seen)))

    def triplets_of(self, file: str, records: Iterable[Record], pictures: Mapping[str, str]) -> list[Triplet]:
        """The triplets of another layout's records; ``pictures`` maps their image names to paths."""
        seen: set[tuple[str, ...]] = set()
        rows = _rows_of(records, lambda record: record.triplet_rows(lambda name: pictures.get(name, name)))
        return list(self._parsed(file, rows, lambda line, row: self._triplet(line, row, seen)))

    def queries_of(self, file: str, records: Iterable[Record], pictures: Mapping[str, str]) -> list[Query]:
        """The queries of another layout's records; ``pictures`` maps their image names to paths."""
        seen: set[str] = set()
        rows = _rows_of(records, lambda record: record.query_rows(lambda name: pictures.get(name, name)))
        return list(self._parsed(file, rows, lambda line, row: self._query(file, line, row, seen)))

    def _rows(self, name: str, data: bytes, parse: Callable[[int, dict[str, str]], Row]) -> Iterator[Row]:
        file = PurePosixPath(self.folder, name).as_posix()
        return self._parsed(file, read_rows(file, data, COLUMNS[name]), parse)

    def _parsed(
        self,
        file: str,
        rows: Iterable[tuple[int, dict[str, str] | RowError]],
        parse: Callable[[int, dict[str, str]], Row],
    ) -> Iterator[Row]:
        for line, row in rows:
            try:
                if isinstance(row, RowError):
                    raise row
                yield parse(line, row)
            except RowError as error:
                self.drops.append(Drop(file, line, error.reason, error.detail))

    def _triplet(self, line: int, row: dict[str, str], seen: set[tuple[str, ...]]) -> Triplet:
        reference, target = self._image("reference", row["reference"]), self._image("target", row["target"])
        text = _text(row)
        texts = _alternatives(row["modified_texts"]) if row["modified_texts"] else [text]
        if reference == target:
            raise RowError("same reference and target", f"{row['reference']!r} and {row['target']!r}")
        if (reference, target, *texts) in seen and not self.as_published:
            raise RowError("repeated row", f"{row['reference']!r}, {row['target']!r}, {text!r}")
        soft = self._soft_targets(line, row["soft_targets"], reference) if row.get("soft_targets") else {}
        if soft.get(target, 1) <= 0:
            raise RowError("people rejected the target", f"{row['target']!r} has a score of {soft[target]:g}")
        seen.add((reference, target, *texts))
        name = f"{self.corpus}/{row.get('annotation_id', line)}"
        return Triplet(name, self.corpus, reference, target, text, texts, row["kind"], row[SOURCE], soft)

    def _query(self, file: str, line: int, row: dict[str, str], seen: set[str]) -> Query:
        query_id = row["query_id"]
        if not query_id or query_id in seen:
            raise RowError("repeated query_id" if query_id else "empty query_id", repr(query_id))
        (reference, *more), text = self._references(row["reference"]), _text(row)
        targets = self._images("target", file, line, row["targets"])
        if not targets:
            raise RowError("no known target", repr(row["targets"]))
        if reference in targets and not (self.as_published and row["reference"] not in row["targets"].split("|")):
            raise RowError("same reference and target", repr(row["reference"]))
        if set(more) & set(targets):
            raise RowError("same reference and target", repr(row["reference"]))
        negatives = self._images("negative", file, line, row.get("negatives", ""))
        if set(negatives) & set(targets):
            raise RowError("same target and negative", repr(row["negatives"]))
        paraphrases = _paraphrases(row.get("paraphrases", ""), text)
        seen.add(query_id)
        return Query(
            f"{self.corpus}/{query_id}",
            self.corpus,
            reference,
            text,
            targets,
            row["kind"],
            row[SOURCE],
            more,
            negatives,
            paraphrases,
            _weight(row.get("weight", "")),
        )

    def _references(self, value: str) -> list[str]:
        """One reference image or several, separated by ``|``, each once; a path may itself hold a ``|``."""
        if PurePosixPath(self.folder, value).as_posix() in self.kept_ids:
            return [self._image("reference", value)]
        return list(dict.fromkeys(self._image("reference", name.strip()) for name in value.split("|")))

    def _images(self, role: str, file: str, line: int, value: str) -> list[str]:
        images: dict[str, None] = {}
        for name in filter(None, (part.strip() for part in value.split("|"))):
            try:
                images[self._image(role, name)] = None
            except RowError as error:
                self.drops.append(Drop(file, line, f"unknown {role} left out", error.detail))
        return sorted(images)

    def _soft_targets(self, line: int, value: str, reference_id: str) -> dict[str, float]:
        """Scores by image id. The reference is none, whatever its score: nothing of it has been changed."""
        file = PurePosixPath(self.folder, TRIPLETS).as_posix()
        soft_targets: dict[str, float] = {}
        for name, score in sorted(_scores(value).items()):
            try:
                soft_targets[self._image("soft target", name)] = score
            except RowError as error:
                self.drops.append(Drop(file, line, "unknown soft target left out", error.detail))
        if reference_id in soft_targets:
            score = soft_targets.pop(reference_id)
            self.drops.append(Drop(file, line, "reference as soft target left out", f"it has a score of {score:g}"))
        return soft_targets

    def _image(self, role: str, name: str) -> str:
        path = PurePosixPath(self.folder, name).as_posix()
        if name and path in self.kept_ids:
            return self.kept_ids[path]
        fate = f"was dropped: {self.dropped[path]}" if path in self.dropped else "is not in the corpus"
        raise RowError("unknown image", f"{role} {name!r} {fate}")


def _rows_of(
    records: Iterable[Record], rows: Callable[[Record], list[dict[str, str]]]
) -> Iterator[tuple[int, dict[str, str] | RowError]]:
    """The rows of each record with its number; a record that cannot be used gives its fault instead."""
    for number, record in enumerate(records, 1):
        if record.fault:
            yield number, RowError(record.fault, repr(record.query_id))
        else:
            yield from ((number, {"annotation_id": record.query_id, **row}) for row in rows(record))


def read_rows(file: str, data: bytes, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str] | RowError]]:
    """Yield line number and values of each row, or what is wrong with it.

    Raises:
        InputError: the file is not UTF-8, or a column is missing.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 ({error}); save it as UTF-8 CSV") from error
    reader = csv.reader(io.StringIO(text, newline=""))
    header: list[str] | None = None
    while True:
        try:
            values = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield reader.line_num, RowError("malformed row", str(error))
            continue
        if header is None:
            header = _header(file, values, columns)
        elif len(values) == len(header):
            row = {name: value.strip() for name, value in zip(header, values, strict=True)}
            yield reader.line_num, dict.fromkeys(OPTIONAL, "") | row
        elif values:
            yield reader.line_num, RowError("malformed row", f"{len(values)} values for {len(header)} columns")
    if header is None:
        raise InputError(f"{file} is empty; its first line must name the columns {', '.join(columns)}")


def _header(file: str, values: list[str], columns: Sequence[str]) -> list[str]:
    header = [value.strip() for value in values]
    if missing := [name for name in columns if name not in header]:
        raise InputError(f"{file} has no column {missing[0]!r}; its first line must name {', '.join(columns)}")
    return header


def _text(row: dict[str, str]) -> str:
    if not row["modified_text"]:
        raise RowError("empty text", f"reference {row['reference']!r}")
    return row["modified_text"]


def _alternatives(value: str, column: str = "modified_texts") -> list[str]:
    """Texts of a column that holds a JSON list."""
    try:
        texts = parse_json(value)
    except ValueError as error:
        raise RowError(f"{column} is not a JSON list of texts", repr(value)) from error
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise RowError(f"{column} is not a JSON list of texts", repr(value))
    return [text.strip() for text in texts]


def _paraphrases(value: str, text: str) -> list[str]:
    """Other wordings, separated by ``|`` or a JSON list, each once and none the text itself."""
    texts = _alternatives(value, "paraphrases") if value.startswith("[") else value.split("|")
    return [one for one in dict.fromkeys(each.strip() for each in texts) if one and one != text]


def _scores(value: str) -> dict[str, float]:
    """Scores of the column ``soft_targets``, a JSON object from image to number."""
    try:
        scores = parse_json(value)
    except ValueError as error:
        raise RowError("soft_targets is not a JSON object of numbers", repr(value)) from error
    if not isinstance(scores, dict) or not all(_is_number(score) for score in scores.values()):
        raise RowError("soft_targets is not a JSON object of numbers", repr(value))
    return {name: float(score) for name, score in scores.items()}


def _weight(value: str) -> float:
    """A number above 0; 1 where the cell is empty."""
    try:
        weight = float(value or 1)
    except ValueError:
        weight = math.nan
    if not 0 < weight < 1e6:
        raise RowError("weight is no number above 0", repr(value))
    return weight


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6
