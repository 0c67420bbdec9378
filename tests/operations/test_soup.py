"""Soups of checkpoints of a store: what is averaged, what is refused, and that training starts from the result."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.operations.soup import write_soup
from spn4cir_core.recipe import Recipe
from spn4cir_core.splits.split_tables import split_of_images
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.checkpoints import NETWORK, WEIGHTS
from spn4cir_core.training.given_checkpoint import given_network
from spn4cir_core.training.stages import STAGE1_CHECKPOINT
from tests.training.conftest import world  # noqa: F401  a fixture

World = Callable[..., tuple[Recipe, Store]]


@pytest.fixture
def trained(world: World) -> tuple[Recipe, Store, Path]:  # noqa: F811
    recipe, store = world(validation=6)
    checkpoint, _ = STAGE1_CHECKPOINT.run(recipe, store)
    return recipe, store, checkpoint.path


def moved(folder: Path, target: Path, by: float) -> Path:
    """A copy whose weights are noise away."""
    shutil.copytree(folder, target)
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: tensor + by * torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor
        for name, tensor in load_file(folder / WEIGHTS).items()
    }
    save_file(weights, target / WEIGHTS)
    return target


def test_equal_trainings_give_the_same_network_and_a_stage_starts_from_it(
    trained: tuple[Recipe, Store, Path], tmp_path: Path
) -> None:
    recipe, store, folder = trained
    copy = shutil.copytree(folder, tmp_path / "copy")
    ingredients = write_soup(recipe, [str(copy)], store, tmp_path / "soup")
    assert [one.is_in for one in ingredients] == [True, True]
    assert {one.name for one in ingredients} == {recipe.name, str(copy)}
    before, after = load_file(folder / WEIGHTS), load_file(tmp_path / "soup" / WEIGHTS)
    assert all(torch.equal(before[name], after[name]) for name in before)
    network, _ = given_network(tmp_path / "soup", recipe.stage1_checkpoint.backbone, [], 0)
    assert network.dim
    account = json.loads((tmp_path / "soup" / "soup.json").read_text(encoding="utf-8"))
    assert account["queries"] == 7 and len(account["ingredients"]) == 2


def test_the_soup_is_the_mean_of_what_is_in(trained: tuple[Recipe, Store, Path], tmp_path: Path) -> None:
    recipe, store, folder = trained
    sources = [str(moved(folder, tmp_path / f"moved {by}", by)) for by in (0.001, 3.0)]
    ingredients = write_soup(recipe, sources, store, tmp_path / "soup")
    folders = {recipe.name: folder, **{source: Path(source) for source in sources}}
    taken = [load_file(folders[one.name] / WEIGHTS) for one in ingredients if one.is_in]
    soup = load_file(tmp_path / "soup" / WEIGHTS)
    for name, tensor in soup.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, torch.stack([one[name] for one in taken]).mean(0))
    assert ingredients[0].alone == max(one.alone for one in ingredients)


def test_a_checkpoint_that_was_trained_on_validation_images_is_refused(
    trained: tuple[Recipe, Store, Path], tmp_path: Path
) -> None:
    recipe, store, _ = trained
    own = store.current(recipe.name, "splits")
    assert own is not None
    all_train = {image: "train" for image in split_of_images(own)}
    with store.writing("splits", "0" * 16, {"parents": {}}) as draft:
        columns = {"image_id": list(all_train), "split": list(all_train.values())}
        draft.write_table(pa.table(columns), "splits.parquet")
    with store.writing("stage1_checkpoint", "1" * 16, {"parents": {"splits": "0" * 16}}):
        pass
    checkpoint = store.get("stage1_checkpoint", "1" * 16)
    assert checkpoint is not None
    store.point("seed1", checkpoint)
    with pytest.raises(InputError, match=r"seed1 cannot be chosen .* trained on 4 of their 4 images, as another seed"):
        write_soup(recipe, ["seed1"], store, tmp_path / "soup")


def test_a_folder_of_other_files_is_left_alone_and_a_soup_is_written_anew(
    trained: tuple[Recipe, Store, Path], tmp_path: Path
) -> None:
    recipe, store, folder = trained
    copy = str(shutil.copytree(folder, tmp_path / "copy"))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"picture")
    with pytest.raises(InputError, match="photos holds other files than a soup's"):
        write_soup(recipe, [copy], store, tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.png"]
    for _ in range(2):
        write_soup(recipe, [copy], store, tmp_path / "soup")


def test_what_cannot_be_averaged_is_refused(trained: tuple[Recipe, Store, Path], tmp_path: Path) -> None:
    recipe, store, folder = trained
    with pytest.raises(InputError, match="two checkpoints or more"):
        write_soup(recipe, [], store, tmp_path / "soup")
    with pytest.raises(StoreError, match="'nobody' is neither a recipe"):
        write_soup(recipe, ["nobody"], store, tmp_path / "soup")
    other = shutil.copytree(folder, tmp_path / "other")
    described = json.loads((other / NETWORK).read_text(encoding="utf-8"))
    described["state"] = {**described["state"], "words": ["another"]}
    (other / NETWORK).write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises((InputError, StoreError), match=r"another network|is not of the network"):
        write_soup(recipe, [str(other)], store, tmp_path / "soup")
    assert not (tmp_path / "soup").exists()
