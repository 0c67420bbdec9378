"""The ``triplets`` stage: annotated and generated triplets in one table, and the candidate set."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.annotations.annotation_tables import TripletColumn, read_annotated_triplets
from spn4cir_core.captions.caption_table import read_captions
from spn4cir_core.engine.growth import Corpus, Load
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.errors import InputError
from spn4cir_core.images.files import image_files
from spn4cir_core.images.manifest import PICTURE, read_manifest
from spn4cir_core.pairs.pair_table import PairColumn, read_pairs
from spn4cir_core.splits.split_tables import component_of_images, split_of_images
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.draft import Draft
from spn4cir_core.texts.caption_meanings import meaning_digests
from spn4cir_core.texts.text_table import TextColumn, read_modified_texts
from spn4cir_core.triplets.figures import text_figures
from spn4cir_core.triplets.gate_triplets import gate_triplets, models_and_verdicts
from spn4cir_core.triplets.refusal_report import record_refused
from spn4cir_core.triplets.scores import TABLE as SCORES
from spn4cir_core.triplets.scores import score_figures, score_table, weighed
from spn4cir_core.triplets.settings import TripletSettings, TripletsInput
from spn4cir_core.triplets.text_answers import TRIPLETS_VERSION, TextAnswers
from spn4cir_core.triplets.triplet import Picture, Triplet, normalised, triplet_table
from spn4cir_core.triplets.triplet_tables import CANDIDATE_SCHEMA, CANDIDATES_FILE, TRIPLETS_FILE
from spn4cir_core.triplets.verdicts import read_verdicts, verdict_counts

TRAIN = "train"
EXAMPLES = 5
ANNOTATED_COLUMNS: tuple[TripletColumn, ...] = ("annotation_id", "reference_id", "target_id", "modified_texts", "kind")
TEXT_COLUMNS: tuple[TextColumn, ...] = ("pair_id", "modified_texts", "template_ids")
PAIR_COLUMNS: tuple[PairColumn, ...] = ("pair_id", "reference_id", "target_id", "rank", "score", "split")


def compose_triplets(work: Work[TripletsInput]) -> None:
    """Write ``triplets.parquet`` and ``candidates.parquet``, and what was refused.

    Raises:
        InputError: no training triplet is left, or the verdicts cannot be read.
    """
    draft, settings = work.draft, work.settings.triplets
    with draft.timed("read"):
        pictures = read_pictures(work.parents)
        verdicts = read_verdicts(settings.verdicts)
    with draft.timed("compute"):
        offered = list(annotated_triplets(work.parents["annotations"], pictures, settings, draft))
        offered += generated_triplets(work.parents, pictures, settings)
    answers = TextAnswers(work.store, work.progress, draft.seconds)
    gated = gate_triplets(offered, pictures, verdicts, answers, work)
    with draft.timed("compute"):
        triplets = weighed(gated.admitted, gated.scores, settings.weigh_by, settings.least_weight)
        triplets = capped(triplets, settings.max_generated, work.settings.seed, draft)
        triplets = sorted(distinct(triplets, draft), key=lambda triplet: triplet.triplet_id)
    with draft.timed("write"):
        record_refused(gated.refused, image_files(work.settings.images, work.store), draft)
    with draft.timed("compute"):
        check_training_set(triplets, pictures, work)
        candidates = candidate_table(triplets, pictures, settings)
    with draft.timed("write"):
        draft.write_table(triplet_table(triplets), TRIPLETS_FILE)
        draft.write_table(candidates, CANDIDATES_FILE)
        if gated.scores:
            draft.write_table(score_table(gated.scores), SCORES)
    draft.rows = len(triplets)
    draft.details |= summarise(triplets, candidates, answers)
    if gated.scores:
        within = settings.answered_within
        draft.details["scores"] = {
            "offered": score_figures(offered, gated.scores, within),
            "kept": score_figures(triplets, gated.scores, within),
        }
    if verdicts:
        draft.details["verdicts"] = verdict_counts(verdicts, [triplet.triplet_id for triplet in offered])


def read_pictures(parents: Mapping[str, Artifact]) -> dict[str, Picture]:
    """Every image with its caption (empty if it got none), split and component, by id."""
    captions = read_captions(parents["captions"])
    split_of, component_of = split_of_images(parents["splits"]), component_of_images(parents["splits"])
    images = read_manifest(parents["images"], *PICTURE)
    names, paths, pixels = (images[column].to_pylist() for column in PICTURE)
    captions_of_all = [captions.get(name, "") for name in names]
    splits, components = ([of[name] for name in names] for of in (split_of, component_of))
    rows = zip(paths, pixels, captions_of_all, splits, components, strict=True)
    return dict(zip(names, map(Picture._make, rows), strict=True))


def annotated_triplets(
    annotations: Artifact, pictures: Mapping[str, Picture], settings: TripletSettings, draft: Draft
) -> Iterator[Triplet]:
    """The corpus's own triplets whose two images may be trained on."""
    rows = (
        read_annotated_triplets(annotations, *ANNOTATED_COLUMNS).to_pylist() if "annotated" in settings.origins else []
    )
    for row in rows:
        reference, target = pictures[row["reference_id"]], pictures[row["target_id"]]
        held_out = [picture.split for picture in (reference, target) if picture.split != TRAIN]
        if held_out:
            draft.drop(f"image is in the {min(held_out)} split")
        elif row["reference_id"] == row["target_id"]:
            draft.drop("reference and target are the same image")
        elif not all(text.strip() for text in row["modified_texts"]):
            draft.drop("the modified text is empty")
        else:
            yield Triplet(
                triplet_id=f"annotated/{row['annotation_id']}",
                reference_id=row["reference_id"],
                target_id=row["target_id"],
                reference_path=reference.path,
                target_path=target.path,
                reference_caption=reference.caption,
                target_caption=target.caption,
                modified_texts=tuple(row["modified_texts"]),
                origin="annotated",
                kind=row["kind"] or "",
                template_ids=(),
                rank=None,
                score=None,
                weight=1.0,
                repeats=settings.annotated_repeats,
                split=TRAIN,
            )


