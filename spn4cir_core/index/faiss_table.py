"""A vector table as a folder of FAISS segments: a change writes one segment and a new list of them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import override

from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.index.base import ImageRow, MadeWith, Nearest, VectorIndex, VectorTable, VectorTables
from spn4cir_core.index.image_index import best_images
from spn4cir_core.index.settings import IndexSettings
from spn4cir_core.store.whole_file import read_json, whole_file, write_json

LIST, VECTORS, ROWS = "table.json", "vectors.faiss", "rows.parquet"
MOST_SEGMENTS = 8
"""With more of them, or with more removed images than others, a change writes all into one."""
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("image_id", "version", "path", "caption")),
        ("metadata", pa.map_(pa.string(), pa.string())),
    ]
)
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")


def check_name(name: str) -> str:
    """The name of a table, which engines read as part of a command.

    Raises:
        InputError: it has other characters than letters, digits and underscores.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"a table's name has up to 63 letters, digits and underscores, not {name!r}")
    return name


class FaissTables(VectorTables):
    """Tables in a folder of this machine."""

    plugin_kind: ClassVar[str] = "faiss"

    uri: str
    """The folder."""
    index: IndexSettings = IndexSettings()
    """Kind of each segment."""

    @override
    def open(self, name: str) -> FaissTable:
        if not self.uri:
            raise InputError("vector table 'faiss' needs a folder, such as faiss:shoe_vectors")
        return FaissTable(Path(self.uri) / check_name(name), self.index)


class Listed(BaseModel):
    """One segment in the list: its folder, its kind of index, and the ids of its images that were removed since."""

    model_config = ConfigDict(extra="forbid")

    folder: str
    kind: str
    images: int
    removed: list[str] = []


