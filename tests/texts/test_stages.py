import shutil
from collections import Counter
from dataclasses import asdict
from typing import Any

import pytest

from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.images.shapes import Shapes
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.texts.fill_templates import ModifiedTexts, Template, TextWriter, without_full_stop
from spn4cir_core.texts.settings import ModifiedTextSettings
from spn4cir_core.texts.stages import MODIFIED_TEXTS
from spn4cir_core.texts.templates import load_bank
from spn4cir_core.texts.text_table import MODIFIED_TEXTS_FILE

CAPTIONS = {
    "a": "A red circle.",
    "b": "a blue circle",
    "c": "blue circle",
    "d": "blue circle, green star",
    "e": "one two three four five six seven eight nine ten",
    "none": " ",
}


def stage(hand_written: Any, pairs: list[tuple[str, str]], use: str, seed: int = 0, **settings: Any) -> Artifact:
    templates = [asdict(template) for template in load_bank().choose([use])]
    rows = [{"pair_id": f"{one}-{two}", "reference_id": one, "target_id": two} for one, two in pairs]
    hand_written("templates", json={"templates": templates})
    hand_written("pairs", pairs=rows)
    hand_written("captions", captions=[{"image_id": name, "caption": text} for name, text in CAPTIONS.items()])
    hand_written("images", images=[{"image_id": name} for name in CAPTIONS])
    images = ImageSettings(reader=Shapes())
    recipe = Recipe.model_construct(
        name="test", seed=seed, images=images, modified_texts=ModifiedTextSettings(**settings)
    )
    return MODIFIED_TEXTS.run(recipe, hand_written.store)[0]


def writer(templates: list[Template], seed: int = 0, **settings: Any) -> TextWriter:
    return TextWriter(templates, ModifiedTextSettings(**settings), seed, lambda text: len(text.split()))


def texts(written: ModifiedTexts | str) -> tuple[str, ...]:
    assert isinstance(written, ModifiedTexts)
    return written.modified_texts


def test_published_texts_are_all_kept(hand_written: Any) -> None:
    row = stage(hand_written, [("a", "b")], "published_cirr", choose="all").table().to_pylist()[0]
    assert row == {
        "pair_id": "a-b",
        "modified_texts": ["a blue circle instead of A red circle", "Unlike A red circle, I want a blue circle"],
        "template_ids": ["instead_of", "unlike"],
        "added": "blue circle",
        "removed": "red circle",
        "token_count": 9,
        "fallback": False,
    }


def test_drops_are_counted_by_reason_and_rows_sorted(hand_written: Any) -> None:
    pairs = [("d", "b"), ("b", "c"), ("a", "none"), ("a", "absent"), ("a", "b"), ("none", "a")]
    artifact = stage(hand_written, pairs, "difference")
    assert artifact.summary["drops"] == {
        "captions say the same": 1,
        "the reference or the target has no caption": 3,
    }
    rows = artifact.table().to_pylist()
    assert [row["pair_id"] for row in rows] == ["a-b", "d-b"]
    assert rows[1]["modified_texts"] in (["without green star"], ["remove green star"])
    assert artifact.summary["rows"] == 2
    assert artifact.details["fallback_share"] == 0
    assert sum(artifact.details["texts_per_template"].values()) == 2
    assert [row["modified_texts"][0] in str(artifact.details["examples"]) for row in rows] == [True, True]


