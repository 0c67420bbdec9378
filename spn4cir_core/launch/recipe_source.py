"""Whose pictures and settings a recipe's name stands for in a store; what is of others is kept apart.

A store knows artefacts by the recipe's name, and two recipes may have one name: ``spn4cir run --images a/`` and
``--images b/`` are both called ``folder``. The first to run has the name. Another one gets a name of its own, so that
neither answers with the other's pictures.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from spn4cir_core.errors import Spn4cirError, StoreError
from spn4cir_core.images.manifest import read_manifest
from spn4cir_core.recipe import Recipe, recipe_of
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.fingerprints import plain

log = logging.getLogger(__name__)
MOST_CHARACTERS, DIGEST_CHARACTERS = 40, 8
"""Of a recipe's name, and of the hash in one."""
NAME_CHARACTERS, STEM_CHARACTERS = 19, 20
NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
COMPARED_PICTURES = 100
RENAMED = (
    " and made anew: {owner} is gone, and most of its pictures are not here. If it was renamed, rename it back, or "
    "give it its old name in a recipe, [images.reader] corpus = {corpus!r}: nothing is trained again then"
)
"""What is added where a recipe's folder is gone and another one comes in its place."""


@dataclass(frozen=True)
class RecipeSource:
    """What a recipe was loaded from. Empty: not known, or not on this machine's disk.

    Attributes:
        recipe: name of a packaged recipe, or absolute path of a TOML file.
        images: the folder given beside it (``--images``), absolute.
        pictures: the folder that the pictures are read from, absolute; empty where they are drawn.
    """

    recipe: str = ""
    images: str = ""
    pictures: str = ""

    @classmethod
    def of(cls, recipe: Recipe) -> RecipeSource:
        """Source of a loaded recipe."""
        folder = getattr(recipe.images.reader, "folder", None)
        pictures = str(Path(folder).expanduser().resolve()) if isinstance(folder, str | Path) else ""
        return cls(recipe.loaded_from.recipe, recipe.loaded_from.images, pictures)

    @classmethod
    def in_store(cls, name: str, store: Store) -> RecipeSource:
        """Source of the recipe that has the name in the store."""
        recorded = store.recipe_note(name)
        known = {field.name: recorded.get(field.name, "") for field in fields(cls)}
        return cls(**{key: value if isinstance(value, str) else "" for key, value in known.items()})

    def load(self) -> Recipe | None:
        """The recipe, or None where it can no longer be loaded."""
        try:
            return recipe_of(self.recipe, Path(self.images) if self.images else None) if self.recipe else None
        except Spn4cirError:
            return None


def own_name(recipe: Recipe, store: Store) -> Recipe:
    """The recipe under the name that its artefacts have in the store: its own, unless that belongs to another.

    The name belongs to another recipe whose pictures lie in another folder that is still there, or that is another
    file with other settings. A folder that was moved is recognised by its pictures.
    """
    source, owner = RecipeSource.of(recipe), RecipeSource.in_store(recipe.name, store)
    if _is_same(source, owner, recipe, store):
        return recipe
    own = [recipe.model_copy(update={"name": name}) for name in _other_names(recipe.name, source, owner, store)]
    named = next((one for one in own if _is_same(source, RecipeSource.in_store(one.name, store), one, store)), own[-1])
    is_gone = bool(owner.pictures) and owner.pictures != source.pictures and not Path(owner.pictures).is_dir()
    log.log(
        logging.WARNING if is_gone else logging.INFO,
        "the name %r belongs to %s in %s; what is made of %s is kept apart as %r%s",
        recipe.name,
        owner.pictures if owner.pictures != source.pictures and owner.pictures else owner.recipe or "other pictures",
        store,
        source.pictures if owner.pictures != source.pictures else source.recipe,
        named.name,
        RENAMED.format(owner=owner.pictures, corpus=Path(owner.pictures).name) if is_gone else "",
    )
    return named


def _other_names(name: str, source: RecipeSource, owner: RecipeSource, store: Store) -> list[str]:
    """Names for a recipe whose own belongs to another, the preferred first: with that of its folder or file behind it.

    The last is the only one's; older builds gave that with all of the name, and a store may have it.
    """
    digest = hashlib.sha256(f"{source.recipe}\n{source.pictures}".encode()).hexdigest()[:DIGEST_CHARACTERS]
    differs = Path(source.pictures if owner.pictures != source.pictures else source.recipe)
    stem = NOT_IN_NAMES.sub("_", differs.stem.lower()).strip("_")
    older = f"{name[: MOST_CHARACTERS - DIGEST_CHARACTERS - 1]}_{digest}"
    readable = [f"{name[:NAME_CHARACTERS]}_{stem[:STEM_CHARACTERS]}"] if stem else []
    return [*([older] if older in store.recipe_names() else []), *readable, older]


def claimed(recipe: Recipe, store: Store) -> Recipe:
    """As :func:`own_name`; the store keeps that the name belongs to this recipe, and that it ran last."""
    owned = own_name(recipe, store)
    with suppress(OSError, StoreError):  # a store that can only be read is good for what is up to date
        note = {**store.recipe_note(owned.name), **asdict(RecipeSource.of(owned)), "when": time.time()}
        store.set_recipe_note(owned.name, note)
    return owned


def last_recipe(store: Store) -> Recipe | None:
    """The recipe that ran last in the store and can still be loaded, under its name there; None where there is none."""
    notes = {name: store.recipe_note(name) for name in store.recipe_names()}
    for name in sorted(notes, key=lambda name: _when(notes[name]), reverse=True):
        if (recipe := named_in(name, store)) is not None:
            return recipe
    return None


def named_in(name: str, store: Store) -> Recipe | None:
    """The recipe that has this name in the store; None where there is none that can be loaded."""
    recipe = RecipeSource.in_store(name, store).load() if name in store.recipe_names() else None
    return recipe and recipe.model_copy(update={"name": name})


def _when(note: dict[str, Any]) -> float:
    when = note.get("when", 0.0)
    return float(when) if isinstance(when, int | float) else 0.0


def _is_same(source: RecipeSource, owner: RecipeSource, recipe: Recipe, store: Store) -> bool:
    if owner == source:
        return True
    if owner.pictures != source.pictures:
        if owner.pictures and (Path(owner.pictures).is_dir() or not source.pictures):
            return False
        images = store.current(recipe.name, "images")
        if images is not None and source.pictures and not holds_pictures(Path(source.pictures), images):
            return False
    return _has_same_settings(source, owner, recipe)


def _has_same_settings(source: RecipeSource, owner: RecipeSource, recipe: Recipe) -> bool:
    """Whether the owner's recipe is the same file, can no longer be read, or says the same."""
    if not owner.recipe or not source.recipe or owner.recipe == source.recipe:
        return True
    other = owner.load()
    return other is None or plain(other) == plain(recipe)


def holds_pictures(folder: Path, images: Artifact) -> bool:
    """Whether at least half of the manifest's pictures, or of a hundred of them, lie in the folder with their sizes.

    True where the manifest cannot be read: whoever needs it says so.
    """
    try:
        manifest = read_manifest(images, "path", "bytes")
    except StoreError:
        return True
    every = max(1, len(manifest) // COMPARED_PICTURES)
    rows = manifest.take(list(range(0, len(manifest), every))).to_pylist()
    return 2 * sum(_has_size(folder / row["path"], row["bytes"]) for row in rows) >= len(rows)


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
