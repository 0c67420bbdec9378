"""Reader of GeneCIS: four tasks of conditional similarity over COCO and Visual Genome; evaluation only."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from PIL import Image
from pydantic import Field

from spn4cir_core.errors import InputError
from spn4cir_core.images.base import AnnotationFile, FoundFile
from spn4cir_core.images.benchmark import GALLERIES, NAME, Benchmark, first_folder
from spn4cir_core.images.formats import FORMATS
from spn4cir_core.store.whole_file import whole_file
from spn4cir_core.user_files import read_json_file

Task = Literal["focus_attribute", "change_attribute", "focus_object", "change_object"]
TASKS: tuple[Task, ...] = ("focus_attribute", "change_attribute", "focus_object", "change_object")
TEMPLATES, CROPS = "genecis", "crops"
COCO = ("val2017", "coco/val2017", "COCO2017_val/val2017")
VISUAL_GENOME = ("VG_100K_all", "VG_All", "Visual_Genome/VG_All", "visual_genome")
DILATION = 0.7
"""Share of its width and height by which an object's box grows before it is cut out, as published."""
MAX_PIXELS = 50_000_000


class GeneCis(Benchmark):
    """``genecis/<task>.json``, ``val2017/<twelve digits>.jpg`` of COCO, ``VG_100K_all/<number>.jpg`` of Visual Genome.

    The attribute tasks are about objects in pictures: they are cut out once, into ``crops/`` of the folder. Nothing of
    it is trained on; to train on another corpus read both with ``together``.
    """

    plugin_kind: ClassVar[str] = "genecis"
    HINT: ClassVar[str] = "holds genecis/, val2017/ and VG_100K_all/"
    tasks: tuple[Task, ...] = Field(default=TASKS, min_length=1)

    def files(self, store_root: Path) -> Iterator[FoundFile]:
        """Every picture that the tasks name; those of objects are cut out first where they are not there yet.

        Raises:
            InputError: a task's file is missing or is none, or ``crops/`` cannot be written.
        """
        root = self.root(store_root)
        crops = {name: entry for entry, name, _ in self._entries(root) if _is_crop(entry)}
        if missing := {name: entry for name, entry in crops.items() if not (root / _path(root, entry)).is_file()}:
            cut_out(root, missing)
        return super().files(store_root)

    def pictures(self, root: Path) -> Iterable[FoundFile]:
        """One file per picture or object, with the tasks it is in as its galleries."""
        tasks: dict[str, set[str]] = defaultdict(set)
        paths: dict[str, str] = {}
        for entry, name, task in self._entries(root):
            tasks[name].add(task)
            paths.setdefault(name, _path(root, entry))
        for name, path in paths.items():
            galleries = "|".join(sorted(tasks[name]))
            yield FoundFile(path, self.plugin_kind, split="evaluation", attributes={NAME: name, GALLERIES: galleries})

    def annotation_files(self, store_root: Path) -> Iterator[AnnotationFile]:
        """The templates of the tasks."""
        root = self.root(store_root)
        names = self.names(root)
        for task in self.tasks:
            yield AnnotationFile(
                f"{TEMPLATES}/{task}.json", self.plugin_kind, "genecis", "queries", names, self.as_published
            )

    def _entries(self, root: Path) -> Iterator[tuple[Mapping[str, Any], str, str]]:
        """Every occurrence of a picture in a template: the entry, the picture's name, the task."""
        for task in self.tasks:
            for template in read_templates(root / TEMPLATES / f"{task}.json"):
                for entry in (template["reference"], template["target"], *template["gallery"]):
                    yield entry, image_name(entry), task


