"""No link and no ``..`` in what a corpus brings leads out of its root."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spn4cir_core.captions.sidecar import Sidecar
from spn4cir_core.errors import InputError
from spn4cir_core.images.cirr import Cirr
from spn4cir_core.images.fashioniq import FashionIq
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.images.folder import Folder
from spn4cir_core.user_files import inside


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root beside a file that is none of its business."""
    (tmp_path / "secret").write_text("file,caption\nroot:x:0:0,secret words\n")
    (tmp_path / "secret.json").write_text(json.dumps({"name": "path"}))
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "link", "linked/secret", "loop", "nul\0"])
def test_what_leads_out_is_refused_and_what_stays_is_given_back(root: Path, path: str) -> None:
    (root / "link").symlink_to(root.parent / "secret")
    (root / "linked").symlink_to(root.parent)
    (root / "loop").symlink_to("loop")
    (root / "near").symlink_to(root / "file")
    with pytest.raises(InputError, match=r"leads out of|cannot be used"):
        assert inside(root / path, root).exists()
    for stays in ("file", "a/../file", "near", "missing"):
        assert inside(root / stays, root) == root / stays


def test_metadata_behind_a_link_is_not_read(root: Path) -> None:
    (root / "metadata.csv").symlink_to(root.parent / "secret")
    with pytest.raises(InputError, match=r"metadata.csv leads out of") as caught:
        list(Folder(folder=root).files(root))
    assert "secret words" not in str(caught.value)


@pytest.mark.parametrize("table", ["link.csv", "../secret.csv", "/etc/passwd", ""])
def test_caption_tables_outside_are_not_read(root: Path, table: str) -> None:
    (root.parent / "secret.csv").write_text("file,caption\na.png,secret words\n")
    (root / "link.csv").symlink_to(root.parent / "secret.csv")
    captioner = Sidecar(table=table)
    for read in (captioner.fingerprint, captioner.start):
        with pytest.raises(InputError, match=r"leads out of|must be a path below"):
            read(ImageFiles(root))


def test_lists_of_benchmarks_behind_a_link_are_not_read(root: Path) -> None:
    (root / "image_splits").mkdir()
    for name in ("split.rc2.train.json", "split.dress.train.json"):
        (root / "image_splits" / name).symlink_to(root.parent / "secret.json")
    for reader in (Cirr(folder=root), FashionIq(folder=root, categories=("dress",))):
        with pytest.raises(InputError, match=r"leads out of"):
            list(reader.files(root))
