from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image
from typing_extensions import override

from spn4cir_core.captions.base import REFUSED, Captioner, ToCaption
from spn4cir_core.captions.stage import CAPTIONS, FAILED
from spn4cir_core.captions.tags import is_plural
from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.images.stage import IMAGES
from spn4cir_core.models.lite0 import PACKAGE
from spn4cir_core.models.lite0_levels import Lite0Levels
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.store.rows import Rows
from tests.captions.conftest import Pictures

SHAPES = {"kind": "shapes", "scenes": 8, "validation_scenes": 0, "edits": 3, "test_scenes": 2}
LLAVA = {"kind": "llava", "model": "builtin:shapes"}


def recipe(reader: dict[str, Any], captioner: dict[str, Any], **settings: Any) -> Recipe:
    return load_recipe("demo", {"images": {"reader": reader}, "captions": {"captioner": captioner, **settings}})


def run(recipe: Recipe, store: Store) -> tuple[Artifact, bool]:
    IMAGES.run(recipe, store)
    return CAPTIONS.run(recipe, store)


def folder_of(pictures: Pictures, root: Path, numbers: range) -> dict[str, str]:
    root.mkdir(exist_ok=True)
    for number in numbers:
        (root / f"{number}.png").write_bytes((pictures.files.root / f"{number}.png").read_bytes())
    return {"kind": "folder", "folder": str(root)}


def test_one_caption_per_image_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    store, made = Store(tmp_path), recipe(SHAPES, LLAVA)
    artifact, reused = run(made, store)
    manifest = IMAGES.run(made, store)[0].table()
    table = artifact.table()
    assert not reused and run(made, store)[1]
    assert table.column_names == ["image_id", "caption", "captioner", "prompt", "captioner_fingerprint"]
    assert table["image_id"].to_pylist() == manifest["image_id"].to_pylist()
    assert set(table["captioner"].to_pylist()) == {"llava"}
    assert set(table["prompt"].to_pylist()) == {"Please briefly describe the image in 10 words."}
    assert artifact.summary["rows"] == len(table) and artifact.summary["drops"] == {}
    assert artifact.details["distinct_captions"] == len(set(table["caption"].to_pylist()))
    assert artifact.details["sample"][0] == table.select(["image_id", "caption"]).slice(0, 1).to_pylist()[0]


def test_new_pictures_cost_only_themselves(tmp_path: Path, pictures: Pictures) -> None:
    store, root = pictures.store(tmp_path / "store"), tmp_path / "pictures"
    first, _ = run(recipe(folder_of(pictures, root, range(5)), LLAVA), store)
    second, _ = run(recipe(folder_of(pictures, root, range(9)), LLAVA), store)
    assert (first.details["computed"], first.details["reused"]) == (5, 0)
    assert (second.details["computed"], second.details["reused"]) == (4, 5)
    assert second.table().to_pylist()[:5] == first.table().to_pylist()


def test_a_picture_that_is_replaced_during_a_run_gets_no_caption_of_the_other(
    tmp_path: Path, pictures: Pictures
) -> None:
    store, root = pictures.store(tmp_path / "store"), tmp_path / "pictures"
    made = recipe(folder_of(pictures, root, range(3)), LLAVA)
    IMAGES.run(made, store)
    before = (root / "1.png").read_bytes()
    (root / "1.png").write_bytes((root / "2.png").read_bytes())
    with pytest.raises(InputError, match=r"changed since it was listed \(1.png has other pixels; run again"):
        CAPTIONS.run(made, store)
    (root / "1.png").write_bytes(before)
    unbroken, _ = run(made, pictures.store(tmp_path / "unbroken"))
    assert run(made, store)[0].summary["files"] == unbroken.summary["files"]


def test_another_prompt_asks_again(tmp_path: Path, pictures: Pictures) -> None:
    store, reader = pictures.store(tmp_path / "store"), folder_of(pictures, tmp_path / "pictures", range(3))
    run(recipe(reader, LLAVA), store)
    other, _ = run(recipe(reader, {**LLAVA, "words": 5}), store)
    assert other.details["computed"] == 3
    assert set(other.table()["prompt"].to_pylist()) == {"Please briefly describe the image in 5 words."}


