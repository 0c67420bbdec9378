"""A recipe's name belongs to one recipe in a store; another's artefacts are kept apart."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image

from spn4cir_core.api import run
from spn4cir_core.launch.recipe_source import RecipeSource, claimed, last_recipe, named_in, own_name
from spn4cir_core.recipe import Recipe, load_recipe, recipe_of
from spn4cir_core.store.artifacts import Store


def pictures(folder: Path, shade: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (20 + number, 20), (shade, 40 * number, 0)).save(folder / f"{shade}_{number}.png")
    return folder


def scanned(recipe: Recipe, store: Store) -> str:
    return run(recipe, store, ["images"])["images"].fingerprint


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def current(recipe: Recipe, store: Store) -> str:
    artifact = store.current(own_name(recipe, store).name, "images")
    return artifact.fingerprint if artifact else ""


@pytest.mark.parametrize("source", ["", "demo", "file"])
def test_two_folders_of_one_recipe_do_not_answer_for_each_other(source: str, tmp_path: Path, store: Store) -> None:
    if source == "file":
        file = tmp_path / "mine.toml"
        file.write_text('base = "folder"\nname = "mine"\n')
        source = str(file)
    one = recipe_of(source, pictures(tmp_path / "one", 10))
    other = recipe_of(source, pictures(tmp_path / "other", 200))
    made = [scanned(one, store), scanned(other, store), scanned(one, store)]
    assert made[0] == made[2] != made[1]
    assert (current(one, store), current(other, store)) == (made[0], made[1])
    assert own_name(one, store).name == one.name
    assert own_name(other, store).name == f"{one.name}_other"


def test_three_folders_of_one_name_are_kept_apart(tmp_path: Path, store: Store) -> None:
    folders = [tmp_path / str(shade) / "New shoes (2)" for shade in (10, 120, 200)]
    recipes = [recipe_of("", pictures(folder, int(folder.parent.name))) for folder in folders]
    made = [scanned(recipe, store) for recipe in recipes]
    assert len(set(made)) == 3 and [current(recipe, store) for recipe in recipes] == made
    names = [own_name(recipe, store).name for recipe in recipes]
    assert names[:2] == ["folder", "folder_new_shoes_2"] and names[2].startswith("folder_") and len(set(names)) == 3


def test_a_second_folder_of_a_store_from_before_names_had_the_folder_in_them(tmp_path: Path, store: Store) -> None:
    one, other = (recipe_of("", pictures(tmp_path / name, shade)) for name, shade in (("one", 10), ("other", 200)))
    scanned(one, store)
    source = RecipeSource.of(other)
    digest = hashlib.sha256(f"{source.recipe}\n{source.pictures}".encode()).hexdigest()[:8]
    store.set_recipe_note(f"folder_{digest}", asdict(source))
    assert own_name(other, store).name == f"folder_{digest}"


def test_a_folder_that_never_ran_has_nothing(tmp_path: Path, store: Store) -> None:
    scanned(recipe_of("", pictures(tmp_path / "one", 10)), store)
    assert current(recipe_of("", pictures(tmp_path / "other", 200)), store) == ""


def test_a_moved_folder_keeps_its_name_and_another_at_its_old_path_does_not(tmp_path: Path, store: Store) -> None:
    one = pictures(tmp_path / "one", 10)
    made = scanned(recipe_of("", one), store)
    shutil.move(one, tmp_path / "moved")
    assert current(recipe_of("", tmp_path / "moved"), store) == made
    assert current(recipe_of("", pictures(tmp_path / "another", 200)), store) == ""


def test_a_folder_that_is_gone_and_has_a_name_taken_is_a_warning(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = pictures(tmp_path / "one", 10), recipe_of("", pictures(tmp_path / "other", 200))
    claimed(recipe_of("", one), store)
    scanned(recipe_of("", one), store)
    with caplog.at_level("INFO", logger="spn4cir_core"):
        caplog.clear()
        own_name(other, store)
        assert [record.levelname for record in caplog.records] == ["INFO"]
        shutil.rmtree(one)
        own_name(other, store)
    assert caplog.records[1].levelname == "WARNING"
    for part in (str(one), "'folder'", "'folder_other'", "rename it back", "[images.reader] corpus = 'one'"):
        assert part in caplog.records[1].getMessage()


def test_a_store_from_before_sources_were_kept(tmp_path: Path, store: Store) -> None:
    one = recipe_of("", pictures(tmp_path / "one", 10))
    made = scanned(one, store)
    (store.root / "recipes" / "folder" / "source.json").unlink()
    assert current(one, store) == made
    assert current(recipe_of("", pictures(tmp_path / "other", 200)), store) == ""


@pytest.mark.parametrize("damaged", [b"", b"[]", b"{", b'{"pictures": 7, "recipe": ["x"]}', b"\xff\xfe"])
def test_a_damaged_note_is_as_none(damaged: bytes, tmp_path: Path, store: Store) -> None:
    one = recipe_of("", pictures(tmp_path / "one", 10))
    made = scanned(one, store)
    (store.root / "recipes" / "folder" / "source.json").write_bytes(damaged)
    assert current(one, store) == made


def two_files(folder: Path, images: Path) -> tuple[Path, Path]:
    files = folder / "a.toml", folder / "b.toml"
    for file, side in zip(files, (8, 30), strict=True):
        text = f'base = "folder"\nname = "mine"\n[images]\nmin_side_px = {side}\n'
        file.write_text(f'{text}[images.reader]\nfolder = "{images}"\n')
    return files


def test_two_recipe_files_of_one_name_are_kept_apart_and_a_copy_is_not(tmp_path: Path, store: Store) -> None:
    a, b = two_files(tmp_path, pictures(tmp_path / "one", 10))
    claimed(load_recipe(a), store)
    assert own_name(load_recipe(b), store).name != "mine"
    shutil.copyfile(a, tmp_path / "copy.toml")
    assert own_name(load_recipe(tmp_path / "copy.toml"), store).name == "mine"
    a.unlink()
    assert own_name(load_recipe(b), store).name == "mine"


def test_an_edited_file_and_settings_of_the_api_keep_the_name(tmp_path: Path, store: Store) -> None:
    a, _ = two_files(tmp_path, pictures(tmp_path / "one", 10))
    claimed(load_recipe(a), store)
    assert own_name(load_recipe(a, {"seed": 3}), store).name == "mine"
    a.write_text(a.read_text().replace("min_side_px = 8", "min_side_px = 9"))
    assert own_name(load_recipe(a), store).name == "mine"


def test_the_last_recipe_of_a_store_is_the_one_that_ran_last(tmp_path: Path, store: Store) -> None:
    assert last_recipe(store) is None
    one, other = (recipe_of("", pictures(tmp_path / name, shade)) for name, shade in (("one", 10), ("other", 200)))
    names = []
    for recipe in (one, other, one):
        names.append(claimed(recipe, store).name)
        last = last_recipe(store)
        assert last is not None and last.name == names[-1]
        assert last.images.reader == recipe.images.reader
    known = named_in(names[1], store)
    assert known is not None and known.images.reader == other.images.reader
    assert named_in("nobody", store) is None
