"""The Dagster UI in a real browser: the graph in the order of the flow, a run by a click, pictures to look at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from spn4cir_core.flow import STAGES
from tests.browsers import chromium
from tests.dagster_dev import DagsterDev, eventually
from tests.pipelines import tiny_recipe_file

pytestmark = pytest.mark.browser
SCREENSHOTS = os.environ.get("SPN4CIR_SCREENSHOTS")


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterDev]:
    with chromium():
        pass
    folder = tmp_path_factory.mktemp("ui")
    ui = DagsterDev(folder, tiny_recipe_file(folder), folder / "store")
    ui.start()
    yield ui
    ui.stop()


def test_a_click_materialises_everything_and_the_pages_show_it(ui: DagsterDev) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))

        def look(name: str) -> None:
            if SCREENSHOTS:
                page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"))

        page.goto(f"{ui.url}/asset-groups", wait_until="domcontentloaded")
        page.get_by_role("button", name="Materialize all").first.wait_for(timeout=60_000)
        groups = page.inner_text("body")
        assert all(group in groups for group in ("sources", "positives", "training", "evaluation"))
        page.wait_for_timeout(3000)
        look("graph")
        page.get_by_role("button", name="Materialize all").first.click()
        eventually(ui.statuses)
        last = eventually(
            lambda: next((s for s in ui.statuses() if s in ("SUCCESS", "FAILURE", "CANCELED")), None), 300
        )
        assert last == "SUCCESS"
        page.wait_for_timeout(4000)
        look("graph_done")
        for name, text in {
            "images": "contact_sheet",
            "captions": "captioner_fingerprint",
            "stage2_checkpoint": "loss_curve",
            "eval_report": "report_html",
        }.items():
            page.goto(f"{ui.url}/assets/{name}?view=overview", wait_until="domcontentloaded")
            page.get_by_text(text, exact=True).first.wait_for(timeout=60_000)
            page.wait_for_timeout(1000)
            look(name)
        assert errors == []
    versions = ui.ask("{assetNodes {assetKey {path} staleStatus}}")["assetNodes"]
    assert {node["assetKey"]["path"][-1] for node in versions} == set(STAGES)
    assert {node["staleStatus"] for node in versions} == {"FRESH"}
