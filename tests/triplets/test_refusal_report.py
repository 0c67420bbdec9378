from collections.abc import Callable
from typing import Any

from PIL import Image

from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.triplets.refusal_report import REFUSED_SCHEMA

Compose = Callable[..., Artifact]


def test_what_is_refused_is_counted_listed_and_pictured(compose: Compose, hand_written: Any, rows: Any) -> None:
    folder = hand_written.store.root / "folder" / "zoo"
    folder.mkdir(parents=True)
    Image.new("RGB", (40, 20), "red").save(folder / "a.png")
    Image.new("RGB", (20, 40), "blue").save(folder / "d.png")
    pairs = [rows.pair("a", "d", "no change"), rows.pair("d", "a"), rows.pair("v", "v"), rows.pair("a", "b")]
    artifact = compose([], pairs)
    table = artifact.table("refused.parquet")
    assert table.schema.equals(REFUSED_SCHEMA)
    assert [(row["triplet_id"], row["reason"]) for row in table.to_pylist()] == [
        ("generated/a-d-0", "captions say the same"),
        ("generated/d-a-1", "captions say the same"),
        ("generated/v-v-2", "the target's caption says nothing"),
    ]
    assert artifact.summary["drops"] == {"captions say the same": 2, "the target's caption says nothing": 1}
    assert artifact.details["refused_by_reason"]["the target's caption says nothing"] == {
        "count": 1,
        "sample_ids": ["generated/v-v-2"],
    }
    assert sorted(artifact.details["refused_by_reason"]["captions say the same"]["sample_ids"]) == [
        "generated/a-d-0",
        "generated/d-a-1",
    ]
    with Image.open(artifact.file("refused.jpg")) as sheet:
        colours = {sheet.convert("RGB").getpixel((x, y)) for x in range(0, sheet.width, 4) for y in range(0, 130, 4)}
    near = [(254, 0, 0), (0, 0, 254), (211, 211, 211)]
    for wanted in near:  # red, blue, and light grey for pictures that are gone
        assert any(max(abs(a - b) for a, b in zip(wanted, colour, strict=True)) < 12 for colour in colours)


def test_nothing_refused_gives_an_empty_table_and_no_picture(compose: Compose, rows: Any) -> None:
    artifact = compose([], [rows.pair("a", "b")])
    assert len(artifact.table("refused.parquet")) == 0
    assert "refused.jpg" not in artifact.summary["files"]
    assert artifact.details["refused_by_reason"] == {}


def test_the_same_triplets_are_pictured_whatever_their_order(compose: Compose, rows: Any) -> None:
    pairs = [rows.pair("a", "d", f"text {number}") for number in range(9)]
    first, again = (
        compose([], [*pairs, rows.pair("a", "b")]),
        compose([], [*pairs, rows.pair("a", "b")], max_generated=9),
    )
    assert first.path != again.path
    assert first.summary["files"]["refused.jpg"] == again.summary["files"]["refused.jpg"]
    assert len(first.details["refused_by_reason"]["captions say the same"]["sample_ids"]) == 4
