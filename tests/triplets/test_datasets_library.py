"""Our Parquet files in Hugging Face ``datasets``: lists, nulls and types as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spn4cir_core.captions.stage import SCHEMA as CAPTIONS
from spn4cir_core.store.artifacts import Artifact


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Any]:
    """``datasets.load_dataset`` without a network, with a cache of its own."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    return lambda path: datasets.load_dataset(
        "parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )


def test_triplets_keep_lists_and_nulls(
    compose: Callable[..., Artifact], rows: Any, load: Callable[[Path], Any]
) -> None:
    artifact = compose([rows.annotation("q", "a", "b")], [rows.pair("a", "c", "one", 'say "two"'), rows.pair("e", "f")])
    loaded, table = load(artifact.file("triplets.parquet")), artifact.table()
    assert loaded.to_list() == table.to_pylist()
    assert loaded.features.arrow_schema.equals(table.schema.remove_metadata(), check_metadata=False)
    annotated, generated, _ = loaded
    assert annotated["rank"] is None and annotated["score"] is None and annotated["template_ids"] == []
    assert generated["modified_texts"] == ["one", 'say "two"'] and generated["rank"] == 4
    trained = loaded.filter(lambda row: row["split"] == "train" and row["origin"] == "generated")
    assert trained["triplet_id"][:] == ["generated/a-c-0"]


def test_captions_keep_their_text(tmp_path: Path, load: Callable[[Path], Any]) -> None:
    texts = ["a red dress", "зелёная рубашка", 'a "so-called"\tshirt', None]
    columns = {name: [f"{name} {row}" for row in range(len(texts))] for name in CAPTIONS.names} | {"caption": texts}
    table = pa.Table.from_pydict(columns, schema=CAPTIONS)
    pq.write_table(table, tmp_path / "captions.parquet", compression="zstd")
    assert load(tmp_path / "captions.parquet").to_list() == table.to_pylist()
