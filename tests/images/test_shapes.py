from __future__ import annotations

import csv
import hashlib
import os
from pathlib import Path

import pytest
from PIL import Image
from pydantic import ValidationError

from spn4cir_core.errors import InputError
from spn4cir_core.images.shapes import Shapes

SMALL = Shapes(scenes=12, edits=5, test_scenes=8)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def bytes_of(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_same_settings_write_the_same_bytes_anywhere(tmp_path: Path) -> None:
    first, second = SMALL.root(tmp_path / "a"), SMALL.root(tmp_path / "b")
    assert first.name == second.name
    assert bytes_of(first) == bytes_of(second)
    other = Shapes(scenes=12, edits=5, test_scenes=8, seed=1).root(tmp_path / "a")
    assert bytes_of(other) != bytes_of(first)


def test_files_carry_corpus_split_and_group(tmp_path: Path) -> None:
    files = list(SMALL.files(tmp_path))
    assert {(file.corpus, file.split) for file in files} == {("scenes", "train"), ("unseen_scenes", "evaluation")}
    assert [file.path for file in files] == sorted(file.path for file in files)
    assert {file.group for file in files if file.corpus == "scenes"} == {f"scenes/{number:05d}" for number in range(12)}
    with Image.open(SMALL.root(tmp_path) / files[0].path) as picture:
        assert picture.size == (48, 48) and picture.mode == "RGB"


def test_annotations_name_files_of_their_corpus_once(tmp_path: Path) -> None:
    root = SMALL.root(tmp_path)
    triplets, queries = rows(root / "scenes" / "triplets.csv"), rows(root / "unseen_scenes" / "queries.csv")
    assert list(triplets[0]) == ["reference", "target", "modified_text", "kind"]
    assert list(queries[0]) == ["query_id", "reference", "modified_text", "targets", "kind"]
    assert len(triplets) == 60
    for row in triplets:
        assert (root / "scenes" / row["reference"]).is_file() and (root / "scenes" / row["target"]).is_file()
    for row in queries:
        assert all((root / "unseen_scenes" / name).is_file() for name in [row["reference"], *row["targets"].split("|")])
    assert len({(row["reference"], row["modified_text"]) for row in queries}) == len(queries)
    assert len({row["query_id"] for row in queries}) == len(queries)


def test_no_two_pictures_are_equal_so_no_unseen_scene_is_in_training(tmp_path: Path) -> None:
    pictures = [sha for name, sha in bytes_of(SMALL.root(tmp_path)).items() if name.endswith(".png")]
    assert len(set(pictures)) == len(pictures)


def test_unseen_scenes_are_purged_of_training_scenes() -> None:
    settings = Shapes(scenes=1500, edits=50, test_scenes=400)  # so many that unpurged draws do collide
    seen, unseen = settings.draw()
    assert not seen.names.keys() & unseen.names.keys()
    assert not {edit.result for _, edit in unseen.edits} & seen.names.keys()
    assert len(unseen.edits) < 400 * 50, "nothing was purged: the test proves nothing"


def test_a_half_written_corpus_is_never_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(self: Image.Image, *args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "save", full_disk)
        with pytest.raises(InputError, match="No space left"):
            SMALL.root(tmp_path)
    assert not list((tmp_path / "corpora").iterdir())
    assert len(list(SMALL.files(tmp_path))) > 60


def test_a_corpus_that_another_process_finished_first_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def late(self: Path, target: str | os.PathLike[str]) -> Path:
        replace(self, target)
        self.mkdir()
        (self / "mine.png").touch()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", late)
    root = SMALL.root(tmp_path)
    assert (root / "scenes" / "triplets.csv").is_file() and not (root / "mine.png").exists()


def test_the_last_scenes_may_be_of_the_validation_split(tmp_path: Path) -> None:
    watched = Shapes(scenes=12, edits=5, test_scenes=8, validation_scenes=3)
    plain = {file.path: file.split for file in SMALL.files(tmp_path)}
    for file in watched.files(tmp_path):
        number = int(Path(file.path).stem.split("_")[0])
        expected = "validation" if file.corpus == "scenes" and number >= 9 else plain[file.path]
        assert file.split == expected
    assert bytes_of(SMALL.root(tmp_path)) == bytes_of(watched.root(tmp_path))
    with pytest.raises(ValidationError, match="validation_scenes must be below scenes = 3"):
        Shapes(scenes=3, validation_scenes=3)
