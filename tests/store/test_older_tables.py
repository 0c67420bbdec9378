"""An artefact that another version wrote: its readers name the column that is missing and what to do."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spn4cir_core.annotations import annotation_tables
from spn4cir_core.captions import caption_table
from spn4cir_core.embeddings.vectors import read_embeddings
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.evaluation import report_tables
from spn4cir_core.evaluation.held_out import COLUMNS, HeldOut
from spn4cir_core.images import manifest
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.negatives import read_false_negatives
from spn4cir_core.pairs import pair_table
from spn4cir_core.search import index_table
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

OLDER_STORE = Path(__file__).parents[1] / "fixtures" / "older_store" / "store.tar.xz"
WHOLE_TABLE_READERS: dict[tuple[str, str], Callable[[Artifact], Any]] = {
    ("images", "images"): manifest.read_manifest,
    ("images", "duplicates"): manifest.read_duplicates,
    ("images", "drops"): manifest.read_dropped_files,
    ("annotations", "annotated_triplets"): annotation_tables.read_annotated_triplets,
    ("annotations", "queries"): annotation_tables.read_queries,
    ("annotations", "drops"): annotation_tables.read_dropped_rows,
    ("captions", "captions"): caption_table.read_caption_rows,
    ("image_embeddings", "image_embeddings"): read_embeddings,
    ("splits", "splits"): split_tables.read_splits,
    ("splits", "near_duplicates"): lambda splits: split_tables.read_near_duplicates(splits, views=False),
    ("pairs", "pairs"): pair_table.read_pairs,
    ("modified_texts", "modified_texts"): text_table.read_modified_texts,
    ("triplets", "triplets"): triplet_tables.read_triplets,
    ("triplets", "candidates"): triplet_tables.read_candidates,
    ("triplets", "refused"): refusal_report.read_refused,
    ("false_negatives", "false_negatives"): read_false_negatives.count_false_negatives,
    ("candidate_bank", "candidate_bank"): lambda bank: bank.table(columns=["image_id"]),
    ("search_index", "search_index"): index_table.read_indexed_images,
    **{
        ("eval_report", Path(file).stem): lambda report, file=file: report_tables.read_report_table(report, file)
        for file in report_tables.SCHEMAS
    },
}
"""Artefact and table → the reader of all its columns that anything reads."""
UNREAD_COLUMNS = {
    ("captions", "captions", "prompt"),
    ("captions", "captions", "captioner_fingerprint"),
    ("splits", "near_duplicates", "similarity"),
}
"""Columns that are there for people."""


@cache
def older_tables() -> dict[tuple[str, str], pa.Table]:
    """Every Parquet table of the older store by artefact and name."""
    tables = {}
    with tarfile.open(OLDER_STORE) as archive:
        for member in archive:
            path, stream = Path(member.name), archive.extractfile(member)
            if path.suffix == ".parquet" and stream is not None:
                tables[path.parts[-3], path.stem] = pq.read_table(io.BytesIO(stream.read()))
    return tables


def test_every_table_of_the_older_store_has_a_reader() -> None:
    assert len(older_tables()) > 20
    assert not older_tables().keys() - WHOLE_TABLE_READERS.keys()


@pytest.mark.parametrize(
    ("noun", "table", "missing"),
    [
        pytest.param(noun, table, column, id=f"{noun} {table}.{column}")
        for (noun, table), rows in older_tables().items()
        for column in rows.column_names
    ],
)
def test_a_column_that_the_older_store_lacks_is_named_with_the_cure(
    noun: str, table: str, missing: str, tmp_path: Path
) -> None:
    older = written(tmp_path, noun, table, older_tables()[noun, table].drop_columns([missing]))
    read = WHOLE_TABLE_READERS[noun, table]
    if (noun, table, missing) in UNREAD_COLUMNS:
        read(older)
        return
    with pytest.raises(StoreError, match=f"{table}.parquet of {noun} .* has no column '{missing}'") as error:
        read(older)
    assert f"spn4cir run --select {noun}" in str(error.value)


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
