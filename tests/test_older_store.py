"""What commit b7ac3b4 made and wrote is still good: its store is up to date, its recipes are read as they were."""

from __future__ import annotations

import json
import lzma
import tarfile
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import spn4cir_core
from spn4cir_core.engine.plugins import Room, Settings
from spn4cir_core.errors import RecipeError
from spn4cir_core.flow import STAGES, outdated
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.fingerprints import plain
from spn4cir_core.training.settings import FollowingTarget, FrozenTarget

OLDER = Path(__file__).parent / "fixtures" / "older_store"
RAISED_VERSIONS: dict[str, str] = {
    "modified_texts": "a number and its unit are one word, and lists of values are edited by key",
    "eval_report": "the blend and every channel are measured",
    "search_index": "search serves the blend",
}
"""Stage → why what the older commit made of it, and of all stages after it, has to be made again."""
NEAR_DUPLICATES_AGREE_IN_COLOUR = "near-duplicates also agree in colour and detail (splits.compare_pictures)"
CHANGED_SETTINGS: dict[tuple[str, str], str] = {
    ("folder", "splits"): NEAR_DUPLICATES_AGREE_IN_COLOUR,
    ("zero_shot", "splits"): NEAR_DUPLICATES_AGREE_IN_COLOUR,
}
"""Recipe and stage → why what the older commit made of that recipe has to be made again."""
CHANGED_DEFAULTS: dict[tuple[str, str], str] = {}
"""Noun and kind of a plug-in → why its default settings have another fingerprint than before."""
REMOVED_KEYS: dict[tuple[str, str, str], str] = {}
"""Noun, kind and key → why the setting is an error now."""

FOLDED: dict[str, dict[str, type[Settings]]] = {
    "target encoder": {"frozen": FrozenTarget, "following": FollowingTarget}
}
"""Noun → settings by kind, of tables that are no plug-ins any more."""


@cache
def older() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(lzma.decompress((OLDER / "settings.json.xz").read_bytes()))
    return value


@cache
def rooms() -> dict[str, Room]:
    """Every table of plug-ins, by the noun of its members."""
    root = Path(str(spn4cir_core.__file__)).parent
    modules = (import_module(f"spn4cir_core.{path.parent.name}.{path.stem}") for path in root.glob("*/base.py"))
    return {room.noun: room for module in modules for room in vars(module).values() if isinstance(room, Room)}


def members() -> list[tuple[str, str]]:
    return [(noun, kind) for noun, kinds in older()["members"].items() for kind in kinds]


def member(noun: str, kind: str) -> type[Settings]:
    return FOLDED[noun][kind] if noun in FOLDED else rooms()[noun].member(kind)


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_its_store_is_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Artifact, "damage", lambda artifact: "")  # summaries alone were saved of it
    with tarfile.open(OLDER / "store.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    recipe = load_recipe(OLDER / "recipe.toml")
    again = set(RAISED_VERSIONS)
    for stage in STAGES.values():
        if again & set(stage.parents_of(recipe)):
            again.add(stage.name)
    added = set(STAGES).difference(older()["stages"])
    assert set(outdated(recipe, Store(tmp_path))) - added == again - added


@pytest.mark.parametrize("name", sorted(older()["recipes"]))
def test_a_recipe_written_for_it_gives_the_settings_that_entered_its_fingerprints(name: str) -> None:
    recipe = Recipe.model_validate(older()["recipes"][name]["tables"])
    for stage_name, settings in older()["recipes"][name]["settings"].items():
        stage = STAGES[stage_name]
        view = stage.settings_of(recipe)
        today = as_json(stage.deciding_settings(view))
        changed = (name, stage_name) in CHANGED_SETTINGS or stage_name == "search_index"  # it reads the image encoder
        assert (today == settings) != changed, (name, stage_name)


@pytest.mark.parametrize(("noun", "kind"), members())
def test_every_kind_of_plug_in_has_the_defaults_it_had(noun: str, kind: str) -> None:
    before = older()["members"][noun][kind].get("defaults")
    if before is None:
        with pytest.raises((ValidationError, RecipeError)):
            member(noun, kind)()
    else:
        assert (as_json(plain(member(noun, kind)())) == before) != ((noun, kind) in CHANGED_DEFAULTS)


@pytest.mark.parametrize(("noun", "kind"), members())
def test_every_key_of_a_plug_in_is_still_read(noun: str, kind: str) -> None:
    known = {*member(noun, kind).model_fields, *member(noun, kind).renamed_keys}
    unknown = set(older()["members"][noun][kind]["keys"]) - known
    assert unknown == {key for *owner, key in REMOVED_KEYS if owner == [noun, kind]}
