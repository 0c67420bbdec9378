"""What a stage of training starts from and trains against: weights, inputs, bank, validation, negatives."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa

from spn4cir_core.annotations.judged import rejected_candidates
from spn4cir_core.backbones.base import Network
from spn4cir_core.engine.stage import Work
from spn4cir_core.errors import TrainingError
from spn4cir_core.images.files import image_files
from spn4cir_core.objectives.base import EXPLICIT_ROWS, REWORDED_QUERIES, SWAPPED_QUERIES, Objective
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.texts.swapped_words import swapped_texts
from spn4cir_core.training.batch_order_features import BatchOrderFeatures
from spn4cir_core.training.cached_features import cached_features
from spn4cir_core.training.checkpoints import Checkpoint
from spn4cir_core.training.embed_candidates import BANK
from spn4cir_core.training.given_checkpoint import given_network
from spn4cir_core.training.image_inputs import image_inputs
from spn4cir_core.training.judged_candidates import hardest_candidates, judged_candidates, reranker_of
from spn4cir_core.training.settings import (
    Schedule,
    Stage1Input,
    Stage1Settings,
    Stage2Settings,
    TrainingInput,
)
from spn4cir_core.training.text_features import remember_texts
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

log = logging.getLogger(__name__)
AnyTraining = TypeVar("AnyTraining", bound=TrainingInput)


def checked_triplets(parents: Mapping[str, Artifact]) -> TrainingTriplets:
    """The training triplets.

    Raises:
        TrainingError: another parent was made of other triplets.
    """
    triplets = parents["triplets"]
    for name, parent in parents.items():
        made_of = parent.summary["parents"].get("triplets")
        if name != "triplets" and made_of != triplets.fingerprint:
            raise TrainingError(
                f"{name} {parent.fingerprint} was made of triplets {made_of}, not of {triplets.fingerprint}; "
                f"materialise {name} again"
            )
    return read_training_triplets(triplets)


def starting_network(work: Work[Stage1Input], triplets: TrainingTriplets) -> Network:
    """The backbone's starting weights, or those of the checkpoint that ``start_from`` names."""
    settings, texts = work.settings.stage1_checkpoint, triplets.all_texts()
    if not settings.start_from:
        return settings.backbone.build(texts, work.settings.seed)
    path = Path(settings.start_from).expanduser()
    network, account = given_network(path, settings.backbone, texts, work.settings.seed)
    work.draft.details["start_from"] = account
    return network


def check_backbone(backbone: Any, settings: Stage1Settings) -> None:
    """Refuse a checkpoint of another backbone than the recipe's.

    Raises:
        TrainingError: the two differ.
    """
    if backbone != settings.backbone:
        raise TrainingError(
            f"the stage 1 checkpoint holds backbone {backbone!r}, the recipe asks for {settings.backbone!r}; "
            "materialise stage1_checkpoint again"
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


def inputs_of(work: Work[AnyTraining], start: Checkpoint, images: pa.Table) -> np.ndarray:
    """What the network reads of each of N images, in the order of their table."""
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


def features_of(work: Work[AnyTraining], settings: Schedule, start: Checkpoint, inputs: np.ndarray) -> np.ndarray:
    """What the towers that this stage freezes make of each image's inputs."""
    folder = work.store.rows("image_inputs", start.backbone.inputs_fingerprint())
    with work.draft.timed("compute"):
        return cached_features(start.network, inputs, folder, settings.device, work.progress, work.processes)


def prepare_training(
    work: Work[AnyTraining],
    name: str,
    settings: Stage1Settings | Stage2Settings,
    start: Checkpoint,
    triplets: TrainingTriplets,
    steps: int,
    frozen: Sequence[nn.Module | nn.Parameter],
    inputs: np.ndarray,
    bank: Bank | None = None,
) -> Training:
    """All that the one loop reads of one stage of training."""
    validation = _validation(work, settings, start, bank)
    swapped = _swapped_texts(work, settings.objective, triplets)
    if REWORDED_QUERIES in settings.objective.needs:
        _count_wordings(work, name, triplets)
    remember_texts(
        start.network,
        [*triplets.all_texts(), *chain(*swapped.values()), *(validation.queries.texts if validation else ())],
        work.store,
        progress=work.progress,
        seconds=work.draft.seconds,
        processes=work.processes,
    )
    false_negatives = _false_negatives(work, triplets)
    judged = (
        None if bank is None else _judged_candidates(work, settings, start, triplets, inputs, bank, false_negatives)
    )
    return Training(
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


def _grouped(
    work: Work[AnyTraining], settings: Schedule, triplets: TrainingTriplets, bank_ND: np.ndarray | None
) -> TrainingTriplets:
    features = BatchOrderFeatures(work.ancestors, triplets, bank_ND)
    groups = settings.batches.groups(features, work.settings.seed)
    return replace(triplets, groups=groups, runs_per_batch=settings.batches.runs_per_batch)


def _validation(work: Work[AnyTraining], settings: Schedule, start: Checkpoint, bank: Bank | None) -> Validation | None:
    if settings.validation.every_steps is None:
        return None
    queries = read_validation(settings.validation, work.parents["triplets"], work.ancestors, work.settings.seed)
    if queries is None:
        work.draft.details["validation_queries"] = 0
        return None
    inputs = inputs_of(work, start, queries.gallery)
    features_are_frozen = bank is not None or start.network.keeps_features_in_stage1
    if features_are_frozen and start.network.features_dtype == "float32":  # nothing is rounded
        inputs = features_of(work, settings, start, inputs)
    targets_are_frozen = bank is not None and bank.following is None
    return Validation(settings.validation, queries, inputs, {} if targets_are_frozen else None)


def _false_negatives(work: Work[AnyTraining], triplets: TrainingTriplets) -> FalseNegatives:
    if "false_negatives" not in work.parents:
        return FalseNegatives.none(triplets)
    return read_false_negatives(work.parents["false_negatives"], triplets)


def _swapped_texts(
    work: Work[AnyTraining], objective: Objective, triplets: TrainingTriplets
) -> Mapping[str, Sequence[str]]:
    needed = SWAPPED_QUERIES in objective.needs
    return swapped_texts(triplets.all_texts(), work.settings.seed) if needed else {}


def _count_wordings(work: Work[AnyTraining], name: str, triplets: TrainingTriplets) -> None:
    several = sum(len(set(texts)) > 1 for texts in triplets.texts)
    work.draft.details["triplets_with_several_texts"] = several
    if not several:
        log.warning(
            "%s: no triplet has several texts, so that the objective 'wording_consistency' teaches nothing; set "
            "modified_texts.per_pair above 1, or leave the objective out",
            name,
        )


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


def _judged_candidates(
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
