"""Stage ``blend``: calibration and weights of all channels, fitted on validation queries without annotation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from spn4cir_core.annotations.annotation_tables import read_annotated_triplets
from spn4cir_core.blend.blend import Validation
from spn4cir_core.blend.calibration import Calibration
from spn4cir_core.blend.evidence import Evidence, picture_opener
from spn4cir_core.blend.fit_blend import fit_blend
from spn4cir_core.blend.fitted import BLEND_FILE, BLEND_TABLE, ChannelWeight, FittedBlend, channel_of, title_of
from spn4cir_core.blend.missing_captions import HiddenCaptions
from spn4cir_core.blend.settings import BlendInput
from spn4cir_core.blend.ties import share_equal
from spn4cir_core.captions.caption_table import caption_sources
from spn4cir_core.channels.frozen_composed import COMPOSED, FrozenComposed
from spn4cir_core.channels.missing_caption import MissingCaption
from spn4cir_core.engine.blas_threads import one_blas_thread
from spn4cir_core.engine.freed_memory import freed_memory_kept
from spn4cir_core.engine.growth import Corpus, Load
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.errors import InputError, MissingExtra
from spn4cir_core.evaluation.encode import encode_gallery, encode_queries
from spn4cir_core.images.files import image_files
from spn4cir_core.images.manifest import PICTURE, read_manifest
from spn4cir_core.models.devices import choose_device
from spn4cir_core.splits.split_tables import split_of_images
from spn4cir_core.store.artifacts import Store
from spn4cir_core.texts.caption_edit_queries import caption_edit_queries
from spn4cir_core.training.checkpoints import as_module, load_checkpoint, same_networks
from spn4cir_core.training.image_inputs import image_inputs
from spn4cir_core.training.roles import STAGE2, TRAINED
from spn4cir_core.training.text_features import remember_texts

MOST_PICTURES = 4000
"""Pictures of the gallery that weights are fitted on; a seeded sample of more."""
LEAST_QUERIES = 20
"""With fewer queries over the validation split, training pictures are added, and trained channels are not fitted."""
FIT_IN_QUERIES = 300
"""What a blend costs whatever its queries (models loaded, weights fitted again and again), as so many queries would."""
LEAST_SHARE_OF_SOURCE = 0.1
"""Captions of a rarer source (tags that fill gaps between titles) count as missing: no weight is fitted on them."""
FITTED_ON = ("train", "validation")
VALIDATION, TRAINING_TOO = "validation", "validation and training"
UNFITTED = (
    f"The trained encoder of {STAGE2.label} alone: no validation query could be made, since captions are missing or "
    "share no words."
)
NOTHING_TO_FIT = (
    f"The trained encoder of {STAGE2.label} alone: there is no other channel, and too few validation queries to weigh "
    "the trained encoders by."
)


@dataclass(frozen=True)
class ValidationQuery:
    """A composed query over a gallery, by its rows; the reference image is excluded from the ranking."""

    reference: int
    modified_text: str
    targets: tuple[int, ...]


@one_blas_thread()
def write_blend(work: Work[BlendInput]) -> None:
    """Score validation queries by every channel, fit the weights, and write them with their uncertainty."""
    draft, settings, seed = work.draft, work.settings.blend, work.settings.seed
    with draft.timed("read"):
        sources = _fitted_sources(work)
        evidence = Evidence.of(
            work.parents["captions"],
            work.parents["image_embeddings"],
            settings.encoder_in_use,
            work.store,
            sources,
            _open_picture(work),
        )
        images, queries, origin, of_pictures = _validation(work, evidence)
    same = same_networks(work.parents)
    apart = [name for name in TRAINED if same[name] == name]
    trained = apart if of_pictures == VALIDATION else []
    reads_captions = any(channel_of(name).reads_captions for name in settings.channels)
    names = [*settings.channels, *([MissingCaption.plugin_kind] if reads_captions else []), *apart]
    with draft.timed("compute"):
        with freed_memory_kept():  # what the networks took is not there beside the fits
            validation, alone = _encoded(work, evidence, images, queries, trained)
        served, reason = same[STAGE2.name], UNFITTED if settings.channels or trained else NOTHING_TO_FIT
        if queries and reason is UNFITTED:
            image_ids = images["image_id"].to_pylist()
            blend, recall, reason = _fitted(names, evidence, image_ids, validation, alone, queries, seed)
        else:
            blend, recall = _unfitted(names, served), None
        encoder = settings.encoder_in_use if evidence.sentences else None
        blend = replace(blend, sentence_encoder=encoder, caption_sources=sources)
    details = {
        "queries": len(queries),
        "queries_are": origin,
        "pictures": len(images),
        "pictures_of": of_pictures,
        "caption_sources": list(sources),
        "recall@1": recall,
        "served": reason,
        "weights": {channel.name: channel.weight for channel in blend.channels},
        "weights_without_reference_caption": {channel.name: channel.without_reference for channel in blend.channels},
        "weights_without_caption": {channel.name: channel.without_caption for channel in blend.channels},
        "weights_without_captions": {channel.name: channel.without_either for channel in blend.channels},
        "weights_without_text": {channel.name: channel.without_text for channel in blend.channels},
    }
    with draft.timed("write"):
        draft.write_json({**blend.as_table(), **details}, BLEND_FILE)
        draft.write_table(pa.Table.from_pylist([asdict(channel) for channel in blend.channels]), BLEND_TABLE)
    if settings.encoder_in_use is not None and evidence.sentences is None:
        draft.drop("channel edited_caption_meaning: the package of the sentence encoder is not installed")
    for name in (name for name in TRAINED if name not in apart):
        draft.drop(f"channel {name}: the same network as {same[name]}")
    for name in (name for name in apart if name not in trained):
        draft.drop(f"channel {name}: too few validation queries, and training pictures would flatter it")
    draft.rows, draft.details = len(blend.used), details


def _open_picture(work: Work[BlendInput]) -> Callable[[str], Image.Image] | None:
    """What opens pictures for the channel ``frozen_composed``; None where it takes no part.

    Raises:
        InputError: it is to take part, and the image encoder reads no texts.
    """
    if FrozenComposed.plugin_kind not in work.settings.blend.channels:
        return None
    encoder = work.settings.image_embeddings.encoder
    if not encoder.reads_texts:
        raise InputError(
            f"blend.channels has 'frozen_composed', but the image encoder {encoder.plugin_kind!r} reads no texts; use "
            "sentence_transformers or open_clip in [image_embeddings.encoder], or leave the channel out"
        )
    return picture_opener(work.parents["images"], image_files(work.settings.images, work.store))


def _fitted_sources(work: Work[BlendInput]) -> tuple[str, ...]:
    """Sources of at least ``LEAST_SHARE_OF_SOURCE`` of the captions of pictures that are not for evaluation."""
    split_of = split_of_images(work.parents["splits"])
    sources = caption_sources(work.parents["captions"])
    counts = Counter(source for image_id, source in sources.items() if split_of.get(image_id) in FITTED_ON)
    least = LEAST_SHARE_OF_SOURCE * counts.total()
    return tuple(sorted(source for source, count in counts.items() if count >= least))


def _fitted(
    names: Sequence[str],
    evidence: Evidence,
    image_ids: Sequence[str],
    validation: Validation,
    alone: Mapping[str, np.ndarray],
    queries: Sequence[ValidationQuery],
    seed: int,
) -> tuple[FittedBlend, float, str]:
    """The blend, its recall@1 on the validation queries, and a sentence that says what is served and why."""
    targets, references = [query.targets for query in queries], [query.reference for query in queries]
    channels = [channel_of(name) for name in names]
    hidden = _hidden_captions(evidence, image_ids, validation, alone, references, seed)
    fitted, fit = fit_blend(channels, validation, targets, references, seed, hidden)
    without = (fitted.without_reference_C, fitted.without_caption_C, fitted.without_either_C, fitted.without_text_C)
    columns = (
        *(fit.weight_C, fit.low_C, fit.high_C, fit.recall_alone_C, fit.recall_without_C),
        *(weight_C for weight_C in without if weight_C is not None),
    )
    figures_of = zip(names, zip(*columns, strict=True), strict=True)
    blend = FittedBlend(
        tuple(ChannelWeight(name, *map(float, figures)) for name, figures in figures_of),
        fitted.calibration,
        least_share=fitted.least_share,
    )
    titles = [f"{title_of(name)} ({weight:.2f})" for name, weight in zip(blend.names, blend.weight_C, strict=True)]
    added = [titles[number] for number in np.flatnonzero(blend.weight_C) if number != fit.tie_break]
    if len(added) == 1:
        reason = f"The channel {added[0]} alone: no sum of channels was better on {len(queries)} validation queries."
    else:
        reason = f"A sum of {len(added)} channels, fitted on {len(queries)} validation queries: {', '.join(added)}."
    if fit.tie_break is not None:
        share = share_equal(validation.gallery.captions)
        shared = f": {share:.0%} of them share their caption with another one" if share else ""
        reason += f" Pictures that captions leave equal are ordered by {titles[fit.tie_break]}{shared}."
    return blend, fit.recall, reason


def _hidden_captions(
    evidence: Evidence,
    image_ids: Sequence[str],
    validation: Validation,
    alone: Mapping[str, np.ndarray],
    references: Sequence[int],
    seed: int,
) -> HiddenCaptions:
    """The queries over the gallery with the captions of a half of its pictures, and with those of the other half.

    Args:
        alone: the trained networks' (Q, D) vectors of the references without a text.
    """
    order = np.random.default_rng(seed).permutation(len(image_ids))
    trained = {name: vectors for name, vectors in validation.gallery.vectors.items() if name in TRAINED}
    composed = {name: vectors for name, vectors in validation.queries.vectors.items() if name in (*TRAINED, COMPOSED)}
    evidence = replace(evidence, composed_side=None)  # its vectors are there
    ids, texts = [image_ids[row] for row in references], validation.queries.modified_texts
    of_references = Validation(validation.gallery, evidence.with_captions_of(()).queries(ids, texts, composed))
    of_pictures: list[Validation] = []
    without_text: list[Validation] = []
    for rows in (order[: len(order) // 2], order[len(order) // 2 :]):
        half = evidence.with_captions_of([image_ids[row] for row in rows])
        gallery = half.gallery(image_ids, trained)
        of_pictures.append(Validation(gallery, half.queries(ids, texts, composed)))
        without_text.append(Validation(gallery, half.queries(ids, [""] * len(ids), alone)))
    return HiddenCaptions(of_pictures, without_text, [of_references])


def _unfitted(names: Sequence[str], served: str) -> FittedBlend:
    """One trained model alone, its scores as they are."""
    weights = [float(name == served) for name in names]
    channels = tuple(
        ChannelWeight(name, weight, weight, weight, 0, 0, *[weight] * 4)
        for name, weight in zip(names, weights, strict=True)
    )
    count = len(names)
    return FittedBlend(channels, Calibration(np.zeros(count, np.float32), np.ones(count, np.float32)))


def _validation(work: Work[BlendInput], evidence: Evidence) -> tuple[pa.Table, list[ValidationQuery], str, str]:
    """Pictures of the gallery, queries over its rows, what they are, and the splits of the pictures."""
    settings, manifest = work.settings.blend, read_manifest(work.parents["images"], *PICTURE)
    split_of = split_of_images(work.parents["splits"])
    for wanted, name in ((("validation",), VALIDATION), (("validation", "train"), TRAINING_TOO)):
        images = _sample(manifest, split_of, wanted, work.settings.seed)
        image_ids = images["image_id"].to_pylist()
        annotated = _annotated(work, image_ids)
        if len(annotated) >= settings.least_annotated:
            return images, annotated[: settings.max_queries], "annotated", name
        captions = evidence.drawn_captions(image_ids, work.settings.seed)
        drawn = caption_edit_queries(captions, settings.max_queries, work.settings.seed)
        generated = [ValidationQuery(query.reference, query.modified_text, query.answers) for query in drawn]
        if len(generated) >= LEAST_QUERIES:
            break
    return images, generated, "generated", name


def _sample(manifest: pa.Table, split_of: Mapping[str, str], wanted: Sequence[str], seed: int) -> pa.Table:
    rows = [row for row, image in enumerate(manifest["image_id"].to_pylist()) if split_of.get(image) in wanted]
    if len(rows) > MOST_PICTURES:
        rows = sorted(np.random.default_rng(seed).choice(rows, MOST_PICTURES, replace=False).tolist())
    return manifest.take(pa.array(rows, pa.int64()))


def _annotated(work: Work[BlendInput], image_ids: Sequence[str]) -> list[ValidationQuery]:
    """Annotated triplets whose two images are in the gallery; those of one reference and text are one query."""
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    table = read_annotated_triplets(work.parents["annotations"], "reference_id", "target_id", "modified_text")
    targets: defaultdict[tuple[int, str], set[int]] = defaultdict(set)
    for row in table.to_pylist():
        reference, target = row_of.get(row["reference_id"]), row_of.get(row["target_id"])
        if reference is not None and target is not None and reference != target and row["modified_text"].strip():
            targets[reference, row["modified_text"]].add(target)
    queries = [ValidationQuery(*key, tuple(sorted(rows))) for key, rows in sorted(targets.items())]
    order = np.random.default_rng(work.settings.seed).permutation(len(queries)).tolist()
    return [queries[number] for number in order]


def _encoded(
    work: Work[BlendInput],
    evidence: Evidence,
    images: pa.Table,
    queries: Sequence[ValidationQuery],
    models: Sequence[str],
) -> tuple[Validation, dict[str, np.ndarray]]:
    """The gallery and the queries with the vectors of the trained networks, one network in memory at a time.

    Returns:
        The validation, and the networks' vectors of the references without a text.
    """
    files = image_files(work.settings.images, work.store)
    references, texts = [query.reference for query in queries], [query.modified_text for query in queries]
    targets: dict[str, np.ndarray] = {}
    composed: dict[str, np.ndarray] = {}
    alone: dict[str, np.ndarray] = {}
    for number, model in enumerate(models if queries else ()):
        checkpoint = load_checkpoint(work.parents[TRAINED[model].artifact])
        if not number:  # the stages of one backbone read the same
            inputs_N = image_inputs(checkpoint.backbone, checkpoint.network, images, files, work.store)
        remember_texts(checkpoint.network, texts, work.store)
        as_module(checkpoint.network).to(choose_device("auto"))
        targets[model] = encode_gallery(checkpoint.network, inputs_N)
        encoded = encode_queries(checkpoint.network, inputs_N, references, texts)
        composed[model], alone[model] = encoded["composed"], encoded["image"]
        work.progress("encoding validation queries", number + 1, len(models))
    image_ids = images["image_id"].to_pylist()
    reference_ids = [image_ids[row] for row in references]
    return Validation(evidence.gallery(image_ids, targets), evidence.queries(reference_ids, texts, composed)), alone


def growth(corpus: Corpus, settings: BlendInput) -> Load:
    """Validation queries, one of each picture of that split up to the most, and the fit's own work."""
    queries = min(settings.blend.max_queries, corpus.splits.get("validation", 0))
    return Load(FIT_IN_QUERIES + queries, "validation query", read_rows=corpus.images)


def _sentence_weights(tables: BlendInput, store: Store) -> Any:
    """Which sentence encoder takes part: another one, or none, makes other weights."""
    encoder = tables.blend.encoder_in_use
    try:
        return None if encoder is None else encoder.fingerprint()
    except MissingExtra:
        return None


BLEND = Stage(
    name="blend",
    parents=(
        "images",
        "captions",
        "image_embeddings",
        "splits",
        "annotations",
        *(role.artifact for role in TRAINED.values()),
    ),
    view=BlendInput,
    version=10,
    write=write_blend,
    external_inputs=_sentence_weights,
    growth=growth,
)
