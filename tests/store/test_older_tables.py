"""An artefact that another version wrote: its readers name the column that is missing and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from spn4cir_core.captions import caption_table
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.evaluation.held_out import COLUMNS, HeldOut
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.negatives import read_false_negatives
from spn4cir_core.pairs import pair_table
from spn4cir_core.splits import split_tables
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.texts import text_table
from spn4cir_core.training.triplet_batches import TRAINED_COLUMNS, read_training_triplets
from spn4cir_core.triplets import refusal_report, scores, triplet, triplet_tables
from spn4cir_core.triplets.export import export_triplets

READERS: dict[str, tuple[str, pa.Schema, Callable[[Artifact], Any]]] = {
    "captions": ("captions", pa.schema(list(caption_table.SCHEMA)[:2]), caption_table.read_captions),
    "splits": ("splits", split_tables.SPLIT_SCHEMA, split_tables.read_splits),
    "pairs": ("pairs", pair_table.SCHEMA, pair_table.read_pairs),
    "modified_texts": ("modified_texts", text_table.SCHEMA, text_table.read_modified_texts),
    "triplets": ("triplets", triplet.SCHEMA, triplet_tables.read_triplets),
    "candidates": ("triplets", triplet_tables.CANDIDATE_SCHEMA, triplet_tables.read_candidates),
}
for table, (noun, schema, read) in READERS.items():
    if table != "captions":
        READERS[table] = (noun, schema, lambda artifact, read=read, names=schema.names: read(artifact, *names))
CASES = [
    *((noun, table, schema, read, schema.names) for table, (noun, schema, read) in READERS.items()),
    ("triplets", "refused", refusal_report.REFUSED_SCHEMA, refusal_report.read_refused, ["reason", "origin"]),
    ("triplets", "scores", scores.SCHEMA, scores.read_scores, scores.SCHEMA.names),
    (
        "false_negatives",
        "false_negatives",
        read_false_negatives.SCHEMA,
        read_false_negatives.count_false_negatives,
        read_false_negatives.SCHEMA.names,
    ),
    ("triplets", "triplets", triplet.SCHEMA, read_training_triplets, list(TRAINED_COLUMNS)),
    (
        "triplets",
        "triplets",
        triplet.SCHEMA,
        lambda triplets: export_triplets(triplets, "csv", triplets.path),
        triplet.SCHEMA.names,
    ),
    (
        "triplets",
        "triplets",
        triplet.SCHEMA,
        lambda triplets: HeldOut().query_sets({"triplets": triplets}, ImageFiles(triplets.path), 0),
        list(COLUMNS),
    ),
]


@pytest.mark.parametrize(
    ("noun", "table", "schema", "read", "missing"),
    [
        pytest.param(noun, table, schema, read, missing, id=f"{number} {table}.{missing}")
        for number, (noun, table, schema, read, names) in enumerate(CASES)
        for missing in names
    ],
)
def test_a_column_that_is_missing_is_named_with_the_cure(
    noun: str, table: str, schema: pa.Schema, read: Callable[[Artifact], Any], missing: str, tmp_path: Path
) -> None:
    older = written(tmp_path, noun, table, schema.empty_table().drop_columns([missing]))
    with pytest.raises(StoreError, match=f"{table}.parquet of {noun} .* has no column '{missing}'") as error:
        read(older)
    assert f"spn4cir run --select {noun}" in str(error.value) and str(older.path) in str(error.value)


@pytest.mark.parametrize(("noun", "table", "schema", "read", "names"), CASES)
def test_the_tables_of_today_are_read(
    noun: str, table: str, schema: pa.Schema, read: Callable[[Artifact], Any], names: list[str], tmp_path: Path
) -> None:
    try:
        read(written(tmp_path, noun, table, schema.empty_table()))
    except InputError as error:
        assert "no training triplets" in str(error) or "none of split" in str(error)


def written(root: Path, noun: str, name: str, table: pa.Table) -> Artifact:
    store = Store(root)
    with store.writing(noun, "abc", {"parents": {}}) as draft:
        draft.write_table(table, f"{name}.parquet")
    artifact = store.get(noun, "abc")
    assert artifact is not None
    return artifact