def test_texts_of_earlier_pairs_are_read_and_new_ones_written_as_from_nothing(
    hand_written: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = TextWriter.write
    monkeypatch.setattr(TextWriter, "write", lambda self, *pair: written.append(pair[0]) or write(self, *pair))
    first = [("a", "b"), ("a", "d"), ("b", "c"), ("a", "none")]
    stage(hand_written, first, "edits", per_pair=2)
    written.clear()
    grown = stage(hand_written, [*first[1:], ("d", "a"), ("c", "d")], "edits", per_pair=2)
    grown_bytes = grown.file(MODIFIED_TEXTS_FILE).read_bytes()
    assert sorted(written) == ["c-d", "d-a"] and grown.details["pairs_with_texts_before"] == 3
    shutil.rmtree(hand_written.store.root / "rows")
    shutil.rmtree(grown.path)
    anew = stage(hand_written, [*first[1:], ("d", "a"), ("c", "d")], "edits", per_pair=2)
    assert anew.file(MODIFIED_TEXTS_FILE).read_bytes() == grown_bytes


@pytest.mark.parametrize(
    "changed", [{"seed": 1}, {"use": "difference"}, {"per_pair": 1}, {"max_tokens": 5}, {"choose": "all"}]
)
def test_other_settings_write_every_text_anew(hand_written: Any, changed: dict[str, Any]) -> None:
    plain = {"use": "edits", "per_pair": 2}
    stage(hand_written, [("a", "b"), ("a", "d")], **plain)
    assert stage(hand_written, [("a", "b"), ("a", "d")], **plain | changed).details["pairs_with_texts_before"] == 0


def test_nothing_to_write_is_an_empty_table(hand_written: Any) -> None:
    artifact = stage(hand_written, [("b", "c")], "difference")
    assert artifact.table().column_names[0] == "pair_id"
    assert len(artifact.table()) == 0


def test_a_pairs_text_does_not_depend_on_other_pairs_or_their_order(hand_written: Any) -> None:
    pairs = [("a", "b"), ("b", "a"), ("a", "d"), ("d", "a")]
    alone = {
        row["pair_id"]: row for pair in pairs for row in stage(hand_written, [pair], "difference").table().to_pylist()
    }
    together = stage(hand_written, pairs[::-1], "difference").table().to_pylist()
    assert together == [alone[name] for name in sorted(alone)]


def test_the_seed_decides_and_a_new_template_moves_only_the_pairs_it_takes() -> None:
    templates = load_bank().choose(["added", "make_it_added", "added_instead_of_removed"])
    more = [*templates, Template("new", "now {added}")]

    def draw(templates: list[Template], seed: int) -> list[tuple[str, ...]]:
        return [texts(writer(templates, seed).write(str(n), "red", "blue")) for n in range(900)]

    before, after = draw(templates, 0), draw(more, 0)
    assert before == draw(templates[::-1], 0)
    assert before != draw(templates, 1)
    assert all(old == new or new == ("now blue",) for old, new in zip(before, after, strict=True))
    counts = Counter(before)
    assert len(counts) == 3
    assert all(240 < count < 360 for count in counts.values())
    assert 160 < after.count(("now blue",)) < 290


def test_per_pair_draws_that_many_different_templates() -> None:
    written = writer(load_bank().choose(["difference"]), per_pair=3).write("p", "red circle", "blue circle")
    assert isinstance(written, ModifiedTexts)
    assert len(set(written.modified_texts)) == len(set(written.template_ids)) == 3


def test_over_long_texts_fall_back_to_the_targets_caption_once() -> None:
    templates = load_bank().choose(["published_cirr"])
    written = writer(templates, choose="all", max_tokens=4).write("p", "a red circle", "a blue star now")
    assert isinstance(written, ModifiedTexts)
    assert written.modified_texts == ("a blue star now",)
    assert written.template_ids == ("fallback",)
    assert (written.fallback, written.token_count) == (True, 4)
    some = writer(templates, choose="all", max_tokens=7).write("p", "red circle", "blue star now")
    assert isinstance(some, ModifiedTexts)
    assert some.modified_texts == ("blue star now instead of red circle", "blue star now")
    assert some.fallback


def test_over_long_caption_is_dropped(hand_written: Any) -> None:
    artifact = stage(hand_written, [("a", "e"), ("e", "a")], "published_cirr", choose="all", max_tokens=6)
    assert artifact.summary["drops"] == {"the text and the target's caption are over-long": 1}
    assert artifact.table()["modified_texts"].to_pylist() == [["A red circle"]]
    assert artifact.details["fallback_share"] == 1


def test_a_text_at_the_limit_is_kept() -> None:
    template = [Template("t", "{target}")]
    assert texts(writer(template, max_tokens=4).write("p", "x", "a b c d")) == ("a b c d",)
    assert isinstance(writer(template, max_tokens=4).write("p", "x", "a b c d e"), str)


def test_templates_that_never_apply_are_a_reason() -> None:
    assert writer([Template("t", "add {added}", "added")]).write("p", "red", "blue") == (
        "no template in use applies to this change"
    )


@pytest.mark.parametrize(
    ("caption", "tidied"), [(" A cat. ", "A cat"), ("a\n b ..", "a b"), ("no. 5", "no. 5"), (".", "")]
)
def test_tidy(caption: str, tidied: str) -> None:
    assert without_full_stop(caption) == tidied
