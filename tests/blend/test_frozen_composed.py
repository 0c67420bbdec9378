"""The channel of a frozen composed encoder through blend and search, with small models of both kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spn4cir_core.blend.evidence import ComposedSide
from spn4cir_core.blend.fitted import read_blend
from spn4cir_core.blend.settings import BlendSettings
from spn4cir_core.blend.stage import BLEND
from spn4cir_core.embeddings.base import IMAGE_ENCODERS
from spn4cir_core.embeddings.settings import EmbeddingSettings
from spn4cir_core.embeddings.stage import IMAGE_EMBEDDINGS
from spn4cir_core.embeddings.vectors import read_embeddings
from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.images.manifest import manifest_column
from spn4cir_core.recipe import Recipe
from spn4cir_core.reports.stage import EVAL_REPORT
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.stage import SEARCH_INDEX
from spn4cir_core.store.artifacts import Store
from tests.blend.test_stage import CAPTIONS, corpus
from tests.embeddings.small_models import write_composing, write_sentence_transformers
from tests.measured_store import measured_store, recipe, weigh


def changed(store: Store, encoder: Any) -> Recipe:
    blend = BlendSettings(sentence_encoder=None, channels=("frozen_composed",))
    update: dict[str, Any] = {"blend": blend}
    if encoder is not None:
        update["image_embeddings"] = EmbeddingSettings(encoder=encoder)
    return recipe(store.root.parent / "pictures").model_copy(update=update)


@pytest.mark.parametrize("writer", [write_sentence_transformers, write_composing])
def test_a_search_by_the_frozen_encoder_alone_ranks_by_its_own_cosines(
    writer: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    pytest.importorskip("sentence_transformers")
    model = writer(tmp_path / "model")
    store = corpus(tmp_path, CAPTIONS, split="train")  # so that no trained channel takes part
    encoder = IMAGE_ENCODERS.build({"kind": "sentence_transformers", **model})
    made = changed(store, encoder)
    IMAGE_EMBEDDINGS.run(made, store)
    blend = read_blend(BLEND.run(made, store)[0])
    assert [channel.name for channel in blend.channels if channel.weight] == ["frozen_composed"]

    searcher = Searcher.open(SEARCH_INDEX.run(made, store)[0])
    picture = ImageFiles(tmp_path / "pictures").open("000.png")
    hits = searcher.search(picture, "large red dress", 5)
    if encoder.composes:
        query_D = encoder.start_composed()([(picture, "large red dress")])[0]
    else:
        parts = [encoder.start()([picture])[0], encoder.start_texts()(["large red dress"])[0]]
        query_D = np.sum([part / np.linalg.norm(part) for part in parts], axis=0)
    embeddings = read_embeddings(store.current(made.name, "image_embeddings"))  # type: ignore[arg-type]
    order = [embeddings.image_ids[row] for row in np.argsort(-(embeddings.vectors_ND @ query_D), kind="stable")]
    assert [hit.image_id for hit in hits] == [image_id for image_id in order if image_id != "000.png"][:5]


def test_an_encoder_that_reads_no_texts_is_refused(tmp_path: Path) -> None:
    store = corpus(tmp_path, CAPTIONS)
    made = changed(store, None)
    IMAGE_EMBEDDINGS.run(made, store)
    with pytest.raises(InputError, match=r"'frozen_composed', but the image encoder .* reads no texts"):
        BLEND.run(made, store)


def test_queries_of_one_side_alone_are_not_composed() -> None:
    side = ComposedSide(lambda queries: np.full((len(queries), 4), 3.0))
    vectors = side.vectors(["a", None, "a"], ["red", "blue", ""], lambda reference: reference)
    assert vectors is not None
    np.testing.assert_allclose(vectors[0], 0.5)
    assert np.isnan(vectors[1:]).all()
    assert side.vectors([None, "a"], ["red", ""], lambda reference: reference) is None


def test_the_report_has_the_frozen_encoder_as_a_row(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    encoder = IMAGE_ENCODERS.build({"kind": "sentence_transformers", **write_composing(tmp_path / "model")})
    store = measured_store(tmp_path)
    made = changed(store, encoder)
    IMAGE_EMBEDDINGS.run(made, store)
    BLEND.run(made, store)
    weigh(store, frozen_composed=1.0)
    report, _ = EVAL_REPORT.run(made, store)
    modes = set(report.table("recall.parquet", ["model", "query"]).to_pandas().itertuples(index=False, name=None))
    assert ("blend", "only frozen_composed") in modes
    embeddings = read_embeddings(store.current(made.name, "image_embeddings"))  # type: ignore[arg-type]
    files, compose = ImageFiles(tmp_path / "pictures"), encoder.start_composed()
    hits = {
        (row["query_set"], row["query_id"]): row["image_ids"]
        for row in report.table("hits.parquet").to_pylist()
        if row["model"] == "blend"
    }
    paths = manifest_column(store.current(made.name, "images"), "path")  # type: ignore[arg-type]
    queries = [
        row for row in report.table("queries.parquet").to_pylist() if (row["query_set"], row["query_id"]) in hits
    ]
    assert queries
    for query in queries[:6]:
        first = hits[query["query_set"], query["query_id"]]
        (query_D,) = compose([(files.open(paths[query["reference_id"]]), query["modified_text"])])
        cosines = [float(embeddings.vectors_ND[embeddings.row_of[image_id]] @ query_D) for image_id in first]
        assert cosines == sorted(cosines, reverse=True) and query["reference_id"] not in first
