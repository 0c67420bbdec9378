"""What a recipe needs of this machine and lacks: packages of optional extras, model folders, weight files.

Looked up before the first stage starts, and without loading any of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from importlib import metadata

from packaging.requirements import Requirement

from spn4cir_core.engine.plugins import Settings
from spn4cir_core.errors import InputError
from spn4cir_core.flow import STAGES, outdated
from spn4cir_core.images.folder import Folder
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Store

PACKAGE = "spn4cir"


def check_requirements(recipe: Recipe, store: Store, names: Collection[str]) -> None:
    """Check what the named stages need that would run; those that are up to date need nothing.

    Raises:
        InputError: something is missing; the message has a line for each. Or the store is the folder of pictures.
    """
    _check_store_is_apart(recipe, store)
    if missing_requirements(recipe, names):  # which stages would run is not cheap to know
        problems = missing_requirements(recipe, set(names) & outdated(recipe, store).keys())
        if problems:
            raise InputError("\n".join(problems))


def _check_store_is_apart(recipe: Recipe, store: Store) -> None:
    """Refuse a folder of pictures as the store; a store in a folder of its own among them is not read."""
    for reader, _ in settings_below(recipe.images.reader):
        folder = reader.folder.expanduser().resolve() if isinstance(reader, Folder) else None
        if folder is not None and folder == store.root.resolve():
            raise InputError(
                f"the store is the folder of pictures {folder}, and its contact sheets would be read as pictures; "
                f"name another one with --store or SPN4CIR_STORE, such as {folder / 'store'}"
            )


def missing_requirements(recipe: Recipe, names: Collection[str] = STAGES) -> list[str]:
    """One sentence for each extra, model folder or weight file that these stages' tables name and that is missing.

    A hub id is not looked up: its library may download it.
    """
    tables = [table for table in type(recipe).model_fields if _stage_of(table) in names]
    locations: dict[str, list[str]] = {}
    for table in tables:
        for settings, location in settings_below(getattr(recipe, table), table):
            lacking = {extra: missing_packages(extra) for extra in settings.extras()}
            packages = [_without(extra, names) for extra, names in lacking.items() if names]
            for sentence in (*packages, *settings.missing()):
                locations.setdefault(sentence, []).append(location)
    return [f"{', '.join(dict.fromkeys(where))}: {sentence}" for sentence, where in locations.items()]


def _stage_of(table: str) -> str | None:
    """The first stage that reads a table."""
    return next((stage.name for stage in STAGES.values() if table in stage.view.model_fields), None)


def _without(extra: str, packages: Collection[str]) -> str:
    return f"{', '.join(packages)} is not installed; pip install '{PACKAGE}[{extra}]'"


def missing_packages(extra: str) -> list[str]:
    """Packages of an extra that are not installed; none of an extra that the installed version does not know."""
    return sorted(line.name for line in packages_of(extra) if installed(line.name) is None)


def packages_of(extra: str) -> list[Requirement]:
    """What an extra adds to the package's own requirements."""
    lines = [Requirement(line) for line in metadata.requires(PACKAGE) or ()]
    return [
        line
        for line in lines
        if line.marker and line.marker.evaluate({"extra": extra}) and not line.marker.evaluate({"extra": ""})
    ]


def installed(name: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def settings_below(value: object, location: str = "") -> Iterator[tuple[Settings, str]]:
    """Every settings object below a value, itself included, and where in the recipe; optional ones are left out."""
    if isinstance(value, Settings):
        yield value, location
        for name in (name for name in type(value).model_fields if name not in value.optional):
            yield from settings_below(getattr(value, name), f"{location}.{name}".lstrip("."))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from settings_below(item, location)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from settings_below(item, location)
