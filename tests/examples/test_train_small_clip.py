"""The example that trains a small CLIP: its folder is an image encoder of ours that reads the titles' words."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.train_small_clip import train as train_small_clip
from spn4cir_core.embeddings.sentence_transformers_encoder import SentenceTransformersEncoder
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.reranking.base import RERANKERS, Shortlist

pytest.importorskip("sentence_transformers")
COLOURS = ("red", "blue", "green", "yellow")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    with (folder / "metadata.csv").open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["file", "title", "keep_in"])
        for colour in (*COLOURS, "black"):
            Image.new("RGB", (40, 30), colour).save(folder / f"{colour}.png")
            writer.writerow([f"{colour}.png", f"a {colour} card", "evaluation" if colour == "black" else "train"])
    return folder


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "encoder"
    train_small_clip.main([str(pictures), "--out", str(folder), "--steps", "40", "--image-px", "32"])
    return folder


def test_titles_find_their_pictures(pictures: Path, trained: Path) -> None:
    assert [path.stem for path, _ in train_small_clip.titled_pictures(pictures)] == list(COLOURS), (
        "black is for evaluation"
    )
    encoder = SentenceTransformersEncoder(model=str(trained), device="cpu")
    of_pictures = encoder.start()([Image.open(pictures / f"{colour}.png").convert("RGB") for colour in COLOURS])
    of_texts = encoder.start_texts()([f"a {colour} card" for colour in COLOURS])
    assert (of_texts @ of_pictures.T).argmax(1).tolist() == [0, 1, 2, 3]
    assert np.isfinite(encoder.start_texts()(["zebra?"])).all()


def test_pictures_move_on_white(pictures: Path) -> None:
    import torch

    square = train_small_clip.squares([pictures / "red.png"], 32).float() / 255
    assert square[0, :, 0, 0].tolist() == [1, 1, 1] and square[0, :, 16, 16].tolist() == [1, 0, 0]
    moved = train_small_clip.moved(square, torch.Generator().manual_seed(0))
    assert not torch.equal(moved, square) and moved.min() >= 0 and moved.max() <= 1
    assert moved[0, :, 16, 16].tolist() == [1, 0, 0]


def test_the_reranker_compares_the_edited_title(pictures: Path, trained: Path) -> None:
    encoder = {"kind": "sentence_transformers", "model": str(trained), "device": "cpu"}
    table = {"titles": str(pictures / "metadata.csv"), "encoder": encoder, "picture_weight": 0}
    reranker = RERANKERS.build({"kind": "examples.train_small_clip.reranker:EditedTitle", **table})
    shown = tuple(Image.open(pictures / f"{colour}.png").convert("RGB") for colour in COLOURS)
    score = reranker.start(ImageFiles(pictures))
    for number, colour in enumerate(COLOURS[1:], 1):
        scores = score(Shortlist(shown[:1], f"make it {colour}", shown))
        assert np.argmax(np.array(scores, float)) == number


def test_the_reranker_that_knows_titles_scores_titled_pictures_alone(pictures: Path) -> None:
    kind = "examples.train_small_clip.reranker:KnownTitle"
    reranker = RERANKERS.build({"kind": kind, "titles": str(pictures / "metadata.csv")})
    files = ImageFiles(pictures)
    opened = {path.stem: files.open(path.name).convert("RGB") for path in pictures.glob("*.png")}
    candidates = tuple(opened[name] for name in ("blue", "green", "black"))
    assert reranker.start(files)(Shortlist((opened["red"],), "make it blue", candidates)) == [1.0, 2 / 3, None]
    assert reranker.start(files)(Shortlist((opened["black"],), "make it blue", candidates)) == [None] * 3
