"""Ceilings of a report's query sets, on the store written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from spn4cir_core.errors import StoreError
from spn4cir_core.operations.dimension_report import dimension_ceilings
from spn4cir_core.reports.stage import EVAL_REPORT
from spn4cir_core.store.artifacts import Store
from tests.measured_store import NAME, measured_store, recipe


def test_every_query_set_has_its_ceiling(tmp_path: Path) -> None:
    store = measured_store(tmp_path)
    EVAL_REPORT.run(recipe(tmp_path / "pictures"), store)
    ceilings = dimension_ceilings(NAME, store)
    assert "annotated" in {one.query_set for one in ceilings}
    for one in ceilings:
        assert one.queries and one.dim == 16 and one.images <= 18
        assert 0 <= one.reached <= 1 and 0 <= one.reached_by_twice <= 1


def test_without_a_report_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has no report"):
        dimension_ceilings(NAME, Store(tmp_path))