def read_templates(path: Path) -> list[dict[str, Any]]:
    """A task's templates: ``{reference, target, gallery, condition}``, pictures as ``{val_image_id}`` of COCO or as
    ``{image_id, instance_bbox}`` of Visual Genome, the box as left, top, width and height.

    Raises:
        InputError: the file is missing, is no list of templates, or a picture in it is neither of the two.
    """
    rows = read_json_file(path)
    if not isinstance(rows, list):
        raise InputError(f"{path} is not a list of GeneCIS templates but {type(rows).__name__}")
    for number, row in enumerate(rows):
        if not _is_template(row):
            raise InputError(
                f"{path}: template {number} is not {{reference, target, gallery, condition}} with pictures as "
                f"{{val_image_id}} or {{image_id, instance_bbox}}: {str(row)[:120]}"
            )
    return rows


def image_name(entry: Mapping[str, Any]) -> str:
    """One name per picture: COCO's number; for an object, its picture's number and its box."""
    if not _is_crop(entry):
        return f"{int(entry['val_image_id']):012d}"
    return "_".join([str(int(entry["image_id"])), *(f"{float(side):.10g}" for side in entry["instance_bbox"])])


def cut_out(root: Path, crops: Mapping[str, Mapping[str, Any]]) -> None:
    """Write objects as PNG files in ``crops/``; one whose picture is missing or damaged is left out, and counted later.

    Raises:
        InputError: the folder of pictures is missing, or a file cannot be written.
    """
    pictures = first_folder(root, *VISUAL_GENOME)
    for name, entry in crops.items():
        try:
            data = (pictures / f"{int(entry['image_id'])}.jpg").read_bytes()
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    continue
                crop = cropped(image.convert("RGB"), [float(side) for side in entry["instance_bbox"]])
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue
        try:
            (root / CROPS).mkdir(exist_ok=True)
            with whole_file(root / CROPS / f"{name}.png") as scratch:
                crop.save(scratch, format="PNG")
        except OSError as error:
            raise InputError(
                f"cannot write to {root / CROPS}: {error}; give a folder that may be written to"
            ) from error


def cropped(image: Image.Image, box: list[float]) -> Image.Image:
    """An object with what is around it, on a black square.

    As published: the left and top edges move out by 0.7 of the width and height, and the right and bottom ones are 1.7
    widths and heights from there; all stay inside the picture.
    """
    left, top = max(0.0, box[0] - DILATION * box[2]), max(0.0, box[1] - DILATION * box[3])
    right = min(float(image.width), left + (1 + DILATION) * box[2])
    bottom = min(float(image.height), top + (1 + DILATION) * box[3])
    inside = image.crop((round(left), round(top), round(right), round(bottom)))
    if 0 in inside.size:
        raise ValueError(f"the box {box} is empty")
    side = max(inside.size)
    square = Image.new("RGB", (side, side))
    square.paste(inside, ((side - inside.width) // 2, (side - inside.height) // 2))
    return square


def _is_crop(entry: Mapping[str, Any]) -> bool:
    return "val_image_id" not in entry


def _path(root: Path, entry: Mapping[str, Any]) -> str:
    if _is_crop(entry):
        return f"{CROPS}/{image_name(entry)}.png"
    return f"{first_folder(root, *COCO).relative_to(root).as_posix()}/{image_name(entry)}.jpg"


def _is_template(row: object) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("condition"), str):
        return False
    gallery = row.get("gallery")
    pictures = [row.get("reference"), row.get("target"), *(gallery if isinstance(gallery, list) else [None])]
    return all(isinstance(entry, dict) and _names_a_picture(entry) for entry in pictures)


def _names_a_picture(entry: Mapping[str, Any]) -> bool:
    if not _is_crop(entry):
        return _is_number(entry["val_image_id"])
    box = entry.get("instance_bbox")
    return (
        _is_number(entry.get("image_id"))
        and isinstance(box, list)
        and len(box) == 4
        and all(isinstance(side, int | float) and 0 <= side < 1e6 for side in box)
    )


def _is_number(value: object) -> bool:
    """A picture's number, which some files write as text."""
    text = str(value) if isinstance(value, int | str) else ""
    return text.isascii() and text.isdecimal() and len(text) <= 12
