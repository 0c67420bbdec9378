"""Scenes of coloured shapes on a 3 × 3 grid: drawing them at random, their captions, their edits, their pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

SIZES = {"small": 0.27, "large": 0.45}
"""Outer radius, as a share of a cell's side."""
COLOURS = {
    "red": (214, 40, 40),
    "orange": (244, 140, 6),
    "yellow": (242, 208, 20),
    "green": (46, 150, 62),
    "blue": (30, 92, 214),
    "purple": (140, 60, 190),
    "pink": (244, 130, 190),
    "black": (32, 32, 32),
}
PLACES = (
    *("top left", "top", "top right"),
    *("left", "centre", "right"),
    *("bottom left", "bottom", "bottom right"),
)
GROUND = (246, 244, 238)
FEWEST, MOST = 2, 4
OVERSAMPLING = 4


@dataclass(frozen=True, order=True)
class Thing:
    """One object of a scene. ``cell`` counts the grid's places from the top left, row by row."""

    cell: int
    size: str
    colour: str
    shape: str

    @property
    def phrase(self) -> str:
        """Its words: size, colour, shape."""
        return f"{self.size} {self.colour} {self.shape}"


Scene = tuple[Thing, ...]
"""Two to four things, no two of the same words, in the order of their cells."""


@dataclass(frozen=True)
class Edit:
    """A change of one scene: its modified text, its kind, and the only scene that answers it."""

    text: str
    kind: str
    result: Scene


def random_scene(rng: Random) -> Scene:
    """Draw a scene: number of things, places and looks are uniform."""
    cells = rng.sample(range(len(PLACES)), rng.randint(FEWEST, MOST))
    looks = rng.sample(LOOKS, len(cells))
    return tuple(sorted(Thing(cell, *look) for cell, look in zip(cells, looks, strict=True)))


def caption(scene: Scene) -> str:
    """The phrases of the scene's things in grid order, e.g. ``small red circle, large blue star``.

    Places are left out: texts made from captions with places were measured to harm training.
    """
    return ", ".join(thing.phrase for thing in scene)


def edits_by_kind(scene: Scene) -> dict[str, list[Edit]]:
    """Every edit that leaves a valid scene (2–4 things, all different), by kind."""
    by_kind: dict[str, list[Edit]] = {}
    for edit in [*_changes(scene), *_removals(scene), *_additions(scene), *_moves(scene)]:
        words = {thing.phrase for thing in edit.result}
        if len(words) == len(edit.result) and FEWEST <= len(words) <= MOST:
            by_kind.setdefault(edit.kind, []).append(edit)
    return by_kind


def sample_edits(scene: Scene, count: int, rng: Random) -> list[Edit]:
    """Draw distinct edits: the kind first, uniformly, then one of its edits."""
    options = edits_by_kind(scene)
    picked: list[Edit] = []
    while options and len(picked) < count:
        kind = rng.choice(sorted(options))
        picked.append(options[kind].pop(rng.randrange(len(options[kind]))))
        if not options[kind]:
            del options[kind]
    return picked


def draw_scene(scene: Scene, size_px: int) -> Image:
    """Paint the scene, anti-aliased, as a square RGB picture of ``size_px``."""
    from PIL import Image, ImageDraw

    side = size_px * OVERSAMPLING
    picture = Image.new("RGB", (side, side), GROUND)
    canvas = ImageDraw.Draw(picture)
    cell_px = side / 3
    for thing in scene:
        row, column = divmod(thing.cell, 3)
        centre = ((column + 0.5) * cell_px, (row + 0.5) * cell_px)
        SHAPES[thing.shape](canvas, centre, SIZES[thing.size] * cell_px, COLOURS[thing.colour])
    return picture.reduce(OVERSAMPLING)


def _changes(scene: Scene) -> list[Edit]:
    edits = []
    for index, thing in enumerate(scene):
        for colour in COLOURS.keys() - {thing.colour}:
            text = f"make the {thing.phrase} {colour}"
            edits.append(Edit(text, "colour", _with(scene, index, replace(thing, colour=colour))))
        for shape in SHAPES.keys() - {thing.shape}:
            text = f"turn the {thing.phrase} into a {shape}"
            edits.append(Edit(text, "shape", _with(scene, index, replace(thing, shape=shape))))
        for size in SIZES.keys() - {thing.size}:
            text = f"make the {thing.phrase} {size}"
            edits.append(Edit(text, "size", _with(scene, index, replace(thing, size=size))))
    return sorted(edits, key=lambda edit: edit.text)


def _removals(scene: Scene) -> list[Edit]:
    return [
        Edit(f"remove the {thing.phrase}", "remove", scene[:index] + scene[index + 1 :])
        for index, thing in enumerate(scene)
    ]


def _additions(scene: Scene) -> list[Edit]:
    new = [Thing(cell, *look) for cell in _empty_cells(scene) for look in LOOKS]
    return [
        Edit(f"add a {thing.phrase} at the {PLACES[thing.cell]}", "add", tuple(sorted((*scene, thing))))
        for thing in new
    ]


def _moves(scene: Scene) -> list[Edit]:
    return [
        Edit(f"move the {thing.phrase} to the {PLACES[cell]}", "move", _with(scene, index, replace(thing, cell=cell)))
        for index, thing in enumerate(scene)
        for cell in _empty_cells(scene)
    ]


def _empty_cells(scene: Scene) -> list[int]:
    return sorted(set(range(len(PLACES))) - {thing.cell for thing in scene})


def _with(scene: Scene, index: int, thing: Thing) -> Scene:
    return tuple(sorted((*scene[:index], thing, *scene[index + 1 :])))


Point = tuple[float, float]
Paint = tuple[int, int, int]


def _circle(canvas: ImageDraw, centre: Point, radius: float, fill: Paint) -> None:
    x, y = centre
    radius *= 0.9  # a circle fills more of its outer radius than the others
    canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _square(canvas: ImageDraw, centre: Point, radius: float, fill: Paint) -> None:
    x, y = centre
    half = radius * 0.85
    canvas.rectangle((x - half, y - half, x + half, y + half), fill=fill)


def _triangle(canvas: ImageDraw, centre: Point, radius: float, fill: Paint) -> None:
    x, y = centre
    canvas.polygon(_corners((x, y + radius * 0.2), [radius * 1.1] * 3), fill=fill)


def _star(canvas: ImageDraw, centre: Point, radius: float, fill: Paint) -> None:
    canvas.polygon(_corners(centre, [radius * 1.08, radius * 0.45] * 5), fill=fill)


def _corners(centre: Point, radii: list[float]) -> list[Point]:
    angles = [2 * math.pi * step / len(radii) for step in range(len(radii))]
    return [
        (centre[0] + radius * math.sin(angle), centre[1] - radius * math.cos(angle))
        for radius, angle in zip(radii, angles, strict=True)
    ]


SHAPES: dict[str, Callable[[ImageDraw, Point, float, Paint], None]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
}
LOOKS = [(size, colour, shape) for size in SIZES for colour in COLOURS for shape in SHAPES]