def generated_triplets(
    parents: Mapping[str, Artifact], pictures: Mapping[str, Picture], settings: TripletSettings
) -> Iterator[Triplet]:
    """The pairs that got a text."""
    if "generated" not in settings.origins:
        return
    pairs, texts = (
        read_pairs(parents["pairs"], *PAIR_COLUMNS),
        read_modified_texts(parents["modified_texts"], *TEXT_COLUMNS),
    )
    pairs = pairs.take(pc.index_in(texts["pair_id"], value_set=pairs["pair_id"].combine_chunks()))
    _, reference_ids, target_ids, ranks, scores, splits = (pairs[name].to_pylist() for name in PAIR_COLUMNS)
    pair_ids, modified_texts, template_ids = (texts[name].to_pylist() for name in TEXT_COLUMNS)
    references, targets = ([pictures[name] for name in names] for names in (reference_ids, target_ids))
    constant = {"origin": "generated", "kind": "", "weight": settings.generated_weight, "repeats": 1}
    columns: dict[str, Iterable[Any]] = {
        "triplet_id": [f"generated/{pair_id}" for pair_id in pair_ids],
        "reference_id": reference_ids,
        "target_id": target_ids,
        "reference_path": [picture.path for picture in references],
        "target_path": [picture.path for picture in targets],
        "reference_caption": [picture.caption for picture in references],
        "target_caption": [picture.caption for picture in targets],
        "modified_texts": map(tuple, modified_texts),
        "template_ids": map(tuple, template_ids),
        "rank": ranks,
        "score": scores,
        "split": splits,
        **{name: repeat(value, len(pair_ids)) for name, value in constant.items()},
    }
    yield from map(Triplet._make, zip(*(columns[name] for name in Triplet._fields), strict=True))


def capped(triplets: Sequence[Triplet], most: int | None, seed: int, draft: Draft) -> list[Triplet]:
    """At most ``most`` generated training triplets, drawn by a hash of the seed and their ids, and all others."""
    others = [triplet for triplet in triplets if triplet.origin != "generated" or triplet.split != TRAIN]
    training = [triplet for triplet in triplets if triplet.origin == "generated" and triplet.split == TRAIN]
    if most is None or len(training) <= most:
        return others + training
    draft.drop("more generated triplets than max_generated", len(training) - most)
    training.sort(key=lambda triplet: hashlib.sha256(f"{seed}\0{triplet.triplet_id}".encode()).digest())
    return others + training[:most]


def distinct(triplets: Sequence[Triplet], draft: Draft) -> Iterator[Triplet]:
    """Each reference, target and text once: the annotated one, else the first by id."""
    times = Counter((triplet.reference_id, triplet.target_id) for triplet in triplets)
    seen: set[tuple[str, str, tuple[str, ...]]] = set()
    for triplet in sorted(triplets, key=lambda triplet: (triplet.origin != "annotated", triplet.triplet_id)):
        if times[triplet.reference_id, triplet.target_id] == 1:
            yield triplet
            continue
        texts = tuple(sorted({normalised(text) for text in triplet.modified_texts}))
        key = (triplet.reference_id, triplet.target_id, texts)
        if key in seen:
            draft.drop("same reference, target and text as another triplet")
        else:
            seen.add(key)
            yield triplet


