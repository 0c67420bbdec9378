"""Labels of the metadata, which complete titles that do not name the kind of thing ("Granny Smith apple")."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from spn4cir_core.captions.base import ToCaption
from spn4cir_core.captions.title_text import clean_title

LABEL_COLUMNS = ("label", "type", "product_type", "category", "class")
"""What columns with labels are called, the preferred first."""
MOST_WORDS, MOST_DISTINCT = 3, 0.5
"""Of a label; and of the labels, as a share of their pictures: what nearly every picture has for itself is none."""
_LABEL = re.compile(r"[^\W\d_]+(?:[ '’-][^\W\d_]+)*")


def label_columns(images: Sequence[ToCaption], names: Sequence[str]) -> list[str]:
    """The columns of a corpus that have one of the names and labels in them, the preferred first."""
    rank = column_ranks(tuple(names))
    columns = {column for image in images for column in image.attributes if folded(column) in rank}
    ordered = sorted(columns, key=lambda column: (rank[folded(column)], column))
    return [column for column in ordered if _are_labels([_label(image, column) for image in images])]


def with_label(title: str, image: ToCaption, columns: Sequence[str]) -> str:
    """The title, with the picture's label behind its first phrase unless it names that, in singular or plural."""
    label = next(filter(None, (_label(image, column) for column in columns)), "")
    if not label:
        return title
    words = {word.removesuffix("s") for word in re.findall(r"\w+", title.lower())}
    if label.split()[-1].removesuffix("s") in words:
        return title
    first, comma, rest = title.partition(",")
    return f"{first} {label}{comma}{rest}"


def _label(image: ToCaption, column: str) -> str:
    return clean_title(image.attributes.get(column, "")).lower()


def _are_labels(labels: Sequence[str]) -> bool:
    """Whether these are a few words of letters each, and fewer than their pictures."""
    filled = [label for label in labels if label]
    distinct = set(filled)
    few = 1 < len(distinct) <= MOST_DISTINCT * len(filled)
    return few and all(_LABEL.fullmatch(label) and len(label.split()) <= MOST_WORDS for label in distinct)


@lru_cache(maxsize=64)
def column_ranks(columns: tuple[str, ...]) -> Mapping[str, int]:
    """Position of each name, as :func:`folded`."""
    ranks: dict[str, int] = {}
    for rank, column in enumerate(columns):
        ranks.setdefault(folded(column), rank)
    return ranks


@lru_cache(maxsize=1 << 10)
def folded(column: str) -> str:
    """A column's name in lower case, with underscores for blanks and hyphens."""
    return column.strip().casefold().replace(" ", "_").replace("-", "_")
