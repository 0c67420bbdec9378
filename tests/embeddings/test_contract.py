"""What holds for every image encoder there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.embeddings.base import IMAGE_ENCODERS, ImageEncoder
from spn4cir_core.embeddings.unicom import SHAPES
from spn4cir_core.engine.plugins import as_table
from spn4cir_core.errors import RecipeError, Spn4cirError
from tests.embeddings.small_models import TINY_UNICOM, WRITERS


@pytest.fixture(autouse=True, scope="module")
def tiny_unicom() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SHAPES, "tiny", TINY_UNICOM)
        yield


@pytest.fixture(scope="module", params=sorted(IMAGE_ENCODERS.members))
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The recipe table of one encoder."""
    if request.param in ("timm", "lite0"):
        pytest.importorskip("timm")
    if request.param == "sentence_transformers":
        pytest.importorskip("sentence_transformers")
    return {"kind": request.param, **WRITERS[request.param](tmp_path_factory.mktemp(request.param))}


def build(table: dict[str, Any], **settings: Any) -> ImageEncoder:
    encoder: ImageEncoder = IMAGE_ENCODERS.build({**table, **settings})
    return encoder


def test_rows_are_finite_tell_pictures_apart_and_do_not_depend_on_the_batch(
    table: dict[str, Any], pictures: list[Image.Image]
) -> None:
    encode = build(table).start()
    together = encode(pictures)
    assert together.dtype == np.float32 and together.ndim == 2 and len(together) == len(pictures)
    assert np.isfinite(together).all()
    assert len(np.unique(together, axis=0)) == len(pictures)
    np.testing.assert_array_equal(encode(pictures[::-1])[::-1], together)
    np.testing.assert_array_equal(encode(pictures[4:5])[0], together[4])
    np.testing.assert_array_equal(build(table).start()(pictures[:3]), together[:3])


def test_the_number_of_threads_changes_no_bit(table: dict[str, Any], pictures: list[Image.Image]) -> None:
    import torch

    encode, before = build(table).start(), torch.get_num_threads()
    result = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            result.append(encode(pictures[:6]))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*result)


def test_odd_shapes_are_encoded(table: dict[str, Any]) -> None:
    shapes = [(1, 90), (90, 1), (8, 8), (33, 32)]
    assert np.isfinite(build(table).start()([Image.new("RGB", shape, (9, 99, 199)) for shape in shapes])).all()


def test_bfloat16_says_nearly_the_same(table: dict[str, Any], pictures: list[Image.Image]) -> None:
    key = precision_key(table)
    wide, small_dtype = (build(table, **{key: value}).start()(pictures[:4]) for value in ("float32", "bfloat16"))
    assert small_dtype.dtype == np.float32
    assert not np.array_equal(wide, small_dtype)
    cosines = (wide * small_dtype).sum(1) / np.linalg.norm(wide, axis=1) / np.linalg.norm(small_dtype, axis=1)
    assert (cosines > 0.99).all()


def test_fingerprint_follows_what_decides_a_vector(table: dict[str, Any]) -> None:
    fingerprint = build(table).fingerprint()
    assert fingerprint == build(table).fingerprint() == build(table, device="cpu").fingerprint()
    key = precision_key(table)
    assert len({build(table, **{key: value}).fingerprint() for value in ("float32", "bfloat16")}) == 2


def precision_key(table: dict[str, Any]) -> str:
    """The setting that says what the network computes in."""
    return "precision" if table["kind"] == "lite0" else "dtype"


def test_its_table_gives_it_back(table: dict[str, Any]) -> None:
    encoder = build(table)
    assert IMAGE_ENCODERS.build(json.loads(json.dumps(as_table(encoder)))) == encoder


def test_missing_weights_are_said_before_anything_is_computed(table: dict[str, Any], tmp_path: Path) -> None:
    if table["kind"] == "lite0":
        pytest.skip("its weights are those of a package")
    key = "weights" if "weights" in table else "model"
    absent = build(table, **{key: str(tmp_path / "absent")})
    with pytest.raises(Spn4cirError, match="absent"):
        absent.fingerprint()
    with pytest.raises(Spn4cirError, match="absent"):
        absent.start()


def test_an_unknown_dtype_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="int8"):
        build(table, **{precision_key(table): "int8"})
