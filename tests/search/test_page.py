"""The search page in a real browser: choose, type, compare, click through, upload, be refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spn4cir_core.images.files import ImageFiles
from spn4cir_core.search.models import SHARED, Models, Opened
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.service import SearchService
from spn4cir_core.store.artifacts import Store
from tests.browsers import watched_page
from tests.measured_store import EVIL
from tests.reranking.rerankers import ByColour
from tests.search.test_reranked import reranking_searcher

pytest.importorskip("fastapi", reason="the extra serve is not installed")
from tests.search.serving import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.browser
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address(searcher: Searcher, pictures: Path) -> Iterator[str]:
    same = Opened(searcher.beside(searcher.network), SHARED)
    models = Models(searcher, {"stage1": lambda: same, "control": "there is none"})
    with served(SearchService(models, ImageFiles(pictures))) as there:
        yield there


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The opened page; at the end nothing may have been complained of or fetched from elsewhere."""
    requests: list[str] = []
    with watched_page(browser, viewport=request.param, has_touch=request.param is PHONE) as opened:
        opened.on("request", lambda sent: requests.append(sent.url))
        opened.goto(address)
        opened.wait_for_selector("#start .tile")
        yield opened
        assert opened.evaluate("document.documentElement.scrollWidth") <= request.param["width"]
    assert all(url.startswith((address, "blob:" + address, "data:")) for url in requests)


def shown(page: Page, column: str) -> list[str | None]:
    """Ids of the hits of one column, best first, once all columns have their answers."""
    until(page, "!document.querySelector('.column[aria-busy]')")
    return [tile.get_attribute("title") for tile in page.locator(f".column.{column} .tile").all()]


def until(page: Page, condition: str) -> None:
    """Wait until a JavaScript expression is true; the page's policy forbids playwright's own way, which is eval."""
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {condition}")


LOADED = "[...document.querySelectorAll('#start img')].every((image) => image.naturalWidth > 0)"


