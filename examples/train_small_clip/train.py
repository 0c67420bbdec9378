"""Train a small CLIP from scratch on a folder's own titles: a picture and text encoder that needs no download.

    python examples/train_small_clip/train.py PICTURES --out encoder --steps 1500

PICTURES holds pictures and a ``metadata.csv`` with the columns ``file`` and ``title``; where it has ``keep_in``, only
rows of ``train`` are learnt from, so that evaluation stays honest. ``encoder/`` is a folder of sentence-transformers:

    [image_embeddings.encoder]
    kind = "sentence_transformers"
    model = "./encoder"

It knows the words of the titles and no others. Where you can download a model, do.
"""

from __future__ import annotations

import argparse
import csv
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

PAD, START, UNKNOWN, END = "<pad>", "<s>", "<unk>", "</s>"
"""Special tokens by number. END must not be number 2: transformers' CLIP then pools at the token of highest number."""
MOST_TOKENS = 32
SHIFT_SHARE = 0.08
"""Pictures are moved by up to this share of their side, and made smaller by up to twice as much, at every step."""


@dataclass(frozen=True)
class Shape:
    """Size of both towers."""

    image_px: int = 96
    patch_px: int = 16
    width: int = 128
    layers: int = 3
    heads: int = 4
    dimensions: int = 128
    vocabulary: int = 800


def titled_pictures(folder: Path) -> list[tuple[Path, str]]:
    """Paths and titles of the pictures to learn from."""
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as rows:
        return [
            (folder / row["file"], row["title"])
            for row in csv.DictReader(rows)
            if row["title"] and row.get("keep_in", "train") in ("train", "")
        ]


def squares(paths: Sequence[Path], side_px: int) -> Tensor:
    """(N, 3, side, side) uint8: pictures in the middle of white squares."""
    rows = np.full((len(paths), side_px, side_px, 3), 255, np.uint8)
    for row, path in zip(rows, paths, strict=True):
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((side_px, side_px))
        left, top = (side_px - picture.width) // 2, (side_px - picture.height) // 2
        row[top : top + picture.height, left : left + picture.width] = np.asarray(picture)
    return torch.from_numpy(rows).permute(0, 3, 1, 2)


def build_processor(titles: Sequence[str], shape: Shape) -> Any:
    """A CLIPProcessor whose tokenizer is byte-level BPE learnt from the titles."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import CLIPImageProcessor, CLIPProcessor, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE(unk_token=UNKNOWN))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    special = [PAD, START, UNKNOWN, END]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=shape.vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(titles, trainer)
    ends = [(START, special.index(START)), (END, special.index(END))]
    bpe.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ends)
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe,
        pad_token=PAD,
        bos_token=START,
        unk_token=UNKNOWN,
        eos_token=END,
        model_max_length=MOST_TOKENS,
    )
    square = {"height": shape.image_px, "width": shape.image_px}
    size = {"size": {"shortest_edge": shape.image_px}, "crop_size": square}
    return CLIPProcessor(CLIPImageProcessor(**size), tokenizer)  # type: ignore[no-untyped-call]


def build_model(tokenizer: Any, shape: Shape) -> Any:
    """An untrained CLIPModel, about a million parameters."""
    from transformers import CLIPConfig, CLIPModel

    tower = {
        "hidden_size": shape.width,
        "intermediate_size": 3 * shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
    }
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    text = {**tower, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": MOST_TOKENS}
    vision = {**tower, "image_size": shape.image_px, "patch_size": shape.patch_px}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=shape.dimensions))


def moved(pixels_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture a little smaller and elsewhere on white; colours and sides stay, since titles name them."""
    shrink_B = 1 + 2 * SHIFT_SHARE * torch.rand(len(pixels_BCHW), generator=generator)
    shift_B2 = (2 * torch.rand(len(pixels_BCHW), 2, generator=generator) - 1) * 2 * SHIFT_SHARE
    maps_B23 = torch.zeros(len(pixels_BCHW), 2, 3)
    maps_B23[:, 0, 0] = maps_B23[:, 1, 1] = shrink_B
    maps_B23[:, :, 2] = shift_B2
    grid = torch.nn.functional.affine_grid(maps_B23, list(pixels_BCHW.shape), align_corners=False)
    return 1 + torch.nn.functional.grid_sample(pixels_BCHW - 1, grid, align_corners=False)


def train(
    model: Any, processor: Any, pictures: Tensor, titles: Sequence[str], steps: int, batch_size: int, rate: float
) -> list[float]:
    """Symmetric InfoNCE between pictures and titles (Radford et al. 2021); the loss of every step."""
    generator = torch.Generator().manual_seed(0)
    tokens = processor.tokenizer(
        list(titles), padding="max_length", truncation=True, max_length=MOST_TOKENS, return_tensors="pt"
    )
    images = processor.image_processor
    mean_C11, std_C11 = (torch.tensor(values)[:, None, None] for values in (images.image_mean, images.image_std))
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1, (step + 1) / (0.05 * steps + 1)) * (1 + math.cos(math.pi * step / steps)) / 2
    )
    losses = []
    model.train()
    for step in range(steps):
        rows_B = torch.randperm(len(titles), generator=generator)[:batch_size]
        pixels_BCHW = (moved(pictures[rows_B].float() / 255, generator) - mean_C11) / std_C11
        given = {name: tokens[name][rows_B] for name in ("input_ids", "attention_mask")}
        loss = model(**given, pixel_values=pixels_BCHW, return_loss=True).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(100))
        losses.append(float(loss.detach()))
        if (step + 1) % 50 == 0:
            print(f"step {step + 1} of {steps}: loss {np.mean(losses[-50:]):.3f}", flush=True)
    model.eval()
    return losses


def save(model: Any, processor: Any, out: Path) -> None:
    """Write the folder that ``SentenceTransformer(…)`` loads."""
    from sentence_transformers import SentenceTransformer

    with tempfile.TemporaryDirectory() as plain:
        model.save_pretrained(plain)
        processor.save_pretrained(plain)
        SentenceTransformer(plain, device="cpu").save(str(out), create_model_card=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and save; what is printed is the mean loss of the last 50 steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--image-px", type=int, default=Shape.image_px)
    given = parser.parse_args(arguments)
    torch.manual_seed(0)
    paths, titles = zip(*titled_pictures(given.pictures), strict=True)
    shape = Shape(image_px=given.image_px)
    processor = build_processor(titles, shape)
    model = build_model(processor.tokenizer, shape)
    train(model, processor, squares(paths, shape.image_px), titles, given.steps, given.batch_size, given.rate)
    save(model, processor, given.out)


if __name__ == "__main__":
    main()
