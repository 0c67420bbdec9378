"""What Dagster shows of a report: its headline, examples, and what changed since the report before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
from PIL import Image

from dagster_project.materialization import materialization
from dagster_project.pictures import PICTURE_BYTES, inline_picture
from dagster_project.previews import MARKDOWN_CHARACTERS, previews
from spn4cir_core.reports.stage import EVAL_REPORT
from tests.measured_store import measured_store, recipe, weigh


def text_of(value: Any) -> str:
    assert isinstance(value, dg.MarkdownMetadataValue)
    return str(value.value)


def test_a_report_is_seen_in_small_and_against_the_one_before(tmp_path: Path) -> None:
    store, chosen = measured_store(tmp_path), recipe(tmp_path / "pictures")
    first, _ = EVAL_REPORT.run(chosen, store)
    assert previews(first, chosen, store) == {}
    shown = materialization(first, False, previews(first, chosen, store)).metadata or {}
    assert "| R@1 |" in text_of(shown["headline"]) and "won_and_lost_since" not in shown
    assert text_of(shown["examples"]).startswith("![examples.jpg](data:image/jpeg;base64,")
    assert isinstance(shown["report_md"], dg.PathMetadataValue)  # holds words of the data: no Markdown here
    weigh(store, picture=1.0)
    second, _ = EVAL_REPORT.run(chosen, store)
    shown = materialization(second, False, previews(second, chosen, store)).metadata or {}
    assert "| minus before |" in text_of(shown["compared_with_before"])
    assert len(text_of(shown["compared_with_before"])) < MARKDOWN_CHARACTERS + 100
    assert "data:image/jpeg" in text_of(shown["won_and_lost_since"])
    assert previews(store.current(chosen.name, "images"), chosen, store) == {}  # type: ignore[arg-type]


def test_a_large_picture_is_made_small() -> None:
    shown = inline_picture(Image.effect_noise((1500, 1200), 120), "noise")
    assert len(text_of(shown)) < PICTURE_BYTES * 4 / 3 + 100