def search(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.get_by_role("button", name="Search", exact=True).click()


def test_choose_type_compare_click_through(page: Page, searcher: Searcher, pictures: Path) -> None:
    from PIL import Image

    page.locator("#start .tile[title='toys/04.png']").click()
    page.wait_for_selector(".column.image .tile")
    search(page, "a red circle")
    page.wait_for_selector(".column.composed .tile")
    page.evaluate("document.getElementById('compare').open = true")
    page.check("#beside-image")
    page.check("#beside-text")
    page.wait_for_selector(".column.text .tile")
    with Image.open(pictures / "toys/04.png") as reference:
        for column, image, text in (
            ("composed", reference, "a red circle"),
            ("image", reference, None),
            ("text", None, "a red circle"),
        ):
            right = searcher.search(image, text, 24, without=("toys/04.png",))
            assert shown(page, column) == [hit.image_id for hit in right]
    score = page.locator(".column.composed .measure span").nth(1).text_content()
    hits = searcher.search(Image.open(pictures / "toys/04.png"), "a red circle", 1, without=("toys/04.png",))
    assert score is not None and float(score) == pytest.approx(hits[0].score, abs=0.01)
    second = page.locator(".column.composed .tile").nth(1)
    wanted = second.get_attribute("title")
    second.click()
    page.wait_for_url(lambda url: "text=" not in url)
    page.wait_for_selector(".column.composed", state="detached")
    assert page.input_value("#text") == "" and wanted not in shown(page, "image")
    until(page, "document.querySelector('#frame img').naturalWidth > 0")
    page.go_back()
    page.wait_for_selector(".column.composed .tile")
    assert page.input_value("#text") == "a red circle" and shown(page, "composed")[1] == wanted


def test_other_models_and_the_sum_stand_beside_with_their_place_in_the_first_column(page: Page) -> None:
    page.locator("#start .tile[title='toys/04.png']").click()
    search(page, "a red circle")
    page.wait_for_selector(".column.composed ol .tile")
    page.locator("#compare").evaluate("(details) => { details.open = true; }")
    assert page.locator("#models .missing small").text_content() == "there is none"
    assert page.locator("#beside-control").is_disabled()
    page.check("#beside-stage1")
    page.check("#beside-sum")
    page.wait_for_selector(".column.sum .there")
    page.wait_for_selector(".column.stage1 .there")
    assert SHARED in (page.locator(".column.stage1 .asked").text_content() or "")
    first = shown(page, "composed")
    alone = shown(page, "stage1")
    assert alone != first and len(alone) == len(first)
    common = next(number for number, each in enumerate(alone) if each in first)
    for name in ("stage1", "sum"):
        places = page.locator(f".column.{name} .there").all_text_contents()
        right = [f"↔ {first.index(each) + 1}" if each in first else "new" for each in shown(page, name)]
        assert places == right
    page.mouse.move(1, 1)  # else the tile below the pointer is marked once the focus has scrolled the page
    page.locator(".column.stage1 .tile").nth(common).focus()
    assert page.locator(".column.composed .tile.same").get_attribute("title") == alone[common]
    page.reload()
    page.wait_for_selector(".column.stage1 .there")
    assert page.is_checked("#beside-stage1") and page.is_checked("#beside-sum")


def test_a_column_that_fails_leaves_the_others(page: Page) -> None:
    page.route("**/api/search", refuse_stage1)
    page.locator("#start .tile").first.click()
    page.locator("#compare").evaluate("(details) => { details.open = true; }")
    page.check("#beside-stage1")
    page.wait_for_selector(".column.stage1 .error")
    page.wait_for_selector(".column.image ol .tile")
    assert page.locator(".column.stage1 .error").text_content() == "it is gone"
    assert page.locator(".column.image ol .tile").count() == 24 and not page.locator("#error").is_visible()


def refuse_stage1(route: Route) -> None:
    if b"stage1" in (route.request.post_data_buffer or b""):
        route.fulfill(status=404, json={"error": "it is gone"})
    else:
        route.continue_()


def test_every_picture_has_an_alternative_text_and_loads(page: Page) -> None:
    until(page, LOADED)
    assert all(image.get_attribute("alt") for image in page.locator("img").all())


def test_captions_and_names_are_text_never_markup(page: Page, pictures: Path, tmp_path: Path) -> None:
    caption = page.locator("#start .tile[title='toys/30.png'] .caption")
    assert caption.text_content() == EVIL and caption.get_attribute("title") == EVIL
    page.locator("#start .tile[title='toys/30.png']").click()
    search(page, "<img src=x onerror=alert(1)>")
    page.wait_for_selector(".column.composed .tile")
    assert page.locator("#reference-caption").text_content() == EVIL
    assert page.locator("#reference-caption").get_attribute("title") == EVIL
    named = tmp_path / "<img src=x onerror=alert(2)>.png"
    named.write_bytes((pictures / "toys/04.png").read_bytes())
    page.set_input_files("#upload", named)
    page.wait_for_selector("text=your picture: <img src=x onerror=alert(2)>.png")
    assert page.locator("script").count() == 5 and page.locator("img[src=x]").count() == 0


def test_an_upload_is_searched_with_and_a_hostile_one_refused(page: Page, pictures: Path, tmp_path: Path) -> None:
    page.set_input_files("#upload", pictures / "toys/04.png")
    page.wait_for_selector(".column.image .tile")
    assert "toys/04.png" not in shown(page, "image")
    broken = tmp_path / "broken.png"
    broken.write_bytes((pictures / "toys/04.png").read_bytes()[:60])
    page.set_input_files("#upload", broken)
    page.wait_for_selector("#error:visible")
    assert "picture cannot be used: cannot be decoded" in (page.locator("#error").text_content() or "")
    assert not page.locator("#columns").is_visible()
    nothing = tmp_path / "drawing.png"
    nothing.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    page.set_input_files("#upload", nothing)
    page.wait_for_selector("#error:has-text('JPEG, PNG')")
    page.wait_for_selector("#frame:has-text('cannot be shown')")
    page.set_input_files("#upload", pictures / "toys/05.png")
    page.wait_for_selector("#error", state="hidden")


def test_keyboard_alone_is_enough(page: Page) -> None:
    page.locator("#start .tile").nth(2).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".column.image .tile")
    page.locator("#text").focus()
    page.keyboard.type("a blue bar")
    page.keyboard.press("Enter")
    page.wait_for_selector(".column.composed .tile")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Search"
    page.locator(".column.composed .tile").nth(3).focus()
    page.keyboard.press("Space")
    page.wait_for_selector(".column.composed", state="detached")


