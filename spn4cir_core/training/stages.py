"""The stages of training: where each starts and what it trains against; :func:`_train` runs the one loop for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa

from spn4cir_core.annotations.judged import rejected_candidates
from spn4cir_core.backbones.base import Network
from spn4cir_core.engine.growth import Corpus, Load, per_candidate
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.errors import TrainingError
from spn4cir_core.images.files import image_files
from spn4cir_core.objectives.base import EXPLICIT_ROWS, SWAPPED_QUERIES, Objective
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.texts.swapped_words import swapped_texts
from spn4cir_core.training.batch_order_features import BatchOrderFeatures
from spn4cir_core.training.cached_features import cached_features
from spn4cir_core.training.checkpoints import METRICS, Checkpoint, load_checkpoint
from spn4cir_core.training.embed_candidates import BANK, open_references, write_bank
from spn4cir_core.training.given_checkpoint import given_fingerprint, given_network
from spn4cir_core.training.image_inputs import image_inputs
from spn4cir_core.training.judged_candidates import hardest_candidates, judged_candidates, reranker_of
from spn4cir_core.training.roles import CONTROL, STAGE1, STAGE2
from spn4cir_core.training.settings import (
    BankInput,
    ControlInput,
    Schedule,
    Stage1Input,
    Stage1Settings,
    Stage2Input,
    Stage2Settings,
    TrainingInput,
    deciding_settings,
)
from spn4cir_core.training.text_features import remember_texts
from spn4cir_core.training.train_stage import train_stage
from spn4cir_core.training.training import Bank, JudgedCandidates, Training
from spn4cir_core.training.triplet_batches import (
    FalseNegatives,
    TrainingTriplets,
    read_false_negatives,
    read_training_triplets,
)
from spn4cir_core.training.validation import Validation
from spn4cir_core.training.validation_queries import read_validation

if TYPE_CHECKING:
    from torch import nn

AnyTraining = TypeVar("AnyTraining", bound=TrainingInput)
AnyStage1 = TypeVar("AnyStage1", bound=Stage1Input)


def write_stage1(work: Work[Stage1Input]) -> None:
    """Train query and target encoder from their starting weights, with in-batch negatives."""
    settings = work.settings.stage1_checkpoint
    triplets = _checked_triplets(work.parents)
    with work.draft.timed("read"):
        network = _starting_network(work, triplets)
    start = Checkpoint(settings.backbone, network, settings.temperature)
    _train_stage1(work, STAGE1.name, start, triplets, triplets.steps(settings))


def write_control(work: Work[ControlInput]) -> None:
    """Train stage 1 on, for as many steps as stage 2 takes: what stage 2 must beat."""
    triplets = _checked_triplets(work.parents)
    start = load_checkpoint(work.parents["stage1_checkpoint"])
    _check_backbone(start.backbone, work.settings.stage1_checkpoint)
    _train_stage1(work, CONTROL.name, start, triplets, triplets.steps(work.settings.stage2_checkpoint))


def write_stage2(work: Work[Stage2Input]) -> None:
    """Train the query encoder of stage 1 against the frozen candidate bank."""
    settings = work.settings.stage2_checkpoint
    triplets = _checked_triplets(work.parents)
    start = load_checkpoint(work.parents["stage1_checkpoint"])
    bank_ND = open_bank(work.parents["candidate_bank"], work.parents["stage1_checkpoint"])
    references = open_references(work.parents["candidate_bank"])
    start.network.untie_query_encoder()
    following = settings.target if settings.target.kind == "following" else None
    inputs = _inputs(work, start, triplets.candidates) if references is None else references
    pictures = inputs if references is None or following is None else _inputs(work, start, triplets.candidates)
    _train(
        work,
        STAGE2.name,
        settings,
        replace(start, temperature=settings.temperature),
        triplets,
        triplets.steps(settings),
        start.network.frozen_in_stage2(),
        inputs,
        Bank(bank_ND, following, pictures),
    )


def _train_stage1(work: Work[AnyStage1], name: str, start: Checkpoint, triplets: TrainingTriplets, steps: int) -> None:
    """Stage 1 and its control: both encoders, by stage 1's settings, from the given start."""
    settings = work.settings.stage1_checkpoint
    inputs = _inputs(work, start, triplets.candidates)
    if name == STAGE1.name and not settings.start_from:
        start.network.expect_images(inputs)
    if settings.keep_features and start.network.keeps_features_in_stage1 and steps:
        inputs = _features(work, settings, start, inputs)
    _train(work, name, settings, start, triplets, steps, start.network.frozen_in_stage1(), inputs)


