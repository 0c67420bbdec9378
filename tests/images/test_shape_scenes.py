from __future__ import annotations

from random import Random

import numpy as np
import pytest

from spn4cir_core.images.shape_scenes import (
    COLOURS,
    GROUND,
    PLACES,
    Scene,
    Thing,
    caption,
    draw_scene,
    edits_by_kind,
    random_scene,
    sample_edits,
)

SCENE: Scene = (Thing(0, "small", "red", "circle"), Thing(4, "large", "blue", "star"), Thing(8, "small", "red", "star"))


def test_caption_names_things_in_grid_order_without_places() -> None:
    assert caption(SCENE) == "small red circle, large blue star, small red star"


def follow(scene: Scene, text: str) -> Scene:
    """Carry out a modified text by reading its words: the slow oracle of an edit."""
    words = text.split()
    things = {thing.phrase: thing for thing in scene}
    if words[0] == "add":
        phrase, _, position = text.removeprefix("add a ").partition(" at the ")
        return tuple(sorted((*scene, Thing(PLACES.index(position), *phrase.split()))))
    old = things.pop(" ".join(words[2:5]))
    rest = " ".join(words[5:])
    if words[0] == "move":
        new = [Thing(PLACES.index(rest.removeprefix("to the ")), old.size, old.colour, old.shape)]
    elif words[0] == "turn":
        new = [Thing(old.cell, old.size, old.colour, words[-1])]
    elif words[0] == "make":
        new = [Thing(old.cell, old.size, rest, old.shape) if rest in COLOURS else Thing(old.cell, rest, *words[3:5])]
    else:
        assert words[0] == "remove" and not rest
        new = []
    return tuple(sorted((*things.values(), *new)))


@pytest.mark.parametrize("seed", range(20))
def test_each_edit_has_the_one_answer_its_text_asks_for(seed: int) -> None:
    scene = random_scene(Random(seed))
    texts = []
    for kind, edits in edits_by_kind(scene).items():
        for edit in edits:
            assert edit.result == follow(scene, edit.text), (kind, edit.text)
            assert len({thing.phrase for thing in edit.result}) == len(edit.result), "two equal objects"
            assert 2 <= len(edit.result) <= 4
            texts.append(edit.text)
    assert len(set(texts)) == len(texts)


def test_sampled_edits_are_distinct_and_of_many_kinds() -> None:
    edits = sample_edits(SCENE, 60, Random(1))
    assert len({edit.text for edit in edits}) == 60
    assert {edit.kind for edit in edits} == {"colour", "shape", "size", "remove", "add", "move"}


def test_asking_for_more_edits_than_there_are_gives_them_all() -> None:
    scene = SCENE[:2]
    assert len(sample_edits(scene, 10_000, Random(0))) == sum(map(len, edits_by_kind(scene).values()))


def test_every_thing_is_painted_in_its_cell_and_colour_and_nowhere_else() -> None:
    pixels = np.asarray(draw_scene(SCENE, 48)).astype(int)
    for cell in range(9):
        row, column = divmod(cell, 3)
        patch = pixels[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16]
        thing = next((thing for thing in SCENE if thing.cell == cell), None)
        if thing is None:
            assert (patch == GROUND).all()
        else:
            assert (patch[8, 8] == COLOURS[thing.colour]).all()


def test_a_large_thing_covers_more_than_a_small_one() -> None:
    for shape in ("circle", "square", "triangle", "star"):
        small, large = (
            (np.asarray(draw_scene((Thing(4, size, "red", shape),), 48)) != GROUND).sum() for size in ("small", "large")
        )
        assert large > 1.8 * small
