"""The table of the ``captions`` artefact: one row per image that has a caption, in the order of the manifest."""

from __future__ import annotations

import pyarrow as pa

from spn4cir_core.store.artifacts import Artifact

CAPTIONS_FILE = "captions.parquet"
IMAGE_ID, CAPTION, SOURCE = "image_id", "caption", "captioner"
SCHEMA = pa.schema([(name, pa.string()) for name in (IMAGE_ID, CAPTION, SOURCE, "prompt", "captioner_fingerprint")])


def read_caption_rows(captions: Artifact) -> pa.Table:
    """One row per captioned image, with ``image_id``, ``caption`` and ``captioner``.

    Raises:
        StoreError: a column is missing, since another version wrote the artefact.
    """
    return captions.table(CAPTIONS_FILE, [IMAGE_ID, CAPTION, SOURCE])


def read_captions(captions: Artifact) -> dict[str, str]:
    """Captions by image id; an image without a caption is missing."""
    table = captions.table(CAPTIONS_FILE, columns=[IMAGE_ID, CAPTION])
    return dict(zip(table[IMAGE_ID].to_pylist(), table[CAPTION].to_pylist(), strict=True))


def caption_sources(captions: Artifact) -> dict[str, str]:
    """Where each image's caption is from, by image id: the captioner, or the column of a table."""
    table = captions.table(CAPTIONS_FILE, columns=[IMAGE_ID, SOURCE])
    return dict(zip(table[IMAGE_ID].to_pylist(), table[SOURCE].to_pylist(), strict=True))