class Segment:
    """Images that were added together."""

    def __init__(self, folder: Path, listed: Listed, made_with: MadeWith, settings: IndexSettings) -> None:
        self.listed, self._folder, self._made_with, self._settings = listed, folder, made_with, settings

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Of all its images, removed ones too."""
        rows: list[dict[str, Any]] = pq.read_table(self._folder / ROWS, schema=SCHEMA).to_pylist()
        return rows

    @cached_property
    def index(self) -> VectorIndex:
        """Its T vectors an image behind one another."""
        return self._settings.index_for_kind(self.listed.kind).open(self._folder / VECTORS)

    @cached_property
    def live(self) -> list[int]:
        """Numbers of the rows that are not removed."""
        removed = set(self.listed.removed)
        return [number for number, row in enumerate(self.rows) if row["image_id"] not in removed]

    def fitting(self, where: Mapping[str, Collection[str]]) -> set[int]:
        """Numbers of the rows that may be answers."""
        return {
            number
            for number in self.live
            if all(dict(self.rows[number]["metadata"]).get(column) in values for column, values in where.items())
        }

    def best(self, query_D: np.ndarray, count: int, fitting: set[int]) -> Iterator[Nearest]:
        """The best ``count`` of the fitting rows, best first."""
        images, wanted = len(self.rows), min(len(self.rows), count)
        while True:
            ranked = best_images(self.index, query_D[None], wanted, self._made_with.tokens)
            allowed = [(score, number) for score, number in ranked if number in fitting]
            if len(allowed) >= min(count, len(fitting)) or wanted == images:
                break
            wanted = min(images, 4 * wanted)
        for score, number in allowed[:count]:
            row = self.rows[number]
            yield Nearest(row["image_id"], row["path"], row["caption"], score)

    def vectors(self) -> np.ndarray:
        """(N, T, D) vectors of the rows that are not removed."""
        index: Any = self.index
        every = index.reconstruct_n(0, index.ntotal).reshape(len(self.rows), self._made_with.tokens, -1)
        vectors_NTD: np.ndarray = every[self.live]
        return vectors_NTD


class FaissTable(VectorTable):
    """A list of segments, replaced as a whole; segments themselves never change."""

    def __init__(self, folder: Path, settings: IndexSettings) -> None:
        self.folder, self._settings = folder, settings
        self._made_with: MadeWith | None = None
        self.segments: list[Segment] = []
        self._read()

    def _read(self) -> None:
        path = self.folder / LIST
        if not path.is_file():
            return
        about = read_json(path)
        try:
            self._made_with = made_with = MadeWith(**about["made_with"])
            listed = [Listed.model_validate(one) for one in about["segments"]]
        except (KeyError, TypeError, ValidationError) as error:
            raise StoreError(f"{path} does not describe a vector table: {error!r}; delete {self.folder}") from error
        self.segments = [Segment(self.folder / one.folder, one, made_with, self._settings) for one in listed]

    @override
    def made_with(self) -> MadeWith | None:
        return self._made_with

    @override
    def versions(self) -> dict[str, str]:
        rows = (segment.rows[number] for segment in self.segments for number in segment.live)
        return {row["image_id"]: row["version"] for row in rows}

    @override
    def change(
        self, made_with: MadeWith, removed: Collection[str], added: Sequence[ImageRow], vectors_NTD: np.ndarray
    ) -> None:
        before = self._made_with
        stays = before is not None and before.encoder == made_with.encoder
        gone = {*removed, *(row.image_id for row in added)}
        listed = [self._without(segment, gone) for segment in self.segments] if stays else []
        listed = [one for one in listed if len(one.removed) < one.images]
        staying = sum(one.images - len(one.removed) for one in listed)
        crowded = len(listed) + bool(added) > MOST_SEGMENTS or sum(len(one.removed) for one in listed) > staying
        rows = [*added]
        if crowded:
            old_rows, old_NTD = self._remaining(gone)
            rows, vectors_NTD, listed = [*old_rows, *added], np.concatenate([old_NTD, vectors_NTD]), []
        if rows:
            listed.append(self._write(rows, np.ascontiguousarray(vectors_NTD, np.float32)))
        about = {"made_with": asdict(made_with), "segments": [one.model_dump() for one in listed]}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / LIST, about)
        self._read()
        self._delete_others()

    def _without(self, segment: Segment, gone: set[str]) -> Listed:
        held = {segment.rows[number]["image_id"] for number in segment.live}
        return segment.listed.model_copy(update={"removed": sorted({*segment.listed.removed, *(held & gone)})})

    def _remaining(self, gone: set[str]) -> tuple[list[ImageRow], np.ndarray]:
        """Every image that stays, with its vectors."""
        assert self._made_with is not None
        rows, parts = [], [np.zeros((0, self._made_with.tokens, self._made_with.dim), np.float32)]
        for segment in self.segments:
            live = [
                ImageRow(**{**row, "metadata": dict(row["metadata"])})
                for row in map(segment.rows.__getitem__, segment.live)
            ]
            stays = [number for number, row in enumerate(live) if row.image_id not in gone]
            rows += [live[number] for number in stays]
            parts.append(segment.vectors()[stays])
        return rows, np.concatenate(parts)

    def _write(self, rows: Sequence[ImageRow], vectors_NTD: np.ndarray) -> Listed:
        """A segment that no list names yet."""
        name = f"segment-{uuid4().hex[:12]}"
        folder = self.folder / name
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"cannot write {folder}: {error}; name a folder that you may write") from error
        vectors_VD = vectors_NTD.reshape(-1, vectors_NTD.shape[-1])
        kind = self._settings.kind_for(len(vectors_VD))
        member = self._settings.index_for_kind(kind)
        with whole_file(folder / VECTORS) as scratch:
            member.write(member.build(vectors_VD, seed=0), scratch)
        table = [asdict(row) | {"metadata": list(row.metadata.items())} for row in rows]
        with whole_file(folder / ROWS) as scratch:
            pq.write_table(pa.Table.from_pylist(table, SCHEMA), scratch)
        return Listed(folder=name, kind=kind, images=len(rows))

    def _delete_others(self) -> None:
        """Delete segments that no list names: replaced ones, and those of a change that was interrupted."""
        named = {segment.listed.folder for segment in self.segments}
        for folder in self.folder.glob("segment-*"):
            if folder.name not in named:
                shutil.rmtree(folder, ignore_errors=True)

    @override
    def search(
        self, query_D: np.ndarray, count: int, where: Mapping[str, Collection[str]] = MappingProxyType({})
    ) -> list[Nearest]:
        nearest = [one for segment in self.segments for one in segment.best(query_D, count, segment.fitting(where))]
        return sorted(nearest, key=lambda one: (-one.score, one.image_id))[:count]
