from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spn4cir_core.store import table_groups
from spn4cir_core.store.draft import Draft

SCHEMA = pa.schema([("name", pa.string()), ("notes", pa.map_(pa.string(), pa.string())), ("number", pa.int64())])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.text(max_size=40),
            "notes": st.lists(st.tuples(st.text(max_size=5), st.text(max_size=60)), max_size=3),
            "number": st.integers(-5, 5),
        }
    ),
    max_size=20,
)


@settings(deadline=None)
@given(ROWS, st.integers(1, 300))
def test_batches_hold_all_rows_in_order_and_no_more_than_the_bound(rows: list[dict[str, Any]], bound: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_groups, "GROUP_BYTES", bound)
        batches = list(table_groups.batches_of(rows, SCHEMA))
    assert [row for batch in batches for row in batch.to_pylist()] == rows
    if rows:
        sizes = [sum(map(table_groups.size_of, batch.to_pylist())) for batch in batches]
        assert all(size <= bound or len(batch) == 1 for size, batch in zip(sizes, batches, strict=True))
        joined = zip(sizes, batches[1:], strict=False)
        assert all(size + table_groups.size_of(batch.to_pylist()[0]) > bound for size, batch in joined), "none is early"


def rows_of(count: int) -> list[dict[str, Any]]:
    return [{"name": f"{number:03d}", "notes": [("title", "x" * 90)], "number": number} for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 50])
def test_a_table_of_several_groups_is_read_as_one(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_groups, "GROUP_BYTES", 1000)
    draft, rows = Draft(tmp_path), rows_of(count)
    draft.write_rows(iter(rows), SCHEMA, "by_rows.parquet")
    draft.write_table(pa.Table.from_pylist(rows, SCHEMA), "by_table.parquet")
    for name in ("by_rows.parquet", "by_table.parquet"):
        file = pq.ParquetFile(tmp_path / name)
        assert file.schema_arrow.equals(SCHEMA) and file.num_row_groups >= count // 10
        assert table_groups.read_table(file, None).to_pylist() == rows
        two = table_groups.read_table(file, ["number", "name"])
        assert two.column_names == ["number", "name"] and two["number"].to_pylist() == list(range(count))


def test_a_file_without_any_group_is_an_empty_table(tmp_path: Path) -> None:
    table_groups.write_batches(tmp_path / "none.parquet", SCHEMA, [])
    table = table_groups.read_table(pq.ParquetFile(tmp_path / "none.parquet"), ["number"])
    assert len(table) == 0 and table.column_names == ["number"]


def test_a_map_may_be_pairs_or_a_dictionary() -> None:
    """Soft targets of annotations are dictionaries; keys of any length."""
    notes = [[("title", "a shirt"), ("no", "7")], [], None, [("x", "")]]
    pairs = [{"name": "one", "notes": value, "number": 1} for value in notes]
    dictionaries = [row | {"notes": None if row["notes"] is None else dict(row["notes"])} for row in pairs]
    [of_pairs], [of_dictionaries] = (list(table_groups.batches_of(rows, SCHEMA)) for rows in (pairs, dictionaries))
    assert of_pairs.equals(of_dictionaries) and of_pairs["notes"].to_pylist() == notes
