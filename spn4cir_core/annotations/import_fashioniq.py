"""FashionIQ's caption files: ``cap.<category>.<split>.json``, a list of ``{candidate, target, captions}``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spn4cir_core.annotations.records import Record
from spn4cir_core.user_files import read_json_rows

SHAPE = "{candidate, target, captions}"
STRIPPED = ".?, "
"""What the published code strips from both ends of a caption before it joins two."""


def read_fashioniq(path: Path, as_published: bool = False) -> Iterator[Record]:
    """Triplets in the order of the file; ``kind`` is the category in the file's name.

    Args:
        as_published: an empty caption still joins the other one, see :func:`joinings`.

    Raises:
        InputError: the file is not a JSON list of objects with ``candidate`` and ``captions``.
    """
    parts = path.name.split(".")
    kind = parts[1] if len(parts) == 4 and parts[0] == "cap" and "extend" not in parts[1] else ""
    for number, row in enumerate(read_json_rows(path, "FashionIQ triplets", SHAPE, _is_triplet)):
        yield Record(
            query_id=f"{path.stem}-{number}",
            reference=row["candidate"],
            targets=(row["target"],) if row.get("target") else (),
            texts=_texts(row, as_published),
            kind=kind,
            source=row,
        )


def joinings(captions: Sequence[str], as_published: bool = False) -> tuple[str, ...]:
    """The four texts of which published training draws one: "c0 and c1", "c1 and c0", c0 and c1.

    An empty caption joins nothing: the other one is then the only text. ``as_published`` it does ("and c1"), and the
    empty text alone is left out.
    """
    one, other = (caption.strip(STRIPPED) for caption in captions)
    if as_published and (one or other):
        return tuple(filter(None, (f"{one} and {other}".strip(), f"{other} and {one}".strip(), one, other)))
    if not one or not other:
        return tuple(filter(None, (one, other)))
    return f"{one} and {other}", f"{other} and {one}", one, other


def captions_of(texts: Sequence[str]) -> list[str] | None:
    """The two captions that have these joinings, or None."""
    if len(texts) not in (3, 4):
        return None
    one_is_empty = [texts[2], ""] if texts[0].endswith(" and") else ["", texts[2]]
    captions = list(texts[2:]) if len(texts) == 4 else one_is_empty
    return captions if joinings(captions, as_published=True) == tuple(texts) else None


def _texts(row: dict[str, Any], as_published: bool) -> tuple[str, ...]:
    """Generated triplets of an export carry their images' captions, and their texts are alternatives as they are."""
    captions = row["captions"]
    if len(captions) == 2 and "caption1" not in row:
        return joinings(captions, as_published)
    return tuple(filter(None, (caption.strip() for caption in captions)))


def _is_triplet(row: object) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("candidate"), str):
        return False
    captions = row.get("captions")
    target = row.get("target", "")
    return isinstance(captions, list) and all(isinstance(text, str) for text in captions) and isinstance(target, str)
