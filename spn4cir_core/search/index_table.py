"""What a ``search_index`` artefact says: one row per indexed image, in the order of its vectors, and their shards."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from spn4cir_core.errors import StoreError
from spn4cir_core.index.vector_shards import ShardList
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.whole_file import read_json

IMAGES_FILE, ABOUT, VECTORS = "search_index.parquet", "index.json", "vectors"
TEXTS = ("image_id", "path", "caption", "pixel_sha256", "caption_source", "category", "corpus")
SCHEMA = pa.schema([*((name, pa.string()) for name in TEXTS), ("attributes", pa.map_(pa.string(), pa.string()))])


def read_indexed_images(search_index: Artifact) -> list[dict[str, Any]]:
    """The rows of all columns of :data:`SCHEMA`, attributes as pairs; row i belongs to the i-th target of the index.

    Raises:
        StoreError: a column is missing, since another version wrote the artefact.
    """
    rows: list[dict[str, Any]] = search_index.table(IMAGES_FILE, SCHEMA.names).to_pylist()
    return rows


def read_shard_lists(search_index: Artifact) -> dict[str, ShardList]:
    """Name of vectors → their shards.

    Raises:
        StoreError: another version wrote the artefact.
    """
    about = read_json(search_index.file(ABOUT))
    try:
        return {name: ShardList.model_validate(listed) for name, listed in about[VECTORS].items()}
    except (AttributeError, KeyError, TypeError, ValidationError) as error:
        raise StoreError(
            f"the search index {search_index.fingerprint} is of another version; make it anew with: "
            "spn4cir run --select search_index"
        ) from error
