"""The folded network against timm's own, and rows that do not depend on their neighbours."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.models.lite0 import LEVEL_FEATURES, PACKAGE, lite0_pixels, lite0_weights, load_lite0
from spn4cir_core.models.lite0_levels import (
    POOLED,
    POOLED_BITS,
    WEIGHT_BITS,
    Lite0Levels,
    classifier_of_pooled,
    largest_square,
)
from spn4cir_core.models.precision import Precision

pytest.importorskip("timm")
pytest.importorskip(PACKAGE)
SIZE_PX = 96


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Smooth coloured fields with a disc: noise would say nothing about photographs."""
    across, down = np.meshgrid(np.linspace(0, 1, 80), np.linspace(0, 1, 100))
    drawn = []
    for number in range(6):
        disc = ((across - 0.2 - 0.1 * number) ** 2 + (down - 0.5) ** 2 < 0.05)[..., None]
        field = np.stack([across, down, across * 0 + number / 6], axis=-1)
        drawn.append(Image.fromarray((np.where(disc, 1 - field, field) * 255).astype(np.uint8)))
    return drawn


@pytest.fixture(scope="module")
def by_timm(pictures: list[Image.Image]) -> tuple[list[np.ndarray], np.ndarray]:
    """The four levels and the class probabilities."""
    import torch

    network: Any = load_lite0()
    with torch.inference_mode():
        pixels = lite0_pixels([largest_square(picture) for picture in pictures], SIZE_PX)
        outputs = []
        hidden = network.bn1(network.conv_stem(pixels))
        for block in network.blocks:
            hidden = block(hidden)
            outputs.append(hidden)
        pooled = network.forward_head(network.bn2(network.conv_head(hidden)), pre_logits=True)
        cells = [torch.nn.functional.adaptive_avg_pool2d(outputs[number], 3).flatten(1) for number in (6, 4, 2)]
        return [part.numpy() for part in (pooled, *cells)], network(pixels).softmax(1).numpy()


@pytest.mark.parametrize(("precision", "least"), [("float32", 0.99999), ("bfloat16", 0.999)])
def test_levels_are_those_of_timm(
    pictures: list[Image.Image], by_timm: tuple[list[np.ndarray], np.ndarray], precision: Precision, least: float
) -> None:
    levels = Lite0Levels(SIZE_PX, precision).start()(pictures)
    assert levels.dtype == np.float16 and levels.shape == (6, sum(LEVEL_FEATURES))
    for wanted, part in zip(
        by_timm[0], np.split(levels.astype(np.float32), np.cumsum(LEVEL_FEATURES)[:-1], 1), strict=True
    ):
        cosine = (wanted * part).sum(1) / np.linalg.norm(wanted, axis=1) / np.linalg.norm(part, axis=1)
        assert cosine.min() > least
    probabilities = classifier_of_pooled()(levels[:, :POOLED])
    np.testing.assert_allclose(probabilities, by_timm[1], atol=0.002 if precision == "float32" else 0.05)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_row_depends_on_its_picture_alone(pictures: list[Image.Image], precision: Precision) -> None:
    import torch

    encode = Lite0Levels(SIZE_PX, precision).start()
    together = encode(pictures)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert (encode(pictures[::-1])[::-1] == together).all()
    finally:
        torch.set_num_threads(threads)
    assert all((encode([picture])[0] == row).all() for picture, row in zip(pictures, together, strict=True))
    assert len(encode([])) == 0


def test_class_probabilities_depend_neither_on_the_order_of_sums_nor_on_neighbours() -> None:
    pooled_BF = np.random.default_rng(0).gamma(0.5, 0.8, (70, POOLED)).clip(0, 6).astype(np.float16)
    probabilities = classifier_of_pooled()
    together = probabilities(pooled_BF)
    assert (np.concatenate([probabilities(row[None]) for row in pooled_BF]) == together).all()
    assert (probabilities(pooled_BF[::-1])[::-1] == together).all()
    *_, weight, bias = lite0_weights().values()
    for row, shares in zip(pooled_BF[:3], together, strict=False):
        logits = [math.fsum(row.astype(float) * factors) for factors in weight.numpy().astype(float)] + bias.numpy()
        odds = np.exp(logits - max(logits))
        np.testing.assert_allclose(shares, odds / odds.sum(), rtol=1e-5)


def test_sums_of_the_classifier_fit_into_float64() -> None:
    *_, weight, _ = lite0_weights().values()
    largest = 6 * np.abs(weight.numpy().astype(np.float64)).sum(axis=1).max()
    assert math.ceil(math.log2(largest)) + WEIGHT_BITS + POOLED_BITS <= 53


def test_of_the_square_that_is_seen_all_is_seen(pictures: list[Image.Image]) -> None:
    trunk = Lite0Levels(SIZE_PX, "float32")
    squares = [trunk.seen(picture) for picture in pictures]
    assert {square.size for square in squares} == {(SIZE_PX, SIZE_PX)}
    assert (trunk.start()(squares) == trunk.start()(pictures)).all()


def test_without_onednn_the_same_convolutions_run(pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    exact = Lite0Levels(SIZE_PX, "float32").start()(pictures).astype(np.float32)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    plain = Lite0Levels(SIZE_PX, "float32").start()(pictures).astype(np.float32)
    np.testing.assert_allclose(plain, exact, atol=0.01, rtol=0.01)


def test_size_and_precision_decide_and_the_device_does_not() -> None:
    marks = {Lite0Levels(size, precision).fingerprint() for size in (96, 224) for precision in ("float32", "bfloat16")}
    assert len(marks) == 4
    assert Lite0Levels(96, "float32", "cuda:0").fingerprint() in marks


def test_the_centre_of_a_picture_is_what_is_seen() -> None:
    wide = Image.new("RGB", (8, 4), "red")
    wide.paste("blue", (2, 0, 6, 4))
    for picture in (wide, wide.rotate(90, expand=True)):
        seen = largest_square(picture)
        assert seen.size == (4, 4)
        assert seen.getcolors() == [(16, (0, 0, 255))]
