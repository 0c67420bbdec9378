"""GeneCIS's templates: ``<task>.json``, a list of ``{reference, target, gallery, condition}``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spn4cir_core.annotations.records import Record
from spn4cir_core.images.genecis import image_name, read_templates


def read_genecis(path: Path) -> Iterator[Record]:
    """Queries in the order of the file; the condition is the text, the task the kind.

    The template, with its gallery, stays in the record's source.

    Raises:
        InputError: the file is no list of templates.
    """
    for number, row in enumerate(read_templates(path)):
        yield Record(
            query_id=f"{path.stem}-{number}",
            reference=image_name(row["reference"]),
            targets=(image_name(row["target"]),),
            texts=tuple(filter(None, [row["condition"].strip()])),
            kind=path.stem,
            source=row,
        )
