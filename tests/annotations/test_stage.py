from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.annotations.annotation_files import Triplet
from spn4cir_core.annotations.annotation_tables import QUERY_SCHEMA, TRIPLET_SCHEMA
from spn4cir_core.annotations.settings import AnnotationSettings
from spn4cir_core.annotations.stage import ANNOTATIONS, subset
from spn4cir_core.errors import InputError
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.images.stage import IMAGES
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store


def recipe(folder: Path, max_triplets: int | None = None, seed: int = 0, **reader: Any) -> Recipe:
    return Recipe.model_construct(
        name="test",
        seed=seed,
        images=ImageSettings.model_validate({"reader": {"kind": "folder", "folder": folder, **reader}}),
        annotations=AnnotationSettings(max_triplets=max_triplets),
    )


def write_corpus(folder: Path, count: int = 3) -> None:
    folder.mkdir(parents=True)
    for index in range(count):
        pixels = np.random.default_rng([*folder.name.encode(), index]).integers(0, 255, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")


def run(chosen: Recipe, store: Store) -> tuple[Artifact, bool]:
    IMAGES.run(chosen, store)
    return ANNOTATIONS.run(chosen, store)


def test_a_corpus_without_files_gives_empty_tables(tmp_path: Path) -> None:
    write_corpus(tmp_path / "in")
    artifact, _ = run(recipe(tmp_path / "in"), Store(tmp_path / "store"))
    assert artifact.table("annotated_triplets.parquet") == TRIPLET_SCHEMA.empty_table()
    assert artifact.table("queries.parquet") == QUERY_SCHEMA.empty_table()
    assert artifact.summary["rows"] == 0


def test_each_corpus_has_its_own_files_and_faults_are_counted(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_corpus(tmp_path / "in" / name)
    (tmp_path / "in" / "one" / "copy.png").write_bytes((tmp_path / "in" / "one" / "0.png").read_bytes())
    (tmp_path / "in" / "one" / "triplets.csv").write_text(
        "reference,target,modified_text\ncopy.png,1.png,red\n../two/0.png,1.png,no\n"
    )
    (tmp_path / "in" / "two" / "queries.csv").write_text(
        "query_id,reference,modified_text,targets\nq,0.png,x,1.png|2.png\n"
    )
    artifact, _ = run(recipe(tmp_path / "in", subdirectories="corpora"), Store(tmp_path / "store"))
    (triplet,) = artifact.table("annotated_triplets.parquet").to_pylist()
    assert (triplet["corpus"], triplet["reference_id"], triplet["target_id"]) == ("one", "one/0.png", "one/1.png")
    (query,) = artifact.table("queries.parquet").to_pylist()
    assert (query["query_id"], query["target_ids"]) == ("two/q", ["two/1.png", "two/2.png"])
    assert artifact.summary["drops"] == {"unknown image": 1}
    assert artifact.table("drops.parquet").to_pylist()[0]["line"] == 3


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    write_corpus(tmp_path / "in")
    path, store = tmp_path / "in" / "triplets.csv", Store(tmp_path / "store")
    first, _ = run(recipe(tmp_path / "in"), store)
    path.write_text("reference,target,modified_text\n0.png,1.png,red\n")
    second, reused = run(recipe(tmp_path / "in"), store)
    assert not reused and second.summary["rows"] == 1 and first.fingerprint != second.fingerprint
    assert run(recipe(tmp_path / "in"), store) == (second, True)
    path.write_text("reference,target,modified_text\n0.png,1.png,tan\n")
    assert run(recipe(tmp_path / "in"), store)[0].fingerprint != second.fingerprint


def test_a_file_outside_the_root_is_refused(tmp_path: Path) -> None:
    write_corpus(tmp_path / "in")
    (tmp_path / "triplets.csv").write_text("reference,target,modified_text\n0.png,1.png,red\n")
    (tmp_path / "in" / "triplets.csv").symlink_to(tmp_path / "triplets.csv")
    with pytest.raises(InputError, match="outside the root"):
        run(recipe(tmp_path / "in"), Store(tmp_path / "store"))


def test_max_triplets_keeps_a_seeded_subset_in_order(tmp_path: Path) -> None:
    write_corpus(tmp_path / "in", 8)
    lines = [f"{a}.png,{b}.png,text {a} {b}" for a in range(8) for b in range(8) if a != b]
    (tmp_path / "in" / "triplets.csv").write_text("\n".join(["reference,target,modified_text", *lines]))
    store = Store(tmp_path / "store")
    whole, _ = run(recipe(tmp_path / "in"), store)
    few, _ = run(recipe(tmp_path / "in", 10), store)
    names, few_names = (item.table("annotated_triplets.parquet")["annotation_id"].to_pylist() for item in (whole, few))
    assert (len(names), len(few_names)) == (56, 10)
    assert few_names == [name for name in names if name in set(few_names)]
    assert few.summary["drops"] == {"beyond max_triplets": 46}
    other, _ = run(recipe(tmp_path / "in", 10, seed=1), store)
    assert other.table("annotated_triplets.parquet")["annotation_id"].to_pylist() != few_names


def test_a_larger_subset_holds_the_smaller_one() -> None:
    rows = [Triplet(str(number), "c", f"r{number}", "t", "text", ["text"], "") for number in range(50)]
    sizes = [subset(rows, count, seed=3) for count in (0, 5, 20, 50, 99)]
    assert [len(rows) for rows in sizes] == [0, 5, 20, 50, 50]
    for smaller, larger in itertools.pairwise(sizes):
        assert {row.annotation_id for row in smaller} <= {row.annotation_id for row in larger}