def _train(
    work: Work[AnyTraining],
    name: str,
    settings: Stage1Settings | Stage2Settings,
    start: Checkpoint,
    triplets: TrainingTriplets,
    steps: int,
    frozen: Sequence[nn.Module | nn.Parameter],
    inputs: np.ndarray,
    bank: Bank | None = None,
) -> None:
    """Train by the one loop, and write the checkpoint."""
    targets_are_frozen = bank is not None and bank.following is None
    validation = _validation(work, settings, start, targets_are_frozen)
    swapped = _swapped_texts(work, settings.objective, triplets)
    remember_texts(
        start.network,
        [*triplets.all_texts(), *chain(*swapped.values()), *(validation.queries.texts if validation else ())],
        work.store,
        progress=work.progress,
        seconds=work.draft.seconds,
        processes=work.processes,
    )
    false_negatives = _false_negatives(work, triplets)
    judged = None if bank is None else _judged(work, settings, start, triplets, inputs, bank, false_negatives)
    training = Training(
        name=name,
        seed=work.settings.seed,
        steps=steps,
        schedule=settings,
        objective=settings.objective,
        backbone=start.backbone,
        network=start.network,
        temperature=start.temperature,
        frozen=frozen,
        triplets=_grouped(work, settings, triplets, None if bank is None else bank.vectors_ND),
        inputs=inputs,
        bank=bank,
        false_negatives=false_negatives,
        validation=validation,
        judged=judged,
        explicit_rows_TK=None if bank is None else _explicit_rows(work, settings.objective, triplets),
        swapped_texts=swapped,
        processes=work.processes,
    )
    train_stage(training, work.draft, work.progress)


def _swapped_texts(
    work: Work[AnyTraining], objective: Objective, triplets: TrainingTriplets
) -> Mapping[str, Sequence[str]]:
    needed = SWAPPED_QUERIES in objective.needs
    return swapped_texts(triplets.all_texts(), work.settings.seed) if needed else {}


def _explicit_rows(work: Work[AnyTraining], objective: Objective, triplets: TrainingTriplets) -> np.ndarray | None:
    """(T, K) rows of the bank that people called wrong answers of each triplet, -1 where it has fewer."""
    if EXPLICIT_ROWS not in objective.needs:
        return None
    rejected = rejected_candidates(work.ancestors["annotations"])
    row_of = {name: row for row, name in enumerate(triplets.candidates["image_id"].to_pylist())}
    rows_of = [
        [row for name in rejected.get(triplet, ()) if (row := row_of.get(name, int(target))) != target]
        for triplet, target in zip(triplets.ids, triplets.targets, strict=True)
    ]
    work.draft.details["triplets_with_explicit_negatives"] = sum(map(bool, rows_of))
    rows_TK = np.full((len(rows_of), max(1, *map(len, rows_of))), -1, np.int64)
    for rows_K, rows in zip(rows_TK, rows_of, strict=True):
        rows_K[: len(rows)] = rows
    return rows_TK


def _judged(
    work: Work[AnyTraining],
    settings: Stage1Settings | Stage2Settings,
    start: Checkpoint,
    triplets: TrainingTriplets,
    inputs: np.ndarray,
    bank: Bank,
    false_negatives: FalseNegatives,
) -> JudgedCandidates | None:
    reranker = reranker_of(settings.objective)
    if reranker is None:
        return None
    with work.draft.timed("compute"):
        rows_TK = hardest_candidates(
            start.network, triplets, inputs, bank.vectors_ND, false_negatives, reranker.top, settings.device
        )
    return judged_candidates(
        reranker,
        triplets,
        rows_TK,
        image_files(work.settings.images, work.store),
        work.store,
        progress=work.progress,
        seconds=work.draft.seconds,
        processes=work.processes,
    )


