"""What Dagster's pages are told of captions and file names is plain text: they render Markdown, and HTML inside it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pyarrow as pa
from PIL import Image

from dagster_project.materialization import materialization
from spn4cir_core.store.artifacts import Store

EVIL = "<svg onload=alert(1)> ![x](http://evil.example/x.png) [y](javascript:alert(1)) `z` | w"


def test_only_pictures_and_curves_of_ours_are_markdown(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.writing("captions", "abc", {"parents": {}}) as draft:
        draft.write_table(pa.table({"image_id": [EVIL], "caption": [EVIL]}), "captions.parquet")
        Image.new("RGB", (30, 20), "red").save(draft.file("contact_sheet.jpg"))
        draft.file("metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
        draft.drop(EVIL, 2)
        draft.details = {"note": EVIL, "categories": {EVIL: 3}, "sample": [{"caption": EVIL}], EVIL: 1}
    artifact = store.get("captions", "abc")
    assert artifact is not None
    shown = materialization(artifact, reused=False).metadata or {}
    values = {key: dg.MetadataValue.text(value) if isinstance(value, str) else value for key, value in shown.items()}
    markdown = {key: value.value for key, value in values.items() if isinstance(value, dg.MarkdownMetadataValue)}
    assert markdown.keys() == {"contact_sheet", "loss_curve"}
    for text in markdown.values():
        assert str(text).startswith(("![contact_sheet.jpg](data:image/jpeg", "![loss](data:image/svg+xml;base64,"))
        assert "evil" not in str(text)
    assert isinstance(shown["sample"], dg.TableMetadataValue) and isinstance(shown["drops"], dg.TableMetadataValue)
