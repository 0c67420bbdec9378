"""What the search page offers beside searching: recent queries, a region of the reference image, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spn4cir_core.images.files import ImageFiles
from spn4cir_core.search.models import Models
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.service import SearchService
from tests.browsers import watched_page
from tests.measured_store import EVIL, image_rows

pytest.importorskip("fastapi", reason="the extra serve is not installed")
from tests.search.serving import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(searcher: Searcher, pictures: Path) -> Iterator[str]:
    with served(SearchService(Models(searcher), ImageFiles(pictures))) as there:
        yield there


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with watched_page(browser, viewport={"width": 1280, "height": 1000}, color_scheme="light") as opened:
        opened.goto(address)
        opened.wait_for_selector("#start .tile")
        yield opened


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def until(page: Page, condition: str) -> None:
    """Wait until a JavaScript expression is true; the page's policy forbids playwright's own way, which is eval."""
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {condition}")


def search(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_selector(".column.composed ol .tile")


def test_recent_queries_are_links_that_ask_again(page: Page, address: str) -> None:
    assert not page.locator("#recent").is_visible()
    page.locator("#start .tile[title='toys/30.png']").click()
    search(page, EVIL)
    search(page, "a bar")
    page.locator("#recent").evaluate("(details) => { details.open = true; }")
    titles = page.locator("#recent-list a").all_text_contents()
    assert titles == [f"{EVIL}, “a bar”", f"{EVIL}, “{EVIL}”", EVIL]
    page.locator("#recent-list a").nth(1).click()
    page.wait_for_selector(".column.composed ol .tile")
    assert page.input_value("#text") == EVIL and page.locator("#recent-list a").count() == 3
    page.locator("#recent").evaluate("(details) => { details.open = true; }")
    page.click("#forget")
    assert not page.locator("#recent").is_visible()


def test_an_upload_is_no_recent_query(page: Page, pictures: Path) -> None:
    page.set_input_files("#upload", pictures / "toys/04.png")
    page.wait_for_selector(".column.image ol .tile")
    assert page.locator("#recent-list a").count() == 0


def test_a_region_of_the_reference_image_is_searched_with_and_the_text_stays(page: Page) -> None:
    page.locator("#start .tile[title='toys/04.png']").click()
    search(page, "a red circle")
    until(page, "document.querySelector('#frame img').naturalWidth > 0")
    page.click("#crop")
    assert page.evaluate("document.activeElement.id") == "region"
    page.click("#use-region")
    page.wait_for_selector("#reference-caption:has-text('a region of: a green square')")
    page.wait_for_selector(".column.composed ol .tile")
    until(page, "document.querySelector('#frame img').naturalWidth > 0")
    size = page.evaluate("((image) => [image.naturalWidth, image.naturalHeight])(document.querySelector('#frame img'))")
    assert size == pytest.approx([24, 24], abs=1), "the middle of 48 by 40 pixels"
    assert page.input_value("#text") == "a red circle" and not page.locator("#region").is_visible()


def test_a_region_is_drawn_by_the_mouse_and_moved_by_keys(page: Page) -> None:
    page.locator("#start .tile[title='toys/04.png']").click()
    page.click("#crop")
    frame = page.locator("#frame").bounding_box()
    assert frame is not None
    page.mouse.move(frame["x"] + 0.1 * frame["width"], frame["y"] + 0.2 * frame["height"])
    page.mouse.down()
    page.mouse.move(frame["x"] + 0.5 * frame["width"], frame["y"] + 0.6 * frame["height"])
    page.mouse.up()
    style = page.locator("#region").evaluate("(region) => [region.style.left, region.style.width].map(parseFloat)")
    assert style == pytest.approx([10, 40], abs=1)
    page.locator("#region").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowLeft")
    style = page.locator("#region").evaluate("(region) => [region.style.left, region.style.width].map(parseFloat)")
    assert style == pytest.approx([15, 35], abs=1)


def test_hits_are_filtered_by_columns_and_the_address_names_the_filter(page: Page, address: str) -> None:
    page.locator("#start .tile[title='toys/04.png']").click()
    search(page, "a red circle")
    page.locator("#filters").evaluate("(details) => { details.open = true; }")
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        page.select_option("#filters select[name=colour]", "blue")
    page.wait_for_selector(".column.composed ol .tile")
    blue = {row["image_id"] for row in image_rows() if row["attributes"]["colour"] == "blue"}
    hits = page.locator(".column.composed .tile")
    shown = {tile.get_attribute("title") for tile in hits.all()}
    assert shown and shown <= blue
    assert "where=colour%3Dblue" in page.url
    page.reload()
    page.wait_for_selector(".column.composed ol .tile")
    assert page.input_value("#filters select[name=colour]") == "blue"
    assert {tile.get_attribute("title") for tile in hits.all()} == shown
    page.go_back()
    page.wait_for_selector(".column.composed ol .tile")
    until(page, "document.querySelector('#filters select[name=colour]').value === ''")


def test_light_and_dark_are_chosen_and_stay(page: Page) -> None:
    light = background(page)
    page.click("#theme")
    dark = background(page)
    assert dark != light
    page.reload()
    page.wait_for_selector("#start .tile")
    assert background(page) == dark
    page.click("#theme")
    assert background(page) == light


def test_the_systems_colours_are_followed_at_first(browser: Browser, address: str, page: Page) -> None:
    context = browser.new_context(color_scheme="dark")
    other = context.new_page()
    other.goto(address)
    assert background(other) != background(page)
    other.click("#theme")
    assert background(other) == background(page)
    context.close()
