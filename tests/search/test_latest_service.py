from __future__ import annotations

import logging
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest

from spn4cir_core.cli.serve import search_app
from spn4cir_core.errors import StoreError
from spn4cir_core.search import latest_service
from spn4cir_core.search.latest_service import LatestService
from spn4cir_core.search.service import SearchService
from spn4cir_core.search.stage import SEARCH_INDEX
from spn4cir_core.store.artifacts import Store
from tests.measured_store import recipe


class Opening:
    """Services that are opened one after the other, by the fingerprint of the index."""

    def __init__(self) -> None:
        self.newest, self.opened, self.broken = "one", list[str](), False
        self.warm = list[SearchService]()

    def __call__(self) -> SearchService:
        if self.broken:
            raise StoreError("damaged")
        self.opened.append(self.newest)
        service = Mock(spec=SearchService)
        service.warm_up = lambda: self.warm.append(service)
        return service


def test_another_index_is_opened_once_and_answers() -> None:
    opening, reloads = Opening(), list[bool]()
    latest = LatestService(opening, lambda: opening.newest, reloads.append)
    first = latest.current()
    latest.refresh()
    assert latest.current() is first and opening.opened == ["one"]
    opening.newest = "two"
    latest.refresh()
    latest.refresh()
    assert latest.current() is not first and opening.opened == ["one", "two"]
    assert latest.current() in opening.warm, "its models are loaded before it answers"
    assert reloads == [True]


@pytest.mark.parametrize("newest", ["", "two"])
def test_without_an_index_that_opens_the_one_before_answers(newest: str, caplog: pytest.LogCaptureFixture) -> None:
    opening = Opening()
    latest = LatestService(opening, lambda: opening.newest)
    first = latest.current()
    opening.newest, opening.broken = newest, True
    with caplog.at_level(logging.WARNING):
        latest.refresh()
        latest.refresh()
    assert latest.current() is first
    assert caplog.text.count("the new index cannot be opened") == bool(newest)


def test_a_request_looks_for_it_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    opening, may_open, opened = Opening(), threading.Event(), threading.Event()

    def slowly() -> SearchService:
        if opening.newest == "two":
            may_open.wait()
        service = opening()
        opened.set()
        return service

    latest = LatestService(slowly, lambda: opening.newest)
    first, opening.newest = latest.current(), "two"
    opened.clear()
    monkeypatch.setattr(latest_service, "LOOK_EVERY_S", -1.0)
    assert latest.current() is first, "the new one is not open yet"
    may_open.set()
    assert opened.wait(timeout=60)
    for thread in [thread for thread in threading.enumerate() if thread.name == "refresh-index"]:
        thread.join(timeout=60)
    assert latest.current() is not first


def test_the_application_follows_the_recipe(store: Store, pictures: Path) -> None:
    pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient

    index, _ = SEARCH_INDEX.run(recipe(pictures), store)  # whatever other tests made current
    app = search_app(recipe(pictures), store, "")
    answer = TestClient(app, "http://localhost").get("/api/images").json()
    assert answer["total"] == index.summary["rows"]
