"""LaSCo's query files: ``lasco_{train,val}.json``, a list of ``{qid, query-image, query-text, target-image}``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spn4cir_core.annotations.records import Record
from spn4cir_core.user_files import read_json_rows

SHAPE = "{qid, query-image: [id, path], query-text, target-image: [id, path]}"


def read_lasco(path: Path) -> Iterator[Record]:
    """Triplets in the order of the file; an image's name is its path (``train2014/COCO_train2014_….jpg``).

    Raises:
        InputError: the file is not a JSON list of such objects.
    """
    for row in read_json_rows(path, "LaSCo triplets", SHAPE, _is_triplet):
        target = row.get("target-image")
        yield Record(
            query_id=str(row["qid"]),
            reference=row["query-image"][1],
            targets=(target[1],) if target else (),
            texts=tuple(filter(None, [row["query-text"].strip()])),
            kind="",
            source=row,
        )


def _is_triplet(row: object) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("qid"), int | str):
        return False
    target = row.get("target-image")
    images = _is_image(row.get("query-image")) and (target is None or _is_image(target))
    return images and isinstance(row.get("query-text"), str)


def _is_image(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[1], str) and value[1] != ""
