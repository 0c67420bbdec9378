"""Which columns are labels, and which titles they complete."""

from __future__ import annotations

import pytest

from spn4cir_core.captions.base import ToCaption
from spn4cir_core.captions.labels import LABEL_COLUMNS, label_columns, with_label


def image(path: str, **attributes: str) -> ToCaption:
    return ToCaption(path, path, f"pixels of {path}", "", attributes)


def corpus(column: str, *labels: str) -> list[ToCaption]:
    return [image(f"{number}.jpg", **{column: label}) for number, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("column", "labels", "are_labels"),
    [
        ("label", ("Apple", "Apple", "Pear", "Pear"), True),
        ("Product Type", ("T-Shirt", "T-Shirt", "Passion-Fruit", "Passion-Fruit", ""), True),
        ("label", ("Apple", "Apple", "Apple"), False),  # says nothing
        ("label", ("Apple", "Pear", "Plum"), False),  # as many as pictures: names
        ("label", ("3", "3", "4", "4"), False),  # numbers of classes
        ("label", ("class_1", "class_1", "class_2", "class_2"), False),
        ("label", ("a very long winded label", "a very long winded label", "Pear", "Pear"), False),
        ("department", ("Fruit", "Fruit", "Dairy", "Dairy"), False),  # no such name
        ("label", ("", ""), False),
        ("label", ("nan", "NaN", "Apple", "Apple"), False),  # one label and gaps
    ],
)
def test_a_column_of_labels_by_its_name_and_values(column: str, labels: tuple[str, ...], are_labels: bool) -> None:
    assert label_columns(corpus(column, *labels), LABEL_COLUMNS) == ([column] if are_labels else [])


@pytest.mark.parametrize(
    ("title", "label", "caption"),
    [
        ("Granny Smith", "Apple", "Granny Smith apple"),
        ("Oatly Oat Milk", "Oat-Milk", "Oatly Oat Milk"),
        ("Carrots", "carrot", "Carrots"),
        ("Chelsea 1874, black", "Boots", "Chelsea 1874 boots, black"),
        ("Leather boot", "boots", "Leather boot"),
        ("Lime", "", "Lime"),
    ],
)
def test_a_title_that_does_not_name_the_label_gets_it(title: str, label: str, caption: str) -> None:
    assert with_label(title, image("a.jpg", label=label), ("label",)) == caption