def open_bank(bank: Artifact, checkpoint: Artifact) -> np.ndarray:
    """(N, D) memory-mapped candidate vectors.

    Raises:
        TrainingError: the bank was embedded by another checkpoint.
    """
    embedded_by = bank.summary["parents"]["stage1_checkpoint"]
    if embedded_by != checkpoint.fingerprint:
        raise TrainingError(
            f"candidate_bank {bank.fingerprint} holds vectors of stage1_checkpoint {embedded_by}, not of "
            f"{checkpoint.fingerprint}; materialise candidate_bank again"
        )
    # Copy on write: torch warns of arrays that it must not write to, and it never writes to this one.
    vectors: np.ndarray = np.load(bank.file(BANK), mmap_mode="c", allow_pickle=False)
    return vectors


def _checked_triplets(parents: Mapping[str, Artifact]) -> TrainingTriplets:
    """The training triplets, of which the other parents must have been made too."""
    triplets = parents["triplets"]
    for name, parent in parents.items():
        made_of = parent.summary["parents"].get("triplets")
        if name != "triplets" and made_of != triplets.fingerprint:
            raise TrainingError(
                f"{name} {parent.fingerprint} was made of triplets {made_of}, not of {triplets.fingerprint}; "
                f"materialise {name} again"
            )
    return read_training_triplets(triplets)


def _false_negatives(work: Work[AnyTraining], triplets: TrainingTriplets) -> FalseNegatives:
    if "false_negatives" not in work.parents:
        return FalseNegatives.none(triplets)
    return read_false_negatives(work.parents["false_negatives"], triplets)


def _starting_network(work: Work[Stage1Input], triplets: TrainingTriplets) -> Network:
    settings, texts = work.settings.stage1_checkpoint, triplets.all_texts()
    if not settings.start_from:
        return settings.backbone.build(texts, work.settings.seed)
    path = Path(settings.start_from).expanduser()
    network, account = given_network(path, settings.backbone, texts, work.settings.seed)
    work.draft.details["start_from"] = account
    return network


def _check_backbone(backbone: Any, settings: Stage1Settings) -> None:
    if backbone != settings.backbone:
        raise TrainingError(
            f"the stage 1 checkpoint holds backbone {backbone!r}, the recipe asks for {settings.backbone!r}; "
            "materialise stage1_checkpoint again"
        )


def _grouped(
    work: Work[AnyTraining], settings: Schedule, triplets: TrainingTriplets, bank_ND: np.ndarray | None
) -> TrainingTriplets:
    features = BatchOrderFeatures(work.ancestors, triplets, bank_ND)
    groups = settings.batches.groups(features, work.settings.seed)
    return replace(triplets, groups=groups, runs_per_batch=settings.batches.runs_per_batch)


def _validation(
    work: Work[AnyTraining], settings: Schedule, start: Checkpoint, targets_are_frozen: bool
) -> Validation | None:
    if settings.validation.every_steps is None:
        return None
    queries = read_validation(settings.validation, work.parents["triplets"], work.ancestors, work.settings.seed)
    if queries is None:
        work.draft.details["validation_queries"] = 0
        return None
    inputs = _inputs(work, start, queries.gallery)
    return Validation(settings.validation, queries, inputs, {} if targets_are_frozen else None)


def _inputs(work: Work[AnyTraining], start: Checkpoint, images: pa.Table) -> np.ndarray:
    return image_inputs(
        start.backbone,
        start.network,
        images,
        image_files(work.settings.images, work.store),
        work.store,
        progress=work.progress,
        seconds=work.draft.seconds,
        processes=work.processes,
    )


def _features(work: Work[AnyTraining], settings: Stage1Settings, start: Checkpoint, inputs: np.ndarray) -> np.ndarray:
    """What the towers that stage 1 freezes make of each image's inputs."""
    folder = work.store.rows("image_inputs", start.backbone.inputs_fingerprint())
    with work.draft.timed("compute"):
        return cached_features(start.network, inputs, folder, settings.device, work.progress, work.processes)


def _backbone_weights(tables: Stage1Input, store: Store) -> Any:
    settings = tables.stage1_checkpoint
    if not settings.start_from:
        return settings.backbone.fingerprint()
    given = given_fingerprint(Path(settings.start_from).expanduser())
    return {"backbone": settings.backbone.bare_fingerprint(), "start_from": given}


