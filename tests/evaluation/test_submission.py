"""Files for the servers of CIRR and CIRCO: against hand-made answers, published examples and damaged copies."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.backbones.small.settings import Small
from spn4cir_core.errors import InputError
from spn4cir_core.evaluation.submission import Answering, read_server_queries, submit
from spn4cir_core.evaluation.submission_files import validate_submission
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.images.stage import IMAGES
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import Checkpoint

PICTURES = 60
TEXTS = ["make it red", "add a dog", "two of them"]


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def pixels(number: int) -> np.ndarray:
    """Picture 59 is picture 58, pixel by pixel."""
    return np.random.default_rng(min(number, 58)).integers(0, 255, (16, 16, 3)).astype(np.uint8)


def draw(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(number)).save(path)


def cirr(root: Path) -> ImageSettings:
    names = [f"test1-{number}" for number in range(PICTURES)]
    for number, name in enumerate(names):
        draw(root / "test1" / f"{name}.png", number)
    write(root / "cirr" / "image_splits" / "split.rc2.train.json", {})
    write(root / "cirr" / "image_splits" / "split.rc2.test1.json", {name: f"./test1/{name}.png" for name in names})
    rows = [
        {
            "pairid": 100 + row,
            "reference": names[row],
            "caption": text,
            "img_set": {"id": row, "members": [names[row], *names[20 + 5 * row : 25 + 5 * row]]},
        }
        for row, text in enumerate(TEXTS)
    ]
    write(root / "cirr" / "captions" / "cap.rc2.test1.json", rows)
    return ImageSettings.model_validate({"reader": {"kind": "cirr", "folder": str(root), "evaluate": "test1"}})


def circo(root: Path) -> ImageSettings:
    for number in range(PICTURES):
        draw(root / "unlabeled2017" / f"{number:012d}.png", number)
    rows = [
        {"id": row, "reference_img_id": 7 * row, "relative_caption": text, "shared_concept": "a dog"}
        for row, text in enumerate(TEXTS)
    ]
    write(root / "annotations" / "test.json", rows)
    return ImageSettings.model_validate({"reader": {"kind": "circo", "folder": str(root), "evaluate": "test"}})


def scanned(settings: ImageSettings, store: Store) -> Artifact:
    recipe = Recipe.model_construct(name="test", seed=0, images=settings)
    return IMAGES.run(recipe, store)[0]


def answering(settings: ImageSettings, images: Artifact, store: Store) -> Answering:
    backbone = Small(dim=16, image_px=16)
    network = backbone.build(["make it red", "a dog that two of them add"], 0)
    network.eval()  # type: ignore[attr-defined]
    manifest = images.table(columns=["image_id", "path", "pixel_sha256"])
    return Answering(Checkpoint(backbone, network, 0.05), manifest, settings, store)


def by_hand(answerer: Answering, reference: int, text: str, gallery: list[int]) -> list[int]:
    """Numbers of the gallery's pictures, best first; one picture at a time, ties by number."""
    import torch

    network = answerer.checkpoint.network

    def inputs(number: int) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(network.read_images([Image.fromarray(pixels(number))])))

    with torch.inference_mode():
        query = network.encode_query(inputs(reference), network.tokenize([text])).numpy()[0]
        scores = {number: float(network.encode_target(inputs(number)).numpy()[0] @ query) for number in gallery}
    return sorted(gallery, key=lambda number: (-round(scores[number], 6), number))