def test_pictures_without_a_caption_are_counted(tmp_path: Path, pictures: Pictures) -> None:
    reader = folder_of(pictures, tmp_path / "pictures", range(4))
    (tmp_path / "pictures" / "captions.csv").write_text("file,caption\n1.png,one\n2.png,\n3.png,three\n")
    artifact, _ = run(recipe(reader, {"kind": "sidecar"}), pictures.store(tmp_path / "store"))
    assert artifact.table()["caption"].to_pylist() == ["one", "three"]
    assert artifact.summary["drops"] == {"the captioner had nothing to say": 2}


def test_a_picture_that_the_models_processor_refuses_has_a_reason_of_its_own(
    tmp_path: Path, pictures: Pictures, small_model: Callable[[str], Path]
) -> None:
    reader = folder_of(pictures, tmp_path / "pictures", range(3))
    Image.effect_noise((2000, 9), 60).convert("RGB").save(tmp_path / "pictures" / "narrow.png")
    llava = {"kind": "llava", "model": str(small_model("qwen2.5-vl")), "max_new_tokens": 6}
    store = pictures.store(tmp_path / "store")
    made = recipe(reader, llava)
    for more in range(3, 5):
        artifact, _ = run(made, store)
        assert artifact.summary["drops"] == {REFUSED: 1}, "the second time, it alone is asked again"
        assert artifact.details["captioner_counts"] == {REFUSED: 1} and artifact.summary["rows"] == more
        folder_of(pictures, tmp_path / "pictures", range(more, more + 1))


class Given(Captioner):
    """A captioner of one's own that gives the same answer for every batch."""

    answer: Any

    @override
    def fingerprint(self, files: ImageFiles) -> str:
        return fingerprint(self)

    @override
    def prompt(self, image: ToCaption) -> str:
        return ""

    @override
    def start(self, files: ImageFiles) -> Callable[[Sequence[ToCaption], Sequence[Image.Image]], Any]:
        return lambda images, opened: self.answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (["one"], "captioning: 1 answers for a batch of 3"),
        (["one"] * 4, "captioning: 4 answers for a batch of 3"),
        ("one", "gave the text 'one'"),
        (["one", 2, "three"], "expected of the plug-in, got int 2"),
    ],
)
def test_answers_of_a_plugin_that_fit_no_picture_end_the_run(
    tmp_path: Path, pictures: Pictures, answer: Any, message: str
) -> None:
    store, reader = pictures.store(tmp_path / "store"), folder_of(pictures, tmp_path / "pictures", range(3))
    with pytest.raises(InputError, match=message):
        run(recipe(reader, {"kind": f"{__name__}:Given", "answer": answer}), store)


