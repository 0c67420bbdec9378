from __future__ import annotations

from pathlib import Path

import pytest

from spn4cir_core.errors import RecipeError
from spn4cir_core.recipe import Recipe, load_recipe, merge, packaged_recipes


def write(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", sorted(packaged_recipes()))
def test_packaged_recipes_load_and_say_what_they_are(name: str) -> None:
    needs_folder = {"images": {"reader": {"kind": "folder", "folder": "pictures"}}} if name == "folder" else {}
    assert load_recipe(name, needs_folder).name
    assert packaged_recipes()[name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[splits]\nvalidation_shar = 0.1\n",
            r"splits: unknown key 'validation_shar'; did you mean 'validation_share'\?",
        ),
        ("[split]\nvalidation_share = 0.1\n", r"unknown key 'split'; did you mean 'splits'\?"),
        ("[splits]\nvalidation_share = 3\n", r"splits: validation_share = 3"),
        ("seed = -1\n", "seed = -1"),
        ('name = "No Spaces"\n', "name = 'No Spaces'"),
        ("[images.reader]\nkind = 'foldr'\n", r"unknown reader 'foldr'\. Did you mean 'folder'\?"),
        ("[images.reader]\nkind = 'folder'\nfolder = 'x'\nfoldr = 'y'\n", "unknown key 'foldr'; did you mean 'folder'"),
        ("[images\n", "is not valid TOML"),
    ],
)
def test_a_wrong_recipe_names_the_key_the_value_and_the_nearest_known(tmp_path: Path, text: str, message: str) -> None:
    head, tables = (text, "") if not text.startswith("[") else ("", text)
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, f'base = "demo"\n{head}\n{tables}'))


def test_missing_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="key 'images' is missing"):
        load_recipe(write(tmp_path, 'name = "mine"\n'))


def test_an_unknown_recipe_lists_the_packaged_ones(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'nope': neither a file nor one of the packaged .*demo"):
        load_recipe("nope")
    path = tmp_path / "latin.toml"
    path.write_bytes(b'name = "caf\xe9"\n')
    with pytest.raises(RecipeError, match="not UTF-8"):
        load_recipe(path)


def test_a_base_is_overridden_key_by_key_and_overrides_come_last(tmp_path: Path) -> None:
    write(tmp_path, 'base = "demo"\nseed = 5\n[splits]\nvalidation_share = 0.25\n', "shared/base.toml")
    path = write(tmp_path, 'base = "./shared/base.toml"\nname = "mine"\n[splits]\nevaluation_share = 0.5\n')
    recipe = load_recipe(path, {"splits": {"near_duplicate_bits": 1}})
    assert (recipe.name, recipe.seed) == ("mine", 5)
    splits = recipe.splits
    assert (splits.validation_share, splits.evaluation_share, splits.near_duplicate_bits) == (0.25, 0.5, 1)


def test_bases_that_go_in_a_circle_are_refused(tmp_path: Path) -> None:
    write(tmp_path, 'base = "./b.toml"\n', "a.toml")
    write(tmp_path, 'base = "./a.toml"\n', "b.toml")
    with pytest.raises(RecipeError, match="go in a circle"):
        load_recipe(tmp_path / "a.toml")


def test_relative_paths_start_at_their_own_file(tmp_path: Path) -> None:
    reader = '[images.reader]\nkind = "folder"\nfolder = "{}"\n'
    base = write(tmp_path, 'base = "demo"\n' + reader.format("../pictures"), "recipes/base.toml")
    assert load_recipe(base).images.reader.folder == tmp_path / "pictures"  # type: ignore[attr-defined]
    child = write(tmp_path, 'base = "../recipes/base.toml"\nname = "child"\n', "elsewhere/child.toml")
    assert load_recipe(child).images.reader.folder == tmp_path / "pictures"  # type: ignore[attr-defined]
    plain = write(tmp_path, 'base = "demo"\n' + reader.format("pictures"), "plain.toml")
    assert load_recipe(plain).images.reader.folder == Path("pictures")  # type: ignore[attr-defined]


def test_another_kind_replaces_the_whole_table_and_the_same_kind_merges() -> None:
    base = {"reader": {"kind": "folder", "folder": "x", "group_column": "g"}, "n": 1}
    assert merge(base, {"reader": {"kind": "shapes", "scenes": 3}}) == {
        "reader": {"kind": "shapes", "scenes": 3},
        "n": 1,
    }
    assert merge(base, {"reader": {"folder": "y"}})["reader"] == {"kind": "folder", "folder": "y", "group_column": "g"}
    assert base["reader"]["folder"] == "x", "the base is not changed"  # type: ignore[index]


def test_only_holds_the_named_tables_and_nothing_by_default() -> None:
    part = load_recipe("demo").only(("splits",))
    assert part.splits == load_recipe("demo").splits
    for name in Recipe.model_fields.keys() - {"splits"}:
        with pytest.raises(AttributeError):
            getattr(part, name)
