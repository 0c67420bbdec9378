from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from spn4cir_core.errors import InputError
from spn4cir_core.images import stage as scan
from spn4cir_core.images.files import image_files
from spn4cir_core.images.manifest import MANIFEST_FILE, manifest_column, read_manifest
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.images.stage import IMAGES
from spn4cir_core.recipe import Recipe
from spn4cir_core.store import folder_state, table_groups
from spn4cir_core.store.artifacts import Artifact, Store


def recipe(folder: Path, min_side_px: int = 8, **reader: Any) -> Recipe:
    settings = ImageSettings.model_validate(
        {"reader": {"kind": "folder", "folder": folder, **reader}, "min_side_px": min_side_px}
    )
    return Recipe.model_construct(name="test", seed=0, images=settings)


def write_pictures(folder: Path, count: int, start: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(start, start + count):
        pixels = np.random.default_rng(index).integers(0, 255, (10, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:03d}.png")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths that were decoded, in order."""
    paths: list[str] = []
    run = scan.Examiners.run

    def counted(self: Any, wanted: Any) -> Any:
        paths.extend(wanted)
        return run(self, wanted)

    monkeypatch.setattr(scan.Examiners, "run", counted)
    return paths


def test_a_new_decoder_makes_a_corpus_again_only_where_it_can_see_it_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "plain", 2)
    write_pictures(tmp_path / "layered", 2)
    Image.new("RGBA", (16, 16), (1, 2, 3, 4)).save(tmp_path / "layered" / "x.png")
    wanted = {
        version: [IMAGES.wanted(recipe(tmp_path / name), Store(tmp_path / "store")) for name in ("plain", "layered")]
        for version in (2, 3)
        if monkeypatch.setattr(scan, "DECODER_VERSION", version) is None
    }
    assert wanted[2][0] == wanted[3][0] and wanted[2][1] != wanted[3][1]


def test_a_renamed_folder_with_its_old_name_as_corpus_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_state, "SETTLED_NS", -1)  # states are noted at once
    store = Store(tmp_path / "store")
    write_pictures(tmp_path / "photos", 2)
    before, _ = IMAGES.run(recipe(tmp_path / "photos"), store)
    (tmp_path / "photos").rename(tmp_path / "photos-2026")
    renamed = tmp_path / "photos-2026"
    assert IMAGES.wanted(recipe(renamed), store) != before.fingerprint
    assert IMAGES.run(recipe(renamed, corpus="photos"), store) == (before, True)
    other, _ = IMAGES.run(recipe(renamed, corpus="other"), store)
    assert set(manifest_column(other, "corpus").values()) == {"other"}


@pytest.mark.parametrize("count", [1, 2, 10])
def test_tiny_corpora(tmp_path: Path, count: int) -> None:
    write_pictures(tmp_path / "in", count)
    artifact, reused = IMAGES.run(recipe(tmp_path / "in"), Store(tmp_path / "store"))
    assert (len(artifact.table()), reused) == (count, False)
    assert artifact.table().schema == scan.IMAGE_SCHEMA
    with Image.open(artifact.file("contact_sheet.jpg")) as sheet:
        assert sheet.width > 100


@pytest.mark.parametrize("content", [{}, {"notes.txt": b"hi", ".hidden.png": b""}])
def test_a_folder_without_pictures_is_one_clear_error(tmp_path: Path, content: dict[str, bytes]) -> None:
    (tmp_path / "in").mkdir()
    for name, data in content.items():
        (tmp_path / "in" / name).write_bytes(data)
    with pytest.raises(InputError, match=r"no pictures below .*/in"):
        IMAGES.run(recipe(tmp_path / "in"), Store(tmp_path / "store"))
    assert Store(tmp_path / "store").current("test", "images") is None