def test_edited_code_makes_captions_anew_once_its_version_is_raised(
    tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, reader = pictures.store(tmp_path / "store"), folder_of(pictures, tmp_path / "pictures", range(3))
    made = recipe(reader, {"kind": f"{__name__}:Given", "answer": ["one", "two", "three"]})
    assert not run(made, store)[1] and run(made, store)[1]
    monkeypatch.setattr(type(made.captions.captioner), "plugin_version", 2)
    again, reused = run(made, store)
    assert not reused and again.details["computed"] == 3


def test_a_failed_picture_is_asked_again_as_the_drop_says(tmp_path: Path, pictures: Pictures) -> None:
    store, reader = pictures.store(tmp_path / "store"), folder_of(pictures, tmp_path / "pictures", range(3))
    made = recipe(reader, {"kind": f"{__name__}:Given", "answer": ["one", None, "three"]})
    artifact, _ = run(made, store)
    assert artifact.summary["drops"] == {FAILED: 1} and "folder is deleted" in FAILED
    assert run(made, store)[1], "with the same input nothing is asked"
    shutil.rmtree(artifact.path)
    with pytest.raises(InputError, match="3 answers for a batch of 1"):
        run(made, store)


def test_a_changed_side_file_is_read_again(tmp_path: Path, pictures: Pictures) -> None:
    store, reader = pictures.store(tmp_path / "store"), folder_of(pictures, tmp_path / "pictures", range(2))
    for words in ("old", "new"):
        (tmp_path / "pictures" / "captions.csv").write_text(f"file,caption\n0.png,{words}\n")
        artifact, reused = run(recipe(reader, {"kind": "sidecar"}), store)
        assert not reused and artifact.table()["caption"].to_pylist() == [words]


def test_not_one_caption_is_an_error_and_leaves_no_artefact(tmp_path: Path, pictures: Pictures) -> None:
    store, reader = pictures.store(tmp_path / "store"), folder_of(pictures, tmp_path / "pictures", range(2))
    (tmp_path / "pictures" / "captions.csv").write_text("file,caption\n")
    with pytest.raises(InputError, match="not one of the 2 images"):
        run(recipe(reader, {"kind": "sidecar"}), store)
    assert store.current("demo", "captions") is None


def test_the_batch_size_does_not_change_the_bytes(tmp_path: Path, pictures: Pictures) -> None:
    marks, reader = set(), folder_of(pictures, tmp_path / "pictures", range(5))
    for batch_rows, shard_rows, readers in [(1, 3, 1), (16, 512, 3)]:
        settings = {"batch_rows": batch_rows, "shard_rows": shard_rows, "readers": readers}
        artifact, _ = run(recipe(reader, LLAVA, **settings), pictures.store(tmp_path / str(batch_rows)))
        marks.add(artifact.summary["files"]["captions.parquet"]["sha256"])
    assert len(marks) == 1


def test_tags_and_features_have_the_same_bytes_whatever_threads_or_processes_look(
    tmp_path: Path, pictures: Pictures
) -> None:
    """Half of the pictures are new to the store the second time: they cost only themselves."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("timm")
    pytest.importorskip(PACKAGE)
    before, trunk = torch.get_num_threads(), Lite0Levels()
    reader = folder_of(pictures, tmp_path / "pictures", range(9))
    alone = folder_of(pictures, tmp_path / "alone", range(1, 9, 2))
    marks = set()
    try:
        for number, (threads, settings) in enumerate(
            [
                (1, {"batch_rows": 16, "readers": 1}),
                (3, {"batch_rows": 2, "readers": 5}),
                (2, {"batch_rows": 3, "read_in": "processes"}),
            ]
        ):
            torch.set_num_threads(threads)
            store = pictures.store(tmp_path / str(number))
            for folder in (alone, reader):
                artifact, _ = run(recipe(folder, {"kind": "tags"}, **settings), store)
            assert torch.get_num_threads() == threads
            hashes = IMAGES.run(recipe(reader, LLAVA), store)[0].table()["pixel_sha256"].to_pylist()
            rows = Rows(store.rows("image_inputs", trunk.fingerprint()), pa.large_binary())
            values = rows.values(hashes)
            assert sorted(values) == sorted(hashes) and sum(map(len, rows.valid_keys())) == len(hashes)
            files = artifact.summary["files"]
            marks.add((*(files[name]["sha256"] for name in sorted(files)), *(values[key] for key in hashes)))
    finally:
        torch.set_num_threads(before)
    assert len(marks) == 1


@pytest.mark.data
def test_tags_name_real_clothes(tmp_path: Path, shared_data: Path) -> None:
    pytest.importorskip("timm")
    root = tmp_path / "clothes"
    root.mkdir()
    for path in sorted((shared_data / "clothing" / "images").glob("*.jpg"))[:20]:
        (root / path.name).write_bytes(path.read_bytes())
    artifact, _ = run(recipe({"kind": "folder", "folder": str(root)}, {"kind": "tags"}), Store(tmp_path / "store"))
    captions = artifact.table()["caption"].to_pylist()
    assert len(captions) >= 18 and len(set(captions)) >= 8
    assert all(caption.startswith(("a ", "an ", "something ")) != is_plural(caption) for caption in captions)


def test_a_captioner_that_sees_no_pictures_has_none_opened(
    tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, store = folder_of(pictures, tmp_path / "pictures", range(3)), pictures.store(tmp_path / "store")
    (tmp_path / "pictures" / "captions.csv").write_text("file,caption\n0.png,one\n1.png,two\n2.png,three\n")
    IMAGES.run(recipe(reader, {"kind": "sidecar"}), store)
    opened: list[str] = []
    monkeypatch.setattr(ImageFiles, "open", lambda files, path: opened.append(path))
    artifact, _ = CAPTIONS.run(recipe(reader, {"kind": "sidecar"}), store)
    assert artifact.table()["caption"].to_pylist() == ["one", "two", "three"] and opened == []
