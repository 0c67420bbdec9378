"""The stages of training: where each starts and how far it goes; one loop trains them all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from spn4cir_core.engine.growth import Corpus, Load, per_candidate
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.images.files import image_files
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.checkpoints import METRICS, Checkpoint, load_checkpoint
from spn4cir_core.training.embed_candidates import BANK, open_references, write_bank
from spn4cir_core.training.given_checkpoint import given_fingerprint
from spn4cir_core.training.judged_candidates import reranker_of
from spn4cir_core.training.prepare_training import (
    check_backbone,
    checked_triplets,
    features_of,
    inputs_of,
    open_bank,
    prepare_training,
    starting_network,
)
from spn4cir_core.training.roles import CONTROL, STAGE1, STAGE2
from spn4cir_core.training.settings import (
    BankInput,
    ControlInput,
    Schedule,
    Stage1Input,
    Stage1Settings,
    Stage2Input,
    deciding_settings,
)
from spn4cir_core.training.train_stage import train_stage
from spn4cir_core.training.training import Bank
from spn4cir_core.training.triplet_batches import TrainingTriplets

AnyStage1 = TypeVar("AnyStage1", bound=Stage1Input)


def write_stage1(work: Work[Stage1Input]) -> None:
    """Train query and target encoder from their starting weights, with in-batch negatives."""
    settings = work.settings.stage1_checkpoint
    triplets = checked_triplets(work.parents)
    with work.draft.timed("read"):
        network = starting_network(work, triplets)
    start = Checkpoint(settings.backbone, network, settings.temperature)
    _train_stage1(work, STAGE1.name, settings, start, triplets, triplets.steps(settings))


def write_control(work: Work[ControlInput]) -> None:
    """Train stage 1 on, for as many steps as stage 2 takes: what stage 2 must beat."""
    triplets = checked_triplets(work.parents)
    start = load_checkpoint(work.parents["stage1_checkpoint"])
    check_backbone(start.backbone, work.settings.stage1_checkpoint)
    settings = work.settings.control_checkpoint.applied_to(work.settings.stage1_checkpoint)
    _train_stage1(work, CONTROL.name, settings, start, triplets, triplets.steps(work.settings.stage2_checkpoint))


def write_stage2(work: Work[Stage2Input]) -> None:
    """Train the query encoder of stage 1 against the frozen candidate bank."""
    settings = work.settings.stage2_checkpoint
    triplets = checked_triplets(work.parents)
    start = load_checkpoint(work.parents["stage1_checkpoint"])
    bank_ND = open_bank(work.parents["candidate_bank"], work.parents["stage1_checkpoint"])
    references = open_references(work.parents["candidate_bank"])
    start.network.untie_query_encoder()
    following = settings.target if settings.target.kind == "following" else None
    inputs = inputs_of(work, start, triplets.candidates) if references is None else references
    pictures = inputs if references is None or following is None else inputs_of(work, start, triplets.candidates)
    training = prepare_training(
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
    train_stage(training, work.draft, work.progress)


def _train_stage1(
    work: Work[AnyStage1],
    name: str,
    settings: Stage1Settings,
    start: Checkpoint,
    triplets: TrainingTriplets,
    steps: int,
) -> None:
    """Stage 1 and its control: both encoders, from the given start."""
    inputs = inputs_of(work, start, triplets.candidates)
    if name == STAGE1.name and not settings.start_from:
        start.network.expect_images(inputs)
    if settings.keep_features and start.network.keeps_features_in_stage1 and steps:
        inputs = features_of(work, settings, start, inputs)
    frozen = start.network.frozen_in_stage1()
    training = prepare_training(work, name, settings, start, triplets, steps, frozen, inputs)
    train_stage(training, work.draft, work.progress)


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
    version=3,
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
    version=3,
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
    version=2,
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
    version=4,
    write=write_bank,
    multi_process=True,
    main_file=BANK,
    growth=per_candidate,
)
