"""One tiny index and its application for all tests of the search page."""

from __future__ import annotations

from pathlib import Path

import pytest

from spn4cir_core.images.files import ImageFiles
from spn4cir_core.search.models import Models
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.service import SearchService
from spn4cir_core.search.stage import SEARCH_INDEX
from spn4cir_core.store.artifacts import Artifact, Store
from tests.measured_store import measured_store, recipe


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
