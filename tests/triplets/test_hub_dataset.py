"""Triplets with pictures as a folder that the ``datasets`` library reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles, PictureError
from spn4cir_core.store.artifacts import Store
from spn4cir_core.triplets.hub_dataset import export_dataset
from spn4cir_core.triplets.triplet_tables import read_triplets
from tests.measured_store import drawn, measured_store

READ = """
import json, sys, datasets
loaded = datasets.load_dataset(sys.argv[1], cache_dir=sys.argv[2])
first = loaded["train"][0]
print(json.dumps({
    "rows": {name: split.num_rows for name, split in loaded.items()},
    "pixels": [first["reference"].getpixel((12, 12)), first["target"].size],
    "text": first["modified_text"], "texts": first["modified_texts"], "columns": sorted(first),
}))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return measured_store(tmp_path_factory.mktemp("measured"))


def test_load_dataset_reads_rows_and_pictures(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    import json

    triplets = store.current("measured", "triplets")
    assert triplets is not None
    files = ImageFiles(store.root.parent / "pictures")
    written = export_dataset(triplets, files, tmp_path / "toys", "CC0-1.0")
    command = [sys.executable, "-c", READ, str(tmp_path / "toys"), str(tmp_path / "cache")]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, env=offline, check=False)
    assert done.returncode == 0, done.stderr
    given = json.loads(done.stdout.splitlines()[-1])
    rows = read_triplets(triplets, "split", "reference_path", "modified_texts").to_pylist()
    names = {"train": "train", "evaluation": "test"}
    assert given["rows"] == {names[split]: sum(row["split"] == split for row in rows) for split in names}
    first = next(row for row in rows if row["split"] == "train")
    assert given["texts"] == first["modified_texts"] and given["text"] == first["modified_texts"][0]
    assert given["pixels"][0] == list(drawn(0, "circle", "red").getpixel((12, 12)))  # type: ignore[arg-type]
    assert {"reference", "target", "weight", "triplet_id"} <= set(given["columns"])
    card = written[0].read_text()
    assert "CC0-1.0" in card and "| train | annotated |" in card
    with pytest.raises(InputError, match="holds something already"):
        export_dataset(triplets, files, tmp_path / "toys")


def test_a_picture_that_is_gone_leaves_no_folder(store: Store, tmp_path: Path) -> None:
    triplets = store.current("measured", "triplets")
    assert triplets is not None
    Image.new("RGB", (4, 4)).save(tmp_path / "other.png")
    with pytest.raises(PictureError, match="no such file"):
        export_dataset(triplets, ImageFiles(tmp_path), tmp_path / "toys")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.png"]