def test_cirr_files_equal_rankings_made_by_hand(tmp_path: Path) -> None:
    settings, store = cirr(tmp_path / "cirr_data"), Store(tmp_path / "store")
    images = scanned(settings, store)
    (server_queries,) = read_server_queries(settings, images, store)
    assert len(server_queries.names) == PICTURES and len(set(server_queries.image_ids)) == PICTURES - 1
    answerer = answering(settings, images, store)
    whole, subset = submit(server_queries, answerer, tmp_path / "out", "small")
    assert (whole.name, subset.name) == ("recall_submission_small.json", "recall_subset_submission_small.json")
    ranked, in_set = json.loads(whole.read_text()), json.loads(subset.read_text())
    assert (ranked.pop("version"), ranked.pop("metric")) == ("rc2", "recall")
    assert (in_set.pop("version"), in_set.pop("metric")) == ("rc2", "recall_subset")
    order = {name: rank for rank, name in enumerate(server_queries.names)}
    for row, text in enumerate(TEXTS):
        others = sorted(set(range(PICTURES)) - {row}, key=lambda number: order[f"test1-{number}"])
        expected = [f"test1-{number}" for number in by_hand(answerer, row, text, others)]
        assert same_but_for_twins(ranked[str(100 + row)], expected[:50])
        six = list(range(20 + 5 * row, 25 + 5 * row))
        assert in_set[str(100 + row)] == [f"test1-{number}" for number in by_hand(answerer, row, text, six)[:3]]


def same_but_for_twins(one: list[str], other: list[str]) -> bool:
    """Equal, whichever of the two names of one picture stands first."""

    def distinct(names: list[str]) -> list[str]:
        return [name.replace("59", "58") for name in names]

    return distinct(one) == distinct(other)


def test_circo_keeps_the_reference_unless_told(tmp_path: Path) -> None:
    settings, store = circo(tmp_path / "circo_data"), Store(tmp_path / "store")
    images = scanned(settings, store)
    (server_queries,) = read_server_queries(settings, images, store)
    answerer = answering(settings, images, store)
    (path,) = submit(server_queries, answerer, tmp_path / "out", "small")
    ranked = json.loads(path.read_text())
    for row, text in enumerate(TEXTS):
        expected = by_hand(answerer, 7 * row, text, list(range(PICTURES)))
        assert [min(number, 58) for number in ranked[str(row)]] == [min(number, 58) for number in expected[:50]]
    other = replace(answerer, text="concept", reference="removed")
    (path,) = submit(server_queries, other, tmp_path / "other", "small")
    for row, text in enumerate(TEXTS):
        gallery = sorted(set(range(PICTURES)) - {7 * row})
        expected = by_hand(answerer, 7 * row, f"a dog that {text}", gallery)
        ids = json.loads(path.read_text())[str(row)]
        assert [min(number, 58) for number in ids] == [min(number, 58) for number in expected[:50]]


def test_a_missing_picture_is_told(tmp_path: Path) -> None:
    settings, store = cirr(tmp_path / "cirr_data"), Store(tmp_path / "store")
    (tmp_path / "cirr_data" / "test1" / "test1-31.png").unlink()
    images = scanned(settings, store)
    (server_queries,) = read_server_queries(settings, images, store)
    with pytest.raises(InputError, match=r"1 pictures .* the first is 'test1-31'"):
        submit(server_queries, answering(settings, images, store), tmp_path / "out", "small")
    assert not (tmp_path / "out").exists()


def test_a_recipe_without_such_queries_is_told(tmp_path: Path) -> None:
    draw(tmp_path / "photos" / "a.png", 0)
    settings = ImageSettings.model_validate({"reader": {"kind": "folder", "folder": str(tmp_path / "photos")}})
    store = Store(tmp_path / "store")
    with pytest.raises(InputError, match='evaluate = "test1"'):
        read_server_queries(settings, scanned(settings, store), store)


Damage = Callable[[dict[str, Any]], Any]
CIRR_DAMAGE: list[tuple[Damage, str]] = [
    (lambda given: given.pop("version"), "'version' is None and must be 'rc2'"),
    (lambda given: given.update(metric="r"), "'metric' is 'r' and must be 'recall'"),
    (lambda given: given.pop("100"), "1 of 3 queries are missing, the first is '100'"),
    (lambda given: given.update({"9": given["100"]}), "1 keys are no query, the first is '9'"),
    (lambda given: given["101"].pop(), "query '101': 49 images, must be 50"),
    (lambda given: given["101"].__setitem__(0, given["101"][1]), "stands twice"),
    (lambda given: given["101"].__setitem__(0, "test1-1"), "reference image 'test1-1'"),
    (lambda given: given["101"].__setitem__(0, "dev-1"), "'dev-1' is not of the gallery"),
    (lambda given: given.update({"101": "test1-4"}), "no list of names"),
    (lambda given: given["101"].__setitem__(0, 7), "no list of names"),
]


