"""A soup of checkpoints of a store, scored by a recipe's own validation queries, as a folder to start from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.images.files import image_files
from spn4cir_core.models.devices import choose_device
from spn4cir_core.recipe import Recipe
from spn4cir_core.splits.split_tables import split_of_images
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.lineage import lineage
from spn4cir_core.store.whole_file import read_json, write_json
from spn4cir_core.training.checkpoints import NETWORK, WEIGHTS, Checkpoint, as_module, read_checkpoint
from spn4cir_core.training.image_inputs import image_inputs
from spn4cir_core.training.roles import STAGE1
from spn4cir_core.training.soup import Ingredient, greedy_soup
from spn4cir_core.training.text_features import remember_texts
from spn4cir_core.training.validation import Validation, score_of
from spn4cir_core.training.validation_queries import LEAST_QUERIES, read_validation

if TYPE_CHECKING:
    from spn4cir_core.training.soup import State

ACCOUNT = "soup.json"
VALIDATION_READS = ("images", "splits", "annotations", "captions", "image_embeddings", "triplets")


def write_soup(recipe: Recipe, sources: Sequence[str], store: Store, folder: Path) -> list[Ingredient]:
    """Average stage-1 checkpoints greedily and write ``network.json``, ``model.safetensors`` and ``soup.json``.

    Args:
        recipe: whose validation queries decide, and whose own checkpoint takes part where it has one.
        sources: further checkpoints, each the name of a recipe of the store, or a folder.
        folder: where the soup goes; ``[stage1_checkpoint] start_from`` takes it.

    Raises:
        InputError: fewer than two checkpoints, one that cannot be averaged with the first, one of the store that was
            trained on validation images of the recipe, too few validation queries, or a folder of other files.
        StoreError: a checkpoint is missing or damaged, or the recipe has not been run.
    """
    from safetensors.torch import load_file, save_file

    folders = _folders(recipe, sources, store)
    if len(folders) < 2:
        raise InputError("a soup needs two checkpoints or more; name others by --with")
    _check_splits(recipe, sources, store)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / ACCOUNT).is_file():
        raise InputError(f"{folder} holds other files than a soup's; name a new folder with --out")
    checkpoints = {name: read_checkpoint(path / NETWORK, path / WEIGHTS, name) for name, path in folders.items()}
    first, *others = checkpoints
    for other in others:
        _check_alike(first, folders[first], other, folders[other])
    states: dict[str, State] = {name: load_file(path / WEIGHTS) for name, path in folders.items()}
    validation = _validation(recipe, checkpoints[first], store)
    soup, ingredients = greedy_soup(states, lambda state: _score(checkpoints[first], state, validation))
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous().clone() for name, tensor in soup.items()}, folder / WEIGHTS)
    write_json(folder / NETWORK, read_json(folders[ingredients[0].name] / NETWORK))
    account = [{**asdict(one), "folder": folders[one.name].name} for one in ingredients]
    write_json(folder / ACCOUNT, {"ingredients": account, "queries": len(validation.queries.texts)})
    return ingredients


def _folders(recipe: Recipe, sources: Sequence[str], store: Store) -> dict[str, Path]:
    own = store.current(recipe.name, STAGE1.artifact)
    folders = {} if own is None else {recipe.name: own.path}
    for source in sources:
        artifact, path = store.current(source, STAGE1.artifact), Path(source).expanduser()
        if artifact is None and not (path / NETWORK).is_file():
            raise StoreError(f"{source!r} is neither a recipe of {store} with a {STAGE1.artifact} nor its folder")
        folders[source] = path if artifact is None else artifact.path
    return folders


def _check_splits(recipe: Recipe, sources: Sequence[str], store: Store) -> None:
    """Refuse checkpoints of the store that have seen images which the choice is made by."""
    splits = store.current(recipe.name, "splits")
    if splits is None:
        return
    validation = _images_of(splits, "validation")
    for source in sources:
        artifact = store.current(source, STAGE1.artifact)
        theirs = None if artifact is None else lineage({artifact.noun: artifact}, store).get("splits")
        if theirs is not None and (seen := len(validation & _images_of(theirs, "train"))):
            raise InputError(
                f"{source} cannot be chosen by the validation queries of {recipe.name}: it was trained on {seen:,} of "
                f"their {len(validation):,} images, as another seed or other [splits] settings split the images "
                "differently; give both recipes the same seed and [splits], and vary settings of [stage1_checkpoint]"
            )


def _images_of(splits: Artifact, split: str) -> set[str]:
    return {image_id for image_id, name in split_of_images(splits).items() if name == split}


def _check_alike(one: str, one_folder: Path, other: str, other_folder: Path) -> None:
    from safetensors import safe_open

    for key, what in (("backbone", "another backbone"), ("state", "another network, such as another vocabulary")):
        if read_json(one_folder / NETWORK)[key] != read_json(other_folder / NETWORK)[key]:
            raise InputError(f"{other} cannot be averaged with {one}: it has {what}; train both with the same settings")
    shapes = []
    for folder in (one_folder, other_folder):
        with safe_open(folder / WEIGHTS, framework="pt") as stored:
            shapes.append({name: stored.get_slice(name).get_shape() for name in stored.keys()})  # noqa: SIM118
    if shapes[0] != shapes[1]:
        raise InputError(f"{other} cannot be averaged with {one}: their tensors have other names or shapes")


def _validation(recipe: Recipe, checkpoint: Checkpoint, store: Store) -> Validation:
    parents = {noun: store.current(recipe.name, noun) for noun in VALIDATION_READS}
    present = {noun: artifact for noun, artifact in parents.items() if artifact is not None}
    if missing := parents.keys() - present.keys():
        raise StoreError(f"recipe {recipe.name!r} has no {min(missing)} in {store}; make it with: spn4cir run")
    settings = recipe.stage1_checkpoint.validation
    queries = read_validation(settings, present["triplets"], present, recipe.seed)
    if queries is None:
        raise InputError(
            f"the {len(_images_of(present['splits'], 'validation')):,} validation images of the recipe give fewer than "
            f"{LEAST_QUERIES} validation queries, too few to choose by; raise [splits] validation_share"
        )
    files = image_files(recipe.images, store)
    inputs = image_inputs(checkpoint.backbone, checkpoint.network, queries.gallery, files, store)
    remember_texts(checkpoint.network, queries.texts, store)
    return Validation(settings, queries, inputs)


def _score(checkpoint: Checkpoint, state: State, validation: Validation) -> float:
    device, module = choose_device("auto"), as_module(checkpoint.network)
    module.load_state_dict(dict(state))
    module.to(device).eval()
    return score_of(validation.recalls(checkpoint.network, device, nullcontext())) or 0.0
