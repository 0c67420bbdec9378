"""Judging on the search page in a real browser: mouse, keyboard, touch; a reload and another judge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spn4cir_core.images.files import ImageFiles
from spn4cir_core.judgements.judgement_log import FILE
from spn4cir_core.search.judging import Judging
from spn4cir_core.search.models import SHARED, Models, Opened
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.service import SearchService
from spn4cir_core.store.artifacts import Artifact, Store
from tests.browsers import watched_page
from tests.measured_store import EVIL, NAME

pytest.importorskip("fastapi", reason="the extra serve is not installed")
from tests.search.serving import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
QUERY = "?image=toys%2F20.png&text=a+red+bar"


@pytest.fixture(scope="module")
def address(searcher: Searcher, pictures: Path, store: Store, index: Artifact) -> Iterator[str]:
    same = Opened(searcher.beside(searcher.network), SHARED)
    models = Models(searcher, {"stage1": lambda: same}, index.fingerprint)
    with served(SearchService(models, ImageFiles(pictures)), judging=Judging(store, NAME)) as there:
        yield there


@pytest.fixture
def judging(store: Store) -> Iterator[Judging]:
    own = Judging(store, NAME)
    yield own
    for path in store.root.glob(f"{FILE}*"):
        path.unlink()


@pytest.fixture(params=[{"width": 1280, "height": 900}, {"width": 390, "height": 844}], ids=["desktop", "phone"])
def page(browser: Browser, address: str, judging: Judging, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page with the hits of a query."""
    with watched_page(browser, viewport=request.param, has_touch=request.param["width"] < 600) as opened:
        open_query(opened, address)
        yield opened
        assert opened.evaluate("document.documentElement.scrollWidth") <= request.param["width"]


def open_query(page: Page, address: str) -> None:
    page.goto(address + QUERY)
    page.wait_for_selector(".column.composed .verdicts")
    page.wait_for_selector("#serves:has-text('evaluation')")


def press(page: Page, hit: int, verdict: str) -> str:
    """Press a hit's button and wait for the answer; returns the hit's image id."""
    item = page.locator(".column.composed li").nth(hit)
    with page.expect_response(lambda answer: answer.request.method == "POST") as answer:
        item.locator(f".verdict.{verdict}").click()
    assert answer.value.status == 201
    return str(item.get_attribute("data-id"))


def pressed(page: Page) -> list[tuple[str | None, str | None]]:
    """Rank and verdict of every pressed button of the first column."""
    return [
        (button.evaluate("(button) => button.closest('li')?.dataset.id ?? ''"), button.get_attribute("data-verdict"))
        for button in page.locator(".column.composed .verdict[aria-pressed=true]").all()
    ]


def test_right_and_wrong_are_kept_at_once_and_there_after_a_reload(page: Page, address: str, judging: Judging) -> None:
    first, second = press(page, 0, "right"), press(page, 1, "wrong")
    stored = judging.log.judgements()
    assert [(each.image_id, each.verdict, each.rank, each.judge) for each in stored] == [
        (first, "right", 0, "anonymous"),
        (second, "wrong", 1, "anonymous"),
    ]
    open_query(page, address)
    page.wait_for_selector(".verdict[aria-pressed=true]")
    assert pressed(page) == [(first, "right"), (second, "wrong")]
    press(page, 0, "right")
    assert pressed(page) == [(second, "wrong")]
    assert judging.log.of_query(["toys/20.png"], "a red bar", "anonymous") == {second: "wrong"}


def test_the_keys_1_2_3_judge_and_go_on_to_the_next_hit(page: Page, judging: Judging) -> None:
    page.locator(".column.composed .tile").first.focus()
    for key in "213":
        with page.expect_response(lambda answer: answer.request.method == "POST"):
            page.keyboard.press(key)
    stored = judging.log.judgements()
    assert [(each.rank, each.verdict) for each in stored] == [(0, "wrong"), (1, "right"), (2, "unsure")]
    fourth = page.locator(".column.composed .tile").nth(3).get_attribute("title")
    assert page.evaluate("document.activeElement.title") == fourth
    page.keyboard.press("Control+1")
    page.locator("#text").focus()
    page.keyboard.press("1")
    assert len(judging.log) == 3


