"""What of a folder has changed is named, and what a store already has is not called work."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from spn4cir_core.api import run
from spn4cir_core.operations.changes import reusable_artifacts, why_outdated
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.store.artifacts import Store


def picture(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (shade, 0, 90)).save(path)


def recipe_over(folder: Path, name: str = "mine") -> Recipe:
    return load_recipe("folder", {"name": name, "images": {"reader": {"kind": "folder", "folder": str(folder)}}})


def test_changed_pictures_and_metadata_are_named(tmp_path: Path) -> None:
    folder, store = tmp_path / "pictures", Store(tmp_path / "store")
    for number in range(4):
        picture(folder / f"{number}.png", 40 * number)
    (folder / "broken.png").write_bytes(b"no picture")
    recipe = recipe_over(folder)
    run(recipe, store, ["images"])
    assert "images" not in why_outdated(recipe, store)
    picture(folder / "new.png", 200)
    picture(folder / "1.png", 201)
    (folder / "2.png").unlink()
    (folder / "metadata.csv").write_text("file,label\n3.png,shoe\n")
    (reason,) = why_outdated(recipe, store)["images"]
    for part in ("1 file new, 'new.png'", "1 file gone, '2.png'", "1 file changed, '1.png'", "metadata"):
        assert part in reason


def test_what_another_recipe_has_made_would_be_used(tmp_path: Path) -> None:
    folder, store = tmp_path / "pictures", Store(tmp_path / "store")
    for number in range(4):
        picture(folder / f"{number}.png", 40 * number)
    made = run(recipe_over(folder), store, ["images", "templates"])
    assert reusable_artifacts(recipe_over(folder), store) == {}
    other = recipe_over(folder, "other")
    assert {"images", "templates"} <= why_outdated(other, store).keys()
    there = reusable_artifacts(other, store)
    assert {name: artifact.path for name, artifact in there.items()} == {
        name: artifact.path for name, artifact in made.items()
    }
