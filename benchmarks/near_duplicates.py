"""Precision and recall of near-duplicates on drawn pictures and on altered copies of real ones. Prints Markdown.

    python benchmarks/near_duplicates.py FOLDER_OF_PHOTOGRAPHS --photographs 150
    python benchmarks/near_duplicates.py --count FOLDER

Drawn pictures (colourways, people who differ in skin or hair, small things on white) are all different: each link is
wrong. Of each photograph there are nine copies: each link between two photographs' copies is counted as wrong as well,
each copy that is not linked to its original as missed. ``--count`` prints the number of links among the pictures of a
folder in place of all this.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from spn4cir_core.annotations.stage import ANNOTATIONS
from spn4cir_core.embeddings.stage import IMAGE_EMBEDDINGS
from spn4cir_core.images.stage import IMAGES
from spn4cir_core.recipe import load_recipe
from spn4cir_core.splits.stage import SPLITS
from spn4cir_core.store.artifacts import Store

COLOURS = ((200, 30, 30), (30, 90, 200), (40, 150, 60), (240, 200, 40), (20, 20, 20))
SKINS = ((255, 219, 172), (241, 194, 125), (198, 134, 66), (141, 85, 36))
HAIRS = ((20, 15, 10), (90, 56, 37), (220, 180, 90), (170, 60, 20))


def colourways(shapes: int = 6) -> dict[str, Image.Image]:
    """Each shape in five colours on white, 300 px."""
    return {
        f"shape{shape}_{number}": _shape(shape, colour)
        for shape in range(shapes)
        for number, colour in enumerate(COLOURS)
    }


def _shape(seed: int, colour: tuple[int, int, int]) -> Image.Image:
    image, rng = Image.new("RGB", (300, 300), "white"), random.Random(seed)
    draw = ImageDraw.Draw(image)
    draw.polygon([(rng.randint(60, 240), rng.randint(60, 240)) for _ in range(5)], fill=colour)
    left, top = rng.randint(60, 180), rng.randint(60, 180)
    draw.rectangle((left, top, left + 50, top + 40), fill=colour)
    return image


def people() -> dict[str, Image.Image]:
    """One drawn face in four colours of skin and four of hair."""
    return {
        f"face_{skin}_{hair}": _face(SKINS[skin], HAIRS[hair])
        for skin in range(len(SKINS))
        for hair in range(len(HAIRS))
    }


def _face(skin: tuple[int, int, int], hair: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGB", (300, 300), (120, 160, 200))
    draw = ImageDraw.Draw(image)
    draw.rectangle((60, 220, 240, 300), fill=(60, 60, 110))
    draw.ellipse((90, 50, 210, 200), fill=hair)
    draw.ellipse((105, 80, 195, 220), fill=skin)
    for left in (125, 160):
        draw.ellipse((left, 125, left + 15, 135), fill="white")
    draw.arc((130, 160, 170, 190), 0, 180, fill=(120, 30, 30), width=3)
    return image


def small_things(count: int = 40) -> dict[str, Image.Image]:
    """Different polygons, some with a dot, about 50 px wide in the middle of 400 px of white."""
    images = {}
    for seed in range(count):
        image, rng = Image.new("RGB", (400, 400), "white"), random.Random(seed)
        draw = ImageDraw.Draw(image)
        corners = [(200 + rng.randint(-25, 25), 200 + rng.randint(-25, 25)) for _ in range(rng.randint(3, 6))]
        draw.polygon(corners, fill=tuple(rng.randint(0, 200) for _ in range(3)))
        if seed % 2:
            draw.ellipse((190, 170, 215, 195), fill=tuple(rng.randint(0, 200) for _ in range(3)))
        images[f"small_{seed:02d}"] = image
    return images


def _reencoded(image: Image.Image) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=50)
    return Image.open(data).convert("RGB")


def _resized(image: Image.Image) -> Image.Image:
    return image.resize((max(32, image.width // 2), max(32, image.height // 2)), Image.Resampling.LANCZOS)


def _cropped(image: Image.Image) -> Image.Image:
    x, y = round(image.width * 0.025), round(image.height * 0.025)
    return image.crop((x, y, image.width - x, image.height - y))


def _cropped_at_one_side(image: Image.Image) -> Image.Image:
    return image.crop((round(image.width * 0.05), 0, image.width, image.height))


def _watermarked(image: Image.Image) -> Image.Image:
    layer = Image.new("RGBA", image.size, (0, 0, 0, 0))
    font = ImageFont.load_default(size=max(8, image.width // 12))
    corner = (image.width * 0.45, image.height * 0.85)
    ink, edge = (255, 255, 255, 140), (0, 0, 0, 140)
    ImageDraw.Draw(layer).text(corner, "© example", fill=ink, font=font, stroke_width=1, stroke_fill=edge)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


COPIES: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "reencoded": _reencoded,
    "resized": _resized,
    "cropped 5 %": _cropped,
    "cropped 5 % at one side": _cropped_at_one_side,
    "watermarked": _watermarked,
    "mirrored": ImageOps.mirror,
    "brighter by 10 %": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "darker by 10 %": lambda image: ImageEnhance.Brightness(image).enhance(0.9),
}


def write_pictures(folder: Path, images: Mapping[str, Image.Image]) -> None:
    """As PNG files, so that a copy has the pixels it was given."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        image.save(folder / f"{name}.png")