def test_none_of_these_is_one_judgement_on_all_that_is_shown(page: Page, judging: Judging) -> None:
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        page.get_by_role("button", name="None of these").click()
    (stored,) = judging.log.judgements()
    shown = [tile.get_attribute("title") for tile in page.locator(".column.composed .tile").all()]
    assert (stored.verdict, stored.image_id, list(stored.shown_ids)) == ("none", "", shown)
    assert pressed(page) == [("", "none")]


def test_hits_of_a_text_alone_have_no_buttons_and_the_page_says_which_have(page: Page, address: str) -> None:
    page.goto(address + "?text=a+red+bar")
    page.wait_for_selector(".column.text .tile")
    assert page.locator(".verdicts").count() == 0
    assert "with a reference image" in (page.locator("#judging .hint").text_content() or "")


def test_each_judge_sees_his_own_and_names_are_text(page: Page, judging: Judging) -> None:
    press(page, 0, "right")
    page.locator("#judging").evaluate("(details) => { details.open = true; }")
    page.fill("#judge", EVIL)
    with page.expect_response(lambda answer: "judge=%3Cscript" in answer.url):
        page.locator("#judge").blur()
    page.wait_for_selector(".verdict[aria-pressed=true]", state="detached")
    press(page, 0, "wrong")
    assert [each.judge for each in judging.log.judgements()] == ["anonymous", EVIL]
    assert page.locator("script").count() == 5


def test_columns_of_one_query_share_verdicts_and_each_names_its_model(page: Page, judging: Judging) -> None:
    page.locator("#compare").evaluate("(details) => { details.open = true; }")
    page.check("#beside-stage1")
    page.check("#beside-text")
    page.wait_for_selector(".column.stage1 .verdicts")
    page.wait_for_selector(".column.text ol .tile")
    assert page.locator(".column.text .verdict").count() == 0, "a hit of the text alone is of another query"
    item = page.locator(".column.stage1 li").first
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        item.locator(".verdict.right").click()
    (stored,) = judging.log.judgements()
    assert (stored.model, stored.image_id) == ("stage1", item.get_attribute("data-id"))
    same = page.locator(f".column.composed li[data-id='{stored.image_id}'] .verdict.right")
    assert same.count() == 0 or same.get_attribute("aria-pressed") == "true"


def test_every_column_shows_what_was_said_before(page: Page, address: str) -> None:
    first = press(page, 0, "right")
    page.goto(f"{address}{QUERY}&beside=stage1")
    for column in ("composed", "stage1"):
        page.wait_for_selector(f".column.{column} li[data-id='{first}'] .verdict.right[aria-pressed=true]")


def test_a_judgement_that_is_not_kept_is_said_and_not_shown(page: Page, judging: Judging) -> None:
    page.route("**/api/judgements", lambda route: route.fulfill(status=422, json={"error": "the log is full"}))
    page.locator(".column.composed .verdict.right").first.click()
    page.wait_for_selector("#error:has-text('Not kept: the log is full')")
    assert pressed(page) == [] and judging.log.judgements() == []


def test_the_queue_is_worked_through_by_keys(page: Page, judging: Judging) -> None:
    page.locator("#judging").evaluate("(details) => { details.open = true; }")
    page.click("#queue")
    page.wait_for_selector("#status:has-text('Query 1 of')")
    assert page.locator(".column").count() == 1 and page.locator(".measure").count() == 0, "no score, no model"
    hits = page.locator(".column li[data-id]").count()
    for _ in range(hits - 1):
        page.keyboard.press("1")
    with page.expect_response(lambda answer: "judging/next" in answer.url):
        page.keyboard.press("2")
    page.wait_for_selector("#status:has-text('Query 2 of')")
    page.wait_for_selector(".column li[data-id]")
    verdicts = judging.log.judgements()
    assert [each.verdict for each in verdicts] == [*["right"] * (hits - 1), "wrong"]
    assert {each.model for each in verdicts} == {"pooled"}
    with page.expect_response(lambda answer: "judging/next" in answer.url):
        page.get_by_role("button", name="None of these").click()
    page.wait_for_selector("#status:has-text('Query 3 of')")


def test_an_upload_and_a_text_alone_are_not_judged(page: Page, address: str, pictures: Path) -> None:
    page.set_input_files("#upload", pictures / "toys/04.png")
    page.wait_for_selector(".column.image ol .tile")
    page.fill("#text", "a red bar")
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_selector(".column.composed ol .tile")
    assert page.locator(".verdict").count() == 0
    page.goto(address + "?text=a+red+bar")
    page.wait_for_selector(".column.text ol .tile")
    assert page.locator(".verdict").count() == 0