def check_training_set(triplets: Sequence[Triplet], pictures: Mapping[str, Picture], work: Work[TripletsInput]) -> None:
    """Refuse an empty training set; assert that nothing held out is trained on."""
    training = [triplet for triplet in triplets if triplet.split == TRAIN]
    for triplet in triplets:
        sides = pictures[triplet.reference_id].split, pictures[triplet.target_id].split
        assert sides == (triplet.split, triplet.split), (
            f"{triplet.triplet_id} joins images of {sides}, its split is {triplet.split}"
        )
    if not training:
        counts = {name: work.parents[name].summary["drops"] for name in ("annotations", "pairs", "modified_texts")}
        counts["triplets"] = dict(work.draft.drops)
        excluded = [f"{name}: {reason} ({n})" for name, drops in counts.items() for reason, n in sorted(drops.items())]
        training_pictures = sum(picture.split == TRAIN for picture in pictures.values())
        raise InputError(
            f"no training triplet is left: {training_pictures} of {len(pictures)} images are in the training split, "
            f"{work.parents['pairs'].summary['rows']} pairs were mined, origins are "
            f"{', '.join(work.settings.triplets.origins)}. Left out: {'; '.join(excluded) or 'nothing'}. "
            f"{advice_without_triplets([picture.caption for picture in pictures.values() if picture.caption])}"
        )


def advice_without_triplets(captions: Sequence[str]) -> str:
    """What to do where there is no training triplet, by the captions of the pictures that have one."""
    if len(set(captions)) > 1:
        return "Add pictures or a triplets.csv, widen pairs.window, or use templates that apply (templates.use)"
    same = f"All {len(captions)} captions are {captions[0]!r}" if captions else "No picture has a caption"
    return (
        f"{same}: no text can say what is different. Give titles (a column title in metadata.csv), another captioner "
        "([captions.captioner]) or a triplets.csv"
    )


def candidate_table(
    triplets: Sequence[Triplet], pictures: Mapping[str, Picture], settings: TripletSettings
) -> pa.Table:
    """The candidate set, sorted by image id."""
    if settings.candidates == "triplets":
        training = [triplet for triplet in triplets if triplet.split == TRAIN]
        image_ids = {name for triplet in training for name in (triplet.reference_id, triplet.target_id)}
    else:
        image_ids = {name for name, picture in pictures.items() if picture.split == TRAIN}
    names = sorted(image_ids)
    shown = [pictures[name] for name in names]
    columns = [
        [getattr(picture, field.name) for picture in shown] for field in CANDIDATE_SCHEMA if field.name != "image_id"
    ]
    arrays = [pa.array(column, kind) for column, kind in zip([names, *columns], CANDIDATE_SCHEMA.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=CANDIDATE_SCHEMA)


def summarise(triplets: Sequence[Triplet], candidates: pa.Table, answers: TextAnswers) -> dict[str, Any]:
    """Counts by split and origin, how far texts give their targets away, and sample rows."""
    counts = Counter(f"{triplet.split} {triplet.origin}" for triplet in triplets)
    training = [triplet for triplet in triplets if triplet.split == TRAIN]
    generated = [triplet for triplet in training if triplet.origin == "generated"]
    captions, targets = candidates["caption"].to_pylist(), [triplet.target_caption for triplet in generated]
    meaning_of = meaning_digests([*captions, *targets], answers.store, answers.progress, answers.seconds)
    naming_target = answers.naming_target(generated)
    samples = [triplet for origin in ("annotated", "generated") for triplet in _spread(training, origin)]
    return {
        "triplets": dict(sorted(counts.items())),
        "candidates": len(candidates),
        "kinds": dict(sorted(Counter(triplet.kind for triplet in training if triplet.kind).items())),
        **text_figures(generated, naming_target, [meaning_of[text] for text in targets], map(meaning_of.get, captions)),
        "samples": [
            {
                "reference": triplet.reference_path,
                "modified_texts": list(triplet.modified_texts),
                "target": triplet.target_path,
                "origin": triplet.origin,
                "reference_caption": triplet.reference_caption,
                "target_caption": triplet.target_caption,
            }
            for triplet in samples
        ],
    }


def _spread(training: Sequence[Triplet], origin: str) -> list[Triplet]:
    of_origin = [triplet for triplet in training if triplet.origin == origin]
    return of_origin[:: max(1, len(of_origin) // EXAMPLES)][:EXAMPLES]


def growth(corpus: Corpus, settings: TripletsInput) -> Load:
    """Every pair, and with a ranker three searches of the training images for each."""
    ranker = settings.triplets.ranker
    searched = 3 * min(corpus.splits.get("train", 0), ranker.max_candidates) if ranker else 0
    return Load(corpus.pairs, "pair", corpus.pairs * searched * corpus.dimensions)


TRIPLETS = Stage(
    name="triplets",
    parents=("images", "annotations", "captions", "splits", "pairs", "modified_texts"),
    view=TripletsInput,
    version=TRIPLETS_VERSION,
    write=compose_triplets,
    external_inputs=models_and_verdicts,
    growth=growth,
)
