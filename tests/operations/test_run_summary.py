"""The state of a recipe as values, and the pages made of them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.cli.summary import page_of, write_pages
from spn4cir_core.errors import InputError
from spn4cir_core.flow import STAGES
from spn4cir_core.operations.run_summary import run_summary
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.reports.summary_page import duration, size, summary_html, summary_markdown
from tests.browsers import chromium
from tests.conftest import HandWritten

EVIL = "<script>alert(1)</script> | \"&'"


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("demo", {"name": HandWritten.recipe})


@pytest.fixture
def up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spn4cir_core.operations.run_summary.why_outdated", lambda recipe, store: {"pairs": [EVIL]})


def of(said: dict[str, Any], noun: str) -> dict[str, Any]:
    return next(stage for stage in said["stages"] if stage["noun"] == noun)


def made(hand_written: HandWritten) -> None:
    ids = [{"image_id": name, "caption": "a red hat"} for name in "abc"]
    images = hand_written("images", images=[{"image_id": name} for name in "ab"])
    store = hand_written.store
    with store.writing("captions", "c1", {"version": 4, "parents": {"images": images.fingerprint}}) as draft:
        import pyarrow as pa

        draft.write_table(pa.Table.from_pylist(ids), "captions.parquet")
        draft.rows = 3
        draft.drop(EVIL, 1234)
        draft.seconds.update(read=1.0, compute=120.0, load=30.0)
        draft.details.update(computed=2, reused=1, headline={"sentences": [EVIL]})
    for name in ("test", "other"):
        artifact = store.get("captions", "c1")
        assert artifact is not None
        store.point(name, artifact)
    hand_written("pairs", pairs=[{"pair_id": "p"}])


def test_what_is_said_of_each_stage(hand_written: HandWritten, recipe: Recipe, up_to_date: None) -> None:
    made(hand_written)
    said = run_summary(recipe, hand_written.store, {"captions": True, "images": False})
    captions = of(said, "captions")
    assert captions["rows_in"] == {"images": 2} and captions["rows"] == 3 and captions["drops"] == {EVIL: 1234}
    assert (captions["rows_computed"], captions["rows_reused"], captions["shared_with"]) == (2, 1, ["other"])
    assert (captions["this_run"], of(said, "images")["this_run"]) == ("up to date", "computed")
    assert captions["bytes"] == sum(
        path.stat().st_size for path in (hand_written.store.root / "captions" / "c1").glob("*.parquet")
    )
    by_name = {check["name"]: check for check in captions["checks"]}
    assert by_name["captions join images"]["passed"] is False and by_name["captions join images"]["examples"] == ["c"]
    assert by_name["captions differ"]["passed"] is True
    assert of(said, "pairs")["state"] == "would run" and of(said, "pairs")["checks"] == []
    assert of(said, "triplets")["state"] == "not made yet"
    assert said["failed_checks"] == 1 and said["late"] == 1 and said["seconds"] == 151.0
    json.dumps(said)


def test_a_check_that_needs_what_is_missing_is_neither_passed_nor_failed(
    hand_written: HandWritten, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spn4cir_core.operations.run_summary.why_outdated", lambda recipe, store: {})
    hand_written("captions", captions=[{"image_id": "a", "caption": "x"}])
    checks = of(run_summary(recipe, hand_written.store), "captions")["checks"]
    assert {check["passed"] for check in checks} == {None, True} and "has no images" in checks[0]["says"]


def test_the_headline_comes_with_its_caution(
    hand_written: HandWritten, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spn4cir_core.operations.run_summary.why_outdated", lambda recipe, store: {})
    store = hand_written.store
    with store.writing("eval_report", "e1", {"version": 1, "parents": {}}) as draft:
        draft.details["headline"] = {"sentences": ["R@1 is 96 %."], "caution": "They measure no composition."}
    artifact = store.get("eval_report", "e1")
    assert artifact is not None
    store.point(recipe.name, artifact)
    said = run_summary(recipe, store)
    for page in (summary_html(said), summary_markdown(said)):
        assert page.index("R@1 is 96 %.") < page.index("They measure no composition.")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)


def test_pages_escape_what_they_show_and_twins_lie_beside(
    hand_written: HandWritten, recipe: Recipe, up_to_date: None, tmp_path: Path
) -> None:
    made(hand_written)
    said = run_summary(recipe, hand_written.store)
    paths = write_pages(said, page_of(recipe, hand_written.store))
    assert [path.name for path in paths] == ["test.html", "test.md", "test.json"]
    page = paths[0].read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.tags and "&lt;script&gt;" in page and tags.tags.count("article") == len(STAGES)
    assert "1,234" in page and "2 min" in page and "captions join images" in page
    assert not re.search(r"(?<!\\)<script", summary_markdown(said))
    assert json.loads(paths[2].read_text(encoding="utf-8")) == said
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="name a file in a folder"):
        write_pages(said, tmp_path / "file" / "page.html")


@pytest.mark.browser
def test_the_page_fits_a_phone_and_the_bars_have_their_lengths(
    hand_written: HandWritten, recipe: Recipe, up_to_date: None, tmp_path: Path
) -> None:
    made(hand_written)
    path = tmp_path / "page.html"
    path.write_text(summary_html(run_summary(recipe, hand_written.store)), encoding="utf-8")
    with chromium() as browser:
        for width in (360, 1280):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            shares = page.evaluate(
                "[...document.querySelectorAll('tr:has(a[href=\"#captions\"]) .bar i')]"
                ".map(part => part.getBoundingClientRect().width / part.parentElement.getBoundingClientRect().width)"
            )
            assert shares == pytest.approx([1 / 151, 150 / 151], abs=0.01)


def test_durations_and_sizes_are_short() -> None:
    assert [duration(value) for value in (0, 59.94, 60, 3599, 3600, 200_000)] == [
        "0.0 s",
        "59.9 s",
        "1 min 0 s",
        "59 min 59 s",
        "1 h 0 min",
        "2 d 7 h",
    ]
    assert [size(value) for value in (0, 999, 1000, 2_345_678, 5e12)] == ["0 B", "999 B", "1 kB", "2.35 MB", "5 TB"]
