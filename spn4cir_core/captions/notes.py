"""What is worth knowing of a corpus's captions before anything is trained on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from spn4cir_core.captions.auto import COLUMNS
from spn4cir_core.captions.base import Captioner, ToCaption
from spn4cir_core.captions.languages import foreign_language

SPEAKING = (*COLUMNS, "captions", "category", "class", "keywords", "label", "labels", "tags", "text", "titles")
"""Columns, in lower case, that say what a picture shows."""
FEW_DISTINCT, LEAST_CAPTIONS = 0.05, 20
"""Captions are called few from this share of distinct ones on, among so many captions or more."""


def unused_columns(captioner: Captioner, images: Sequence[ToCaption]) -> Iterator[str]:
    """A sentence if the metadata has columns with words about the pictures that the captioner does not read."""
    read = {column.casefold() for column in captioner.metadata_columns()}
    filled = Counter(column for image in images for column, value in image.attributes.items() if value.strip())
    unused = sorted(column for column in filled if column.casefold() in SPEAKING and column.casefold() not in read)
    same = [column for column in unused if column.casefold() in COLUMNS and _has_one_value(images, column)]
    if same:
        yield f"the metadata's {' and '.join(map(repr, same))} is the same for all pictures, and so no caption"
    unused = [column for column in unused if column not in same]
    if unused:
        verb = "is" if len(unused) == 1 else "are"
        yield (
            f"the metadata has {' and '.join(map(repr, unused))}, which {verb} not used by the captioner "
            f'{captioner.plugin_kind!r}: kind "auto" takes titles, kind "tags" with label_attribute takes labels'
        )


def _has_one_value(images: Sequence[ToCaption], column: str) -> bool:
    values = [value for image in images if (value := image.attributes.get(column, "").strip())]
    return len(values) > 1 and len(set(values)) == 1


def pictures_without_values(captioner: Captioner, images: Sequence[ToCaption]) -> Iterator[str]:
    """A sentence if some pictures have nothing in the columns that the captioner reads."""
    columns = captioner.metadata_columns()
    without = sum(not any(image.attributes.get(column, "").strip() for column in columns) for image in images)
    if columns and without:
        yield f"{without} of {len(images)} pictures have nothing in {' or '.join(map(repr, columns))}"


def caption_warnings(captions: Sequence[str]) -> Iterator[str]:
    """Sentences about captions that few modified texts can come of; ``captions`` has at least one."""
    distinct = len(set(captions))
    if distinct == 1 and len(captions) > 1:
        yield f"all {len(captions)} captions are {captions[0]!r}: no modified text can tell the pictures apart"
    elif len(captions) >= LEAST_CAPTIONS and distinct <= FEW_DISTINCT * len(captions):
        yield f"only {distinct} of {len(captions)} captions are distinct: few pairs differ in words"
    language, share = foreign_language(captions)
    if language:
        yield (
            f"{share:.0%} of the captions are not English but mostly {language}: templates word differences in English "
            "around them. Let a rewriter write the texts in one language ([modified_texts.rewriter], docs/texts.md), "
            "or caption in English"
        )