def test_shuffle_draws_others_and_text_alone_is_asked(page: Page) -> None:
    before = [tile.get_attribute("title") for tile in page.locator("#start .tile").all()]
    page.click("#shuffle")
    now = "[...document.querySelectorAll('#start .tile')].map((tile) => tile.title).join()"
    until(page, f"{now} !== '{','.join(map(str, before))}'")
    search(page, "a red circle")
    page.wait_for_selector(".column.text .tile")
    assert len(shown(page, "text")) == 24


def test_a_locked_server_asks_for_its_token(browser: Browser, service: SearchService) -> None:
    with served(service, "correct horse") as address:
        page = browser.new_page()
        page.goto(address)
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("#token:visible")
        page.fill("#token", "correct horse")
        page.keyboard.press("Enter")
        page.wait_for_selector("#start .tile")
        until(page, LOADED)
        page.close()


def test_a_second_reference_is_added_and_taken_out_again(page: Page, searcher: Searcher, pictures: Path) -> None:
    from PIL import Image

    page.locator("#start .tile[title='toys/04.png']").click()
    search(page, "a red circle")
    page.wait_for_selector(".column.composed .tile")
    alone = shown(page, "composed")
    page.check("#add")
    page.set_input_files("#upload", pictures / "toys/11.png")
    page.wait_for_selector("#further img")
    page.wait_for_selector(".column.composed .tile")
    both = [Image.open(pictures / name) for name in ("toys/04.png", "toys/11.png")]
    right = searcher.search(both, "a red circle", 24)
    assert shown(page, "composed") == [hit.image_id for hit in right]
    assert page.input_value("#text") == "a red circle" and not page.is_checked("#add")
    until(page, LOADED)
    page.locator("#further button").click()
    page.wait_for_selector("#further", state="hidden")
    page.wait_for_selector(".column.composed .tile")
    assert shown(page, "composed") == alone


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_rerankers_answer_comes_later_and_moves_nothing(
    browser: Browser, store: Store, pictures: Path, size: dict[str, int]
) -> None:
    searcher = reranking_searcher(store, pictures, kind=ByColour.plugin_kind, top=12)
    held: list[Route] = []

    def hold_the_second(route: Route) -> None:
        if b'name="rerank"' in (route.request.post_data_buffer or b""):
            held.append(route)
        else:
            route.continue_()

    with served(SearchService(Models(searcher), ImageFiles(pictures))) as address:
        page = browser.new_page(viewport=size)
        page.route("**/api/search", hold_the_second)
        page.goto(address)
        page.locator("#start .tile[title='toys/04.png']").click()
        search(page, "a blue one")
        page.wait_for_selector(".column.composed ol .tile")
        until(page, "document.getElementById('status').textContent.includes('A reranker is looking')")
        first = shown(page, "composed")
        loaded = "[...document.querySelectorAll('.column img')].every((image) => image.naturalWidth > 0)"
        until(page, loaded)
        page.locator(".column.composed .tile").nth(5).focus()
        page.evaluate("scrollTo(0, 120)")
        position = (
            "[scrollY, document.documentElement.scrollHeight, document.querySelector('.column ol').offsetTop].join()"
        )
        before, focused = page.evaluate(position), page.evaluate("document.activeElement.title")
        while not held:  # the route's handler runs while the page is waited for
            page.wait_for_timeout(50)
        held[0].continue_()
        until(page, "document.getElementById('status').textContent.includes('In the reranker')")
        until(page, loaded)
        reference = ImageFiles(pictures).open("toys/04.png")
        right = searcher.search(reference, "a blue one", 24, reference_id="toys/04.png", rerank=True)
        assert shown(page, "composed") == [hit.image_id for hit in right] != first
        assert page.evaluate(position) == before and page.evaluate("document.activeElement.title") == focused
        page.close()
