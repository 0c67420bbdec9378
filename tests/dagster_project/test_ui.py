"""The Dagster UI in a real browser: the graph in the order of the flow, a run by a click, pictures to look at."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.flow import STAGES
from tests.browsers import chromium
from tests.pipelines import tiny_recipe_file

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
SCREENSHOTS = os.environ.get("SPN4CIR_SCREENSHOTS")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(ask: Callable[[], Any], seconds: float = 120) -> Any:
    """The first true answer; fails when none comes in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            answer = ask()
        except OSError:
            answer = None
        if answer:
            return answer
        time.sleep(0.5)
    raise AssertionError("no answer in time")


def reset_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Ui:
    """A running ``dagster dev`` on the tiny recipe."""

    def __init__(self, folder: Path) -> None:
        self.port, self.home, self.store = free_port(), folder / "home", folder / "store"
        self.home.mkdir()
        (self.home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text(encoding="utf-8"), encoding="utf-8")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("DAGSTER", "SPN4CIR"))}
        environment |= {
            "DAGSTER_HOME": str(self.home),
            "SPN4CIR_RECIPE": str(tiny_recipe_file(folder)),
            "SPN4CIR_STORE": str(self.store),
        }
        words = ["dev", "-w", "workspace.yaml", "--host", "127.0.0.1", "--port", str(self.port)]
        self.log = (folder / "dagster.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dagster", *words],
            cwd=ROOT,
            env=environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=reset_signals,
        )
        eventually(lambda: urllib.request.urlopen(f"{self.url}/server_info", timeout=5).status == 200)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, query: str) -> Any:
        body = json.dumps({"query": query}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["data"]

    def statuses(self) -> list[str]:
        return [
            run["status"]
            for run in self.ask("{runsOrError {... on Runs {results {status}}}}")["runsOrError"]["results"]
        ]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)
        self.log.close()


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    with chromium():
        pass
    ui = Ui(tmp_path_factory.mktemp("ui"))
    yield ui
    ui.stop()


def test_a_click_materialises_everything_and_the_pages_show_it(ui: Ui) -> None:
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
