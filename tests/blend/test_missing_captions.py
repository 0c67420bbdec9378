from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from spn4cir_core.blend.blend import LEAST_SHARE_CAPTIONED, Blend, Validation
from spn4cir_core.blend.calibration import Calibration
from spn4cir_core.blend.fitted import part_of
from spn4cir_core.blend.missing_captions import NEAREST, NEVER, HiddenCaptions, even_weight, with_hidden_captions
from spn4cir_core.channels.base import CHANNELS, ComposedQueries, Gallery
from spn4cir_core.texts.word_kinds import WordKinds

PICTURES = 120
NAMES = ("picture", "edited_caption", "missing_caption")
PICTURE, CAPTION, MISSING = range(3)
CAPTIONS = [f"a {colour} {thing}" for colour in ("red", "blue", "green") for thing in ("hat", "belt", "car", "cup")]


def unit(rows: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, 12)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def blend_of(missing: float) -> Blend:
    """A picture without a caption is as far ahead as a caption can bring one that has it."""
    weights = ([2.0, 4.0, 0.0], [2.0, 4.0, 0.0], [3.0, 0.0, missing], [3.0, 0.0, 0.0])
    calibration = Calibration(np.zeros(3, np.float32), np.ones(3, np.float32))
    return Blend([CHANNELS.build(name) for name in NAMES], calibration, *map(np.array, weights))


def validation(
    captions: Sequence[str | None],
    references: Sequence[int],
    text: str = "",
    looks: np.ndarray | None = None,
    of_references: Sequence[str | None] | None = None,
) -> Validation:
    vectors = unit(len(captions), 0)
    known = [captions[row] for row in references] if of_references is None else of_references
    pictures = vectors[list(references)] if looks is None else vectors[looks]
    queries = ComposedQueries.of([text] * len(references), known, {"picture": pictures}, WordKinds())
    return Validation(Gallery(captions, {"picture": vectors}), queries)


def captions_of(share: float, seed: int = 1) -> list[str | None]:
    has_N = np.random.default_rng(seed).permutation(PICTURES) < share * PICTURES
    return [CAPTIONS[row % len(CAPTIONS)] if has else None for row, has in enumerate(has_N)]


def share_without(blend: Blend, one: Validation, references: Sequence[int]) -> float:
    """Share of pictures without a caption among the nearest of references that have one, by a plain sort."""
    shares = []
    for score_N, row, caption in zip(blend.scores(*one), references, one.queries.reference_captions, strict=True):
        if caption:
            order = [other for other in np.argsort(-score_N, kind="stable").tolist() if other != row]
            shares.append(np.mean([not one.gallery.captions[other] for other in order[:NEAREST]]))
    return float(np.mean(shares))


@pytest.mark.parametrize("share", [0.5, 0.75])
def test_a_search_by_a_picture_alone_shows_pictures_without_a_caption_by_their_share(share: float) -> None:
    references = list(range(PICTURES))
    halves = [validation(captions_of(share, seed), references) for seed in (1, 2)]
    fitted = blend_of(missing=6.0)
    before = np.mean([share_without(fitted, half, references) for half in halves])
    assert before > 1.5 * (1 - share), "with what a text calls for they lead"
    blend = with_hidden_captions(fitted, HiddenCaptions(without_text=halves), [], references)
    after = np.mean([share_without(blend, half, references) for half in halves])
    assert after == pytest.approx(1 - share, abs=1 / PICTURES)
    assert MISSING in blend.used
    with_text = validation(captions_of(share), references, "in gold")
    np.testing.assert_array_equal(blend.scores(*with_text), fitted.scores(*with_text))


def test_nothing_to_compare_gives_no_weight() -> None:
    blend, references = blend_of(1.0), [0, 1, 2]
    for captions in ([None] * 4, ["red hat"] * 4, [None, None, None, "red hat"]):
        assert even_weight(blend, [validation(captions, references)], references, MISSING) is None
    assert even_weight(blend, [], references, MISSING) is None
    few = even_weight(blend, [validation(["red hat", "red hat", None], [0])], [0], MISSING)
    assert few is not None and few >= 0, "a gallery of three pictures"


def test_without_a_text_and_a_caption_of_the_reference_captions_of_others_do_not_count() -> None:
    references, blend = [3, 5], blend_of(6.0)
    captions = captions_of(0.9)
    captions[3] = captions[5] = None
    bare = validation([None] * PICTURES, references)
    np.testing.assert_array_equal(blend.scores(*validation(captions, references)), blend.scores(*bare))


def hidden_captions(pictures_tell: bool, captions_tell: str) -> tuple[HiddenCaptions, list[list[int]], list[int]]:
    """Queries whose target has the one caption that the text names, and looks like the query's picture, or not."""
    references, targets = list(range(40)), [[row + 40] for row in range(40)]
    looks = np.arange(40, 80) if pictures_tell else np.arange(80, 120)
    nothing, distinct = [None] * PICTURES, [f"a {row}x" for row in range(PICTURES)]
    right, wrong = distinct, [*distinct[1:], distinct[0]]

    def queries(captions: Sequence[str | None], texts: Sequence[str]) -> Validation:
        one = validation(captions, references, looks=looks, of_references=nothing[:40])
        composed = ComposedQueries.of(texts, nothing[:40], one.queries.vectors, WordKinds())
        return Validation(one.gallery, composed)

    texts = [distinct[row + 40] for row in range(40)]
    half = queries(right if captions_tell == "half" else wrong, texts)
    full = queries(right if captions_tell in ("half", "full") else wrong, texts)
    return HiddenCaptions([half], [], [full]), targets, references


@pytest.mark.parametrize(
    ("pictures_tell", "captions_tell", "share"),
    [(False, "half", LEAST_SHARE_CAPTIONED), (False, "full", 1.0), (True, "never", NEVER), (True, "half", NEVER)],
)
def test_captions_count_for_a_reference_without_one_where_validation_queries_say_so(
    pictures_tell: bool, captions_tell: str, share: float
) -> None:
    hidden, targets, references = hidden_captions(pictures_tell, captions_tell)
    blend = with_hidden_captions(blend_of(0.0), hidden, targets, references)
    assert blend.least_share == share
    ((gallery, half),), ((_, full),) = hidden.of_pictures, hidden.of_references
    few = HiddenCaptions(*([Validation(gallery, part_of(of, slice(10)))] for of in (half, half, full)))
    assert with_hidden_captions(blend_of(0.0), few, targets[:10], references[:10]).least_share == LEAST_SHARE_CAPTIONED


def test_a_text_alone_is_compared_with_captions_whatever_a_reference_image_needs() -> None:
    one = validation(captions_of(0.75), [0, 1], "a red hat", of_references=[None, None])
    never = replace(blend_of(1.0), least_share=NEVER)
    text_alone = replace(one.queries, references=[False, True])
    scores = never.scores(one.gallery, text_alone)
    with_captions = replace(never, least_share=0.0).scores(*one)
    np.testing.assert_array_equal(scores[0], with_captions[0])
    assert (scores[1] != with_captions[1]).any()