def test_a_folder_of_unusable_files_says_what_was_wrong(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"")
    (tmp_path / "in" / "b.png").write_bytes(b"text")
    with pytest.raises(InputError, match=r"none of the 2 files.*1 empty file \(such as 'a.png'\); 1 not a picture"):
        IMAGES.run(recipe(tmp_path / "in"), Store(tmp_path / "store"))


def test_nothing_changed_is_nothing_done_and_a_moved_folder_is_the_same_corpus(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    write_pictures(tmp_path / "in", 3)
    first, _ = IMAGES.run(recipe(tmp_path / "in"), store)
    assert IMAGES.run(recipe(tmp_path / "in"), store) == (first, True)
    (tmp_path / "other").mkdir()
    shutil.move(tmp_path / "in", tmp_path / "other" / "in")
    assert IMAGES.run(recipe(tmp_path / "other" / "in"), store) == (first, True)


def test_new_pictures_cost_themselves_and_give_the_bytes_of_a_fresh_run(tmp_path: Path, decoded: list[str]) -> None:
    store = Store(tmp_path / "store")
    write_pictures(tmp_path / "in", 5)
    old, _ = IMAGES.run(recipe(tmp_path / "in"), store)
    write_pictures(tmp_path / "in", 2, start=5)
    decoded.clear()
    grown, reused = IMAGES.run(recipe(tmp_path / "in"), store)
    assert not reused and decoded == ["005.png", "006.png"]
    fresh, _ = IMAGES.run(recipe(tmp_path / "in"), Store(tmp_path / "fresh"))
    assert grown.fingerprint == fresh.fingerprint != old.fingerprint
    assert grown.summary["files"] == fresh.summary["files"]


def test_changed_bytes_of_equal_size_and_changed_metadata_are_seen(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    write_pictures(tmp_path / "in", 2)
    (tmp_path / "in" / "metadata.csv").write_text("file,label\n000.png,hat\n")
    marks = [IMAGES.run(recipe(tmp_path / "in"), store)[0].fingerprint]
    (tmp_path / "in" / "metadata.csv").write_text("file,label\n000.png,cap\n")
    marks.append(IMAGES.run(recipe(tmp_path / "in"), store)[0].fingerprint)
    Image.new("RGB", (20, 20), "red").save(tmp_path / "in" / "001.png", compress_level=0)
    marks.append(IMAGES.run(recipe(tmp_path / "in"), store)[0].fingerprint)
    size = (tmp_path / "in" / "001.png").stat().st_size
    Image.new("RGB", (20, 20), "blue").save(tmp_path / "in" / "001.png", compress_level=0)
    os.utime(tmp_path / "in" / "001.png", ns=(1, 1))
    assert (tmp_path / "in" / "001.png").stat().st_size == size
    marks.append(IMAGES.run(recipe(tmp_path / "in"), store)[0].fingerprint)
    before = (tmp_path / "in" / "001.png").stat()
    while (tmp_path / "in" / "001.png").stat().st_ctime_ns == before.st_ctime_ns:  # clocks of file systems tick
        Image.new("RGB", (20, 20), "green").save(tmp_path / "in" / "001.png", compress_level=0)
        os.utime(tmp_path / "in" / "001.png", ns=(1, 1))  # equal size and time of writing, as from some archives
    assert (tmp_path / "in" / "001.png").stat().st_size == size
    marks.append(IMAGES.run(recipe(tmp_path / "in"), store)[0].fingerprint)
    assert len(set(marks)) == 5


def test_a_folder_that_holds_still_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever changes in it, the fingerprint is that of a store that knows nothing."""
    monkeypatch.setattr(folder_state, "SETTLED_NS", -(10**15))
    monkeypatch.setattr(scan, "code_state", lambda: "this code")
    folder, known = tmp_path / "photos", Store(tmp_path / "store")
    write_pictures(folder / "shoes", 3)

    def wanted(store: Store, **reader: Any) -> str | None:
        return IMAGES.wanted(recipe(folder, **reader), store)

    first = wanted(known)
    with monkeypatch.context() as patch:
        patch.setattr(scan, "list_files", lambda settings, store: pytest.fail("it was read again"))
        assert wanted(known) == first
    for number, change in enumerate(
        (
            lambda: write_pictures(folder / "shoes", 1, start=7),
            lambda: (folder / "metadata.csv").write_text("file,title\nshoes/000.png,one shoe\n"),
            lambda: (folder / "metadata.csv").write_text("file,title\nshoes/000.png,two shoe\n"),
            lambda: shutil.copyfile(folder / "shoes" / "001.png", folder / "shoes" / "002.png"),
            lambda: (folder / "shoes" / "000.png").unlink(),
        )
    ):
        change()
        os.utime(folder / "shoes" / "001.png", ns=(number, number))  # no tick of the clock hides a change
        assert wanted(known) == wanted(Store(tmp_path / f"new{number}")) != first
    assert wanted(known, subdirectories="corpora") == wanted(Store(tmp_path / "other"), subdirectories="corpora")


def test_drops_have_a_reason_and_small_pictures_follow_the_setting(tmp_path: Path) -> None:
    write_pictures(tmp_path / "in", 1)
    Image.new("RGB", (5, 30)).save(tmp_path / "in" / "thin.png")
    (tmp_path / "secret.png").write_bytes((tmp_path / "in" / "000.png").read_bytes())
    (tmp_path / "in" / "linked.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "in" / "metadata.csv").write_text("file\ngone.png\n")
    (tmp_path / "in" / os.fsdecode(b"odd\xff.png")).write_bytes(b"x")
    artifact, _ = IMAGES.run(recipe(tmp_path / "in"), Store(tmp_path / "store"))
    drops = {row["path"]: row["reason"] for row in artifact.table("drops.parquet").to_pylist()}
    assert drops == {
        "gone.png": "no such file",
        "linked.png": "outside the root",
        "odd\\udcff.png": "name is not UTF-8",
        "thin.png": "too small",
    }
    assert artifact.summary["drops"] == dict.fromkeys(drops.values(), 1)
    scanned, _ = IMAGES.run(recipe(tmp_path / "in", min_side_px=5), Store(tmp_path / "store"))
    assert scanned.table()["image_id"].to_pylist() == ["000.png", "thin.png"]


def hostile_expectation(row: dict[str, str]) -> str:
    """What the manifest's sentence asks for, in one word."""
    expected, name = row["expected"], row["file"]
    if name == "duplicate_b.jpg" or name == "png_named.jpg":  # PNG of the very pixels of duplicate_a.jpg
        return "duplicate"
    if expected.startswith("ignore"):
        return "ignored"
    if name.startswith(("one_pixel", "extreme")):  # by the documented minimum side
        return "dropped"
    return "dropped" if expected.startswith("reject") else "accepted"


@pytest.fixture(scope="module")
def hostile(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Recipe, Store]:
    chosen, store = recipe(shared_data / "hostile"), Store(tmp_path_factory.mktemp("store"))
    return IMAGES.run(chosen, store)[0], chosen, store


@pytest.mark.data
def test_every_hostile_file_gets_what_its_manifest_asks_for(
    hostile: tuple[Artifact, Recipe, Store], shared_data: Path
) -> None:
    artifact, _, _ = hostile
    fates = dict.fromkeys(artifact.table()["path"].to_pylist(), "accepted")
    fates |= dict.fromkeys(artifact.table("duplicates.parquet")["path"].to_pylist(), "duplicate")
    fates |= dict.fromkeys(artifact.table("drops.parquet")["path"].to_pylist(), "dropped")
    with (shared_data / "hostile" / "MANIFEST.csv").open(encoding="utf-8", newline="") as stream:
        manifest = list(csv.DictReader(stream))
    assert len(manifest) == 24
    assert {row["file"]: fates.get(row["file"], "ignored") for row in manifest} == {
        row["file"]: hostile_expectation(row) for row in manifest
    }


@pytest.mark.data
def test_hostile_pictures_decode_as_their_manifest_says(hostile: tuple[Artifact, Recipe, Store]) -> None:
    artifact, chosen, store = hostile
    files = image_files(chosen.images, store)
    rows = {row["path"]: row for row in artifact.table().to_pylist()}
    assert 120 < np.asarray(files.open("gray16.png")).mean() < 136
    red, green, blue = np.asarray(files.open("rgba_magenta_under_alpha.png"), dtype=int).transpose(2, 0, 1)
    assert not ((red > 200) & (blue > 200) & (green < 80)).any()
    upright = files.open("exif_rotated_6.jpg")
    assert upright.size == (120, 240) == (rows["exif_rotated_6.jpg"]["width"], rows["exif_rotated_6.jpg"]["height"])
    top, bottom = upright.getpixel((60, 20)), upright.getpixel((60, 220))
    assert top[0] > 200 > top[2] and bottom[2] > 200 > bottom[0]
    near = rows["duplicate_a.jpg"]["phash"] ^ rows["duplicate_reencoded.jpg"]["phash"]
    assert near.bit_count() <= 4


@pytest.mark.data
def test_real_photographs_with_metadata(shared_data: Path, tmp_path: Path) -> None:
    with (shared_data / "clothing" / "metadata.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))[:40]
    (tmp_path / "in" / "images").mkdir(parents=True)
    for row in rows:
        shutil.copy(shared_data / "clothing" / row["file"], tmp_path / "in" / row["file"])
    with (tmp_path / "in" / "metadata.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    chosen = recipe(tmp_path / "in", category_column="label", group_column="contributor_id")
    artifact, _ = IMAGES.run(chosen, Store(tmp_path / "store"))
    made = {row["path"]: row for row in artifact.table().to_pylist()}
    for row in rows:
        image = made[row["file"]]
        assert (image["category"], image["group"], image["sha256"]) == (
            row["label"],
            row["contributor_id"],
            row["sha256"],
        )
        assert (image["width"], image["height"]) == (int(row["width"]), int(row["height"]))
        assert dict(image["attributes"])["kids"] == row["kids"]


def test_of_equal_pictures_the_one_for_evaluation_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (12, 12), (9, 90, 200)).save(folder / name)
    (folder / "metadata.csv").write_text("file,part,note\na.png,train,one\nb.png,test,two\n")
    settings = {"reader": {"kind": "folder", "folder": str(folder), "split_column": "part"}}
    recipe = Recipe.model_construct(name="test", images=ImageSettings.model_validate(settings))
    artifact, _ = IMAGES.run(recipe, Store(tmp_path / "store"))
    assert artifact.table()["image_id"].to_pylist() == ["b.png"]
    (merged,) = artifact.table("duplicates.parquet").to_pylist()
    assert (merged["path"], merged["duplicate_of"], dict(merged["attributes"])) == ("a.png", "b.png", {"note": "one"})


def test_tables_of_a_corpus_with_much_metadata_are_written_and_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "photos", 9)
    names = sorted(path.name for path in (tmp_path / "photos").iterdir())
    with (tmp_path / "photos" / "metadata.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("file", "story"), *((name, f"{name} {'x' * 900}") for name in names)])
    artifacts = []
    for number, bound in enumerate((1 << 20, 3000)):
        monkeypatch.setattr(table_groups, "GROUP_BYTES", bound)
        artifacts.append(IMAGES.run(recipe(tmp_path / "photos"), Store(tmp_path / str(number)))[0])
    whole, pieces = artifacts
    assert pq.ParquetFile(pieces.file(MANIFEST_FILE)).num_row_groups >= 4
    assert read_manifest(pieces).to_pylist() == read_manifest(whole).to_pylist()
    assert manifest_column(pieces, "attributes")[names[8]][0][1].startswith(names[8])
    assert pieces.head(3).to_pylist() == read_manifest(whole).slice(0, 3).to_pylist()
