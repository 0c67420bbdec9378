"""One tiny index and its application for all tests of the search page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spn4cir_core.images.files import ImageFiles
from spn4cir_core.search.models import Models
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.service import SearchService
from spn4cir_core.search.stage import SEARCH_INDEX
from spn4cir_core.store.artifacts import Artifact, Store
from tests.browsers import chromium
from tests.measured_store import measured_store, recipe

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return measured_store(tmp_path_factory.mktemp("measured"))


@pytest.fixture(scope="package")
def pictures(store: Store) -> Path:
    return store.root.parent / "pictures"


@pytest.fixture(scope="package")
def index(store: Store, pictures: Path) -> Artifact:
    return SEARCH_INDEX.run(recipe(pictures), store)[0]


@pytest.fixture(scope="package")
def searcher(index: Artifact) -> Searcher:
    return Searcher.open(index)


@pytest.fixture(scope="package")
def service(searcher: Searcher, pictures: Path) -> SearchService:
    return SearchService(Models(searcher), ImageFiles(pictures))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started