def with_copies(photographs: Iterable[Path]) -> dict[str, Image.Image]:
    """Each photograph, and its copies named ``NUMBER__KIND``."""
    images = {}
    for number, path in enumerate(photographs):
        original = Image.open(path).convert("RGB")
        images[f"{number:04d}"] = original
        images |= {f"{number:04d}__{kind}": alter(original) for kind, alter in COPIES.items()}
    return images


def links(folder: Path, store: Path, **splits: object) -> set[tuple[str, str]]:
    """The near-duplicates among the pictures of a folder, by their names without extension, each pair once."""
    settings = {
        "images": {"reader": {"kind": "folder", "folder": str(folder)}, "min_side_px": 16},
        "splits": {"near_duplicates_by": ["phash", "embedding"], "hold_out": "images", **splits},
    }
    recipe, opened = load_recipe("folder", settings), Store(store)
    for stage in (IMAGES, ANNOTATIONS, IMAGE_EMBEDDINGS):
        stage.run(recipe, opened)
    splits_artifact, _ = SPLITS.run(recipe, opened)
    print(json.dumps(splits_artifact.details))
    table = splits_artifact.table("near_duplicates.parquet").to_pylist()
    return {tuple(sorted((Path(row["image_a"]).stem, Path(row["image_b"]).stem))) for row in table}  # type: ignore[misc]


def recall(linked: set[tuple[str, str]], photographs: int) -> dict[str, float]:
    """Share of the photographs whose copy is linked to its original, by kind of copy."""
    copies = Counter(b.split("__")[1] for a, b in linked if "__" not in a and b.startswith(f"{a}__"))
    return {kind: copies[kind] / photographs for kind in COPIES}


def wrong(linked: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Links between pictures that are no copies of one original."""
    return sorted(pair for pair in linked if pair[0].split("__")[0] != pair[1].split("__")[0])


def count_links(folder: Path) -> None:
    """Print how many pairs of a folder's pictures are linked, by hash and embedding alone and compared in colour."""
    with tempfile.TemporaryDirectory() as scratch:
        for compared in (False, True):
            linked = links(folder, Path(scratch) / "store", compare_pictures=compared)
            print(f"compare_pictures = {str(compared).lower()}: {len(linked)} links", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs_in", type=Path, nargs="*")
    parser.add_argument("--photographs", type=int, default=150)
    parser.add_argument("--count", type=Path)
    args = parser.parse_args()
    if args.count:
        return count_links(args.count)
    drawn = {"colourways": colourways(), "people": people(), "small things": small_things()}
    paths = sorted(path for folder in args.photographs_in for path in folder.rglob("*.jpg"))
    paths = random.Random(0).sample(paths, min(args.photographs, len(paths)))
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for name, images in drawn.items():
            write_pictures(root / name, images)
        write_pictures(root / "photographs", with_copies(paths))
        for compared in (False, True):
            print(
                f"\n## compare_pictures = {str(compared).lower()}\n\n| pictures | linked | wrong links |\n|---|---|---|"
            )
            for name, images in drawn.items():
                linked = links(root / name, root / "store", compare_pictures=compared)
                print(f"| {name} ({len(images)}) | | {len(wrong(linked))} |")
            linked = links(root / "photographs", root / "store", compare_pictures=compared)
            for kind, share in recall(linked, len(paths)).items():
                print(f"| {kind} ({len(paths)}) | {share:.3f} | |")
            mean = sum(recall(linked, len(paths)).values()) / len(COPIES)
            errors = wrong(linked)
            print(f"| all copies | {mean:.3f} | {len(errors)} of {len(linked)} |", flush=True)
            print(errors[:10])


if __name__ == "__main__":
    main()