def _judge(tables: Stage2Input, store: Store) -> str | None:
    """Hash of the reranker that gives soft labels, its model's weights included."""
    reranker = reranker_of(tables.stage2_checkpoint.objective)
    return None if reranker is None else reranker.fingerprint(image_files(tables.images, store))


def _excludes_false_negatives(tables: Stage1Input) -> bool:
    return tables.stage1_checkpoint.exclude_known_positives == "false_negatives"


def _length(stage2: Schedule) -> dict[str, Any]:
    """What of stage 2's settings decides its number of steps, and so the control."""
    if stage2.steps is not None:
        return {"steps": stage2.steps}
    least = {"min_steps": stage2.min_steps} if stage2.min_steps else {}
    return {name: getattr(stage2, name) for name in ("epochs", "batch_size", "accumulate_batches")} | least


READS_OF_TRIPLETS = (
    ("triplets", "images"),
    ("triplets", "annotations"),
    ("triplets", "captions"),
    ("triplets", "splits"),
    ("triplets", "splits", "image_embeddings"),
)
"""What the validation and the orders of batches read of the corpus that the triplets were made of."""


def _training_load(corpus: Corpus, schedule: Schedule) -> Load:
    """Every visit of a triplet; candidates' pictures are read once, triplets are held."""
    batch = schedule.batch_size * schedule.accumulate_batches
    least = schedule.min_steps * batch
    visits = max(least, schedule.epochs * corpus.epoch) if schedule.steps is None else schedule.steps * batch
    return Load(visits, "triplet visit", read_rows=corpus.candidates, held_rows=corpus.triplets)


def growth_of_stage1(corpus: Corpus, settings: Stage1Input) -> Load:
    """The schedule of stage 1."""
    return _training_load(corpus, settings.stage1_checkpoint)


def growth_of_control(corpus: Corpus, settings: ControlInput) -> Load:
    """The schedule of stage 2, without its bank."""
    return _training_load(corpus, settings.stage2_checkpoint)


def growth_of_stage2(corpus: Corpus, settings: Stage2Input) -> Load:
    """The schedule of stage 2, each visit compared with the whole bank forwards and backwards."""
    load = _training_load(corpus, settings.stage2_checkpoint)
    products = 2 * load.rows * corpus.candidates * corpus.bank_dimensions
    excluded = corpus.triplets * corpus.excluded_per_triplet
    return replace(load, accelerator_products=products, held_floats=2 * excluded)


STAGE1_CHECKPOINT = Stage(
    name="stage1_checkpoint",
    parents=("triplets", "false_negatives"),
    view=Stage1Input,
    version=1,
    write=write_stage1,
    multi_process=True,
    external_inputs=_backbone_weights,
    fingerprint_part={"stage1_checkpoint": deciding_settings},
    parents_if={"false_negatives": _excludes_false_negatives},
    reads_also=READS_OF_TRIPLETS,
    main_file=METRICS,
    growth=growth_of_stage1,
)
CONTROL_CHECKPOINT = Stage(
    name="control_checkpoint",
    parents=("triplets", "stage1_checkpoint", "false_negatives"),
    view=ControlInput,
    version=1,
    write=write_control,
    multi_process=True,
    fingerprint_part={"stage1_checkpoint": deciding_settings, "stage2_checkpoint": _length},
    parents_if={"false_negatives": _excludes_false_negatives},
    reads_also=READS_OF_TRIPLETS,
    main_file=METRICS,
    growth=growth_of_control,
)
STAGE2_CHECKPOINT = Stage(
    name="stage2_checkpoint",
    parents=("triplets", "stage1_checkpoint", "candidate_bank", "false_negatives"),
    view=Stage2Input,
    version=1,
    write=write_stage2,
    multi_process=True,
    external_inputs=_judge,
    fingerprint_part={"stage2_checkpoint": deciding_settings},
    reads_also=READS_OF_TRIPLETS,
    main_file=METRICS,
    growth=growth_of_stage2,
)


CANDIDATE_BANK = Stage(
    name="candidate_bank",
    parents=("triplets", "stage1_checkpoint"),
    view=BankInput,
    version=2,
    write=write_bank,
    multi_process=True,
    main_file=BANK,
    growth=per_candidate,
)
