"""CIRCO's annotation files: ``{val,test}.json``, a list of ``{id, reference_img_id, relative_caption, …}``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spn4cir_core.annotations.records import Record
from spn4cir_core.user_files import read_json_rows

SHAPE = "{id, reference_img_id, relative_caption, gt_img_ids}"


def read_circo(path: Path) -> Iterator[Record]:
    """Queries in the order of the file; the targets are all ``gt_img_ids``, none in ``test.json``.

    ``shared_concept``, ``target_img_id`` and ``semantic_aspects`` stay in the record's source.

    Raises:
        InputError: the file is not a JSON list of objects with ``id``, ``reference_img_id`` and ``relative_caption``.
    """
    for row in read_json_rows(path, "CIRCO queries", SHAPE, _is_query):
        yield Record(
            query_id=str(row["id"]),
            reference=str(row["reference_img_id"]),
            targets=tuple(map(str, row.get("gt_img_ids", ()))),
            texts=tuple(filter(None, [row["relative_caption"].strip()])),
            kind="",
            source=row,
        )


def _is_query(row: object) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("id"), int):
        return False
    targets = row.get("gt_img_ids", [])
    numbers = [row.get("reference_img_id"), *(targets if isinstance(targets, list) else [None])]
    return isinstance(row.get("relative_caption"), str) and all(isinstance(number, int) for number in numbers)