@pytest.mark.parametrize(("damage", "said"), CIRR_DAMAGE, ids=[said for _, said in CIRR_DAMAGE])
def test_damaged_cirr_files_are_refused(damage: Damage, said: str, tmp_path: Path) -> None:
    cirr(tmp_path)
    names = [f"test1-{number}" for number in range(PICTURES)]
    given: dict[str, Any] = {"version": "rc2", "metric": "recall"}
    given |= {str(100 + row): names[5:55] for row in range(3)}
    annotations = tmp_path / "cirr" / "captions" / "cap.rc2.test1.json"
    assert validate_submission(write(tmp_path / "good.json", given), annotations, names) == "recall"
    given["101"] = list(given["101"])
    damage(given)
    with pytest.raises(InputError, match=said):
        validate_submission(write(tmp_path / "bad.json", given), annotations, names)


CIRCO_DAMAGE: list[tuple[Damage, str]] = [
    (lambda given: given["1"].append(77), "query '1': 51 images, must be 50"),
    (lambda given: given["1"].__setitem__(0, "0"), "no list of numbers"),
    (lambda given: given["1"].__setitem__(0, True), "no list of numbers"),
    (lambda given: given["1"].__setitem__(3, 4), "4 stands twice"),
    (lambda given: given["1"].__setitem__(0, 60), "'60' is not of the gallery"),
    (lambda given: given.update(version="rc2"), "1 keys are no query"),
]


@pytest.mark.parametrize(("damage", "said"), CIRCO_DAMAGE, ids=[said for _, said in CIRCO_DAMAGE])
def test_damaged_circo_files_are_refused(damage: Damage, said: str, tmp_path: Path) -> None:
    circo(tmp_path)
    names = [str(number) for number in range(PICTURES)]
    given: dict[str, Any] = {str(row): list(range(50)) for row in range(3)}
    annotations = tmp_path / "annotations" / "test.json"
    assert validate_submission(write(tmp_path / "good.json", given), annotations, names) == "map"
    damage(given)
    with pytest.raises(InputError, match=said):
        validate_submission(write(tmp_path / "bad.json", given), annotations, names)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "cannot be read as JSON"),
        (b"[]", "not a JSON object"),
        (b'{"0": [], "0": []}', "key '0' stands twice"),
        (b" " * 5_000_001, "at most 5,000,000"),
    ],
)
def test_files_that_are_none_are_refused(content: bytes, said: str, tmp_path: Path) -> None:
    circo(tmp_path)
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(InputError, match=said):
        validate_submission(tmp_path / "bad.json", tmp_path / "annotations" / "test.json")
    with pytest.raises(InputError, match="holds neither"):
        validate_submission(tmp_path / "bad.json", write(tmp_path / "other.json", [{"id": 3}]))


@pytest.mark.data
def test_published_examples_pass_and_damaged_copies_do_not(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "annotations"
    queries = folder / "cirr" / "captions" / "cap.rc2.test1.json"
    names = json.loads((folder / "cirr" / "image_splits" / "split.rc2.test1.json").read_text())
    examples = folder / "cirr" / "submission_examples"
    for name, metric in (("recall", "recall"), ("recall_subset", "recall_subset")):
        assert validate_submission(examples / f"test1_pred_ranks_{name}.json", queries, names) == metric
    example = folder / "circo" / "submission_examples" / "submission_val.json"
    assert validate_submission(example, folder / "circo" / "annotations" / "val.json") == "map"
    with pytest.raises(InputError, match="580 of 800 queries are missing, the first is '220'"):
        validate_submission(example, folder / "circo" / "annotations" / "test.json")
    subset = json.loads((examples / "test1_pred_ranks_recall_subset.json").read_text())
    query = next(key for key in subset if key.isdecimal())
    subset[query] = ["test1-147-1-img1", *subset[query][:2]]
    with pytest.raises(InputError, match=f"query '{query}'"):
        validate_submission(write(tmp_path / "bad.json", subset), queries, names)
