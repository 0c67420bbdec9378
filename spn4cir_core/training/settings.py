"""Settings of the training stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator
from typing_extensions import override

from spn4cir_core.backbones.base import BACKBONES, Backbone
from spn4cir_core.engine.plugins import Choice, Settings
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.models.precision import Precision, precision_of
from spn4cir_core.objectives.base import OBJECTIVES, Objective
from spn4cir_core.store.fingerprints import FingerprintKey, OmitDefaultFromFingerprint, OmitFromFingerprint, plain
from spn4cir_core.texts.caption_edit_queries import VERSION as CAPTION_EDITS_VERSION
from spn4cir_core.training.base import BATCH_ORDERS, WEIGHT_AVERAGES
from spn4cir_core.training.batch_orders import BatchOrder, RandomBatches
from spn4cir_core.training.weight_averages import LastCheckpoints, NoAverage, WeightAverage


class ValidationSettings(Settings):
    """Recall on triplets of the validation split while training goes on."""

    every_steps: int | None = Field(default=None, ge=1)
    """None: no validation. The weights before the first step and after the last one are always validated too."""
    keep: Literal["last", "best", "best_and_last"] = "last"
    """Which weights the checkpoint holds: those of the last step, or of the one with the highest mean recall; the
    weights that the stage starts from take part, so that ``best`` is never worse on these queries than the start.
    ``best_and_last`` is the best, with the last ones beside it in ``last.safetensors``."""
    least_gain: Annotated[float, OmitDefaultFromFingerprint()] = Field(default=0.0, ge=0, lt=1)
    """What the mean recall must gain over the start (0.02: two points), for ``keep = "best"`` to replace it."""
    beyond_chance: Annotated[bool, OmitDefaultFromFingerprint()] = False
    """Whether that gain must also be more than chance: above 0 at the lower end of its 95 % interval, paired by query,
    queries of one reference image taken as one. Few queries then ask for more and many for less than a fixed gain."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many validations without a better one; None: never."""
    origins: tuple[Literal["generated", "annotated"], ...] = Field(default=("generated", "annotated"), min_length=1)
    """Texts of generated triplets name their target, so recall on them says little about composition: where there
    are annotated triplets in the validation split, ``["annotated"]`` is the better choice."""
    queries: Annotated[Literal["triplets", "caption_edits", "auto"], OmitDefaultFromFingerprint()] = "triplets"
    """Where queries come from. ``"triplets"``: held-out triplets of these ``origins``. ``"caption_edits"``: pairs of
    pictures of the validation split whose captions share most words, with texts that name only what is added or taken
    away, so that a query is answered only by a model that reads its reference; ``origins`` is then not read.
    ``"auto"``: annotated triplets of the validation split, else caption edits, whichever first gives 30 queries; where
    neither does, nothing is validated, and the weights of the last step are kept."""
    gallery: Literal["validation", "training_too"] = "validation"
    """Images that are searched for a target; with those of the training split the search is as hard as in use: a
    network that has come to know them by heart lets them stand before a target that it has not seen."""
    max_training_images: Annotated[int | None, OmitDefaultFromFingerprint()] = Field(default=None, ge=1)
    """Of more images of the training split a seeded sample is searched; None: all of them."""
    max_queries: int = Field(default=2000, ge=1)
    targets_per_reference: Annotated[int, OmitDefaultFromFingerprint()] = Field(default=1, ge=1)
    """How often the caption edits of each reference image are drawn; an edit that comes twice counts once. Edits of one
    image are not independent, but tell a gain from chance better than one of them (icons: ± 1.2 points in place of
    1.9 with four)."""

    @property
    def keeps_best(self) -> bool:
        """Whether the checkpoint holds the best weights."""
        return self.keep != "last"

    @model_validator(mode="after")
    def _needs_steps(self) -> Self:
        if self.every_steps is None and (self.keeps_best or self.patience is not None):
            raise ValueError(f'keep = "{self.keep}" and patience need every_steps')
        return self


class Schedule(Settings):
    """What every training stage has: steps, batch, optimiser."""

    steps: int | None = Field(default=None, ge=0, le=100_000_000)
    """Optimiser steps; None means ``epochs`` decides."""
    epochs: float = Field(default=10, gt=0, le=100_000)
    min_steps: Annotated[int, OmitDefaultFromFingerprint()] = Field(default=0, ge=0, le=100_000_000)
    """Least number of steps where ``epochs`` decides: a small corpus has few in an epoch."""
    batch_size: int = Field(default=128, ge=2, le=1_000_000)
    batches: Annotated[BatchOrder, Choice(BATCH_ORDERS)] = RandomBatches()
    chunk_size: int | None = Field(default=None, ge=1)
    """Rows each process embeds at once; what does not fit into memory as a batch does in chunks, with the same
    gradients and one more forward pass. None: the whole batch at once."""
    accumulate_batches: int = Field(default=1, ge=1)
    """Batches whose mean gradient is one step. Negatives stay those of each batch: for in-batch losses a larger batch
    in chunks is the stronger choice; against a bank the two are the same."""
    learning_rate: float = Field(default=2e-3, gt=0, le=100)
    weight_decay: float = Field(default=0.01, ge=0, le=100)
    decayed: Annotated[Literal["matrices", "all"], OmitDefaultFromFingerprint()] = "matrices"
    """What weight decay shrinks: matrices alone, or every trained tensor, biases, norms and the learnt temperature too,
    as published."""
    adam_betas: Annotated[tuple[float, float], OmitDefaultFromFingerprint()] = (0.9, 0.999)
    """Decay of AdamW's moments; SPRC is published with (0.9, 0.98)."""
    adam_epsilon: Annotated[float, OmitDefaultFromFingerprint()] = Field(default=1e-8, gt=0)
    """Added to the root of the second moment; published 1e-7."""
    warmup_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate climbs."""
    rate_schedule: Annotated[Literal["cosine", "constant"], OmitDefaultFromFingerprint()] = "cosine"
    """What the learning rate does then: fall to zero as half a cosine, or stay as it is, as published."""
    clip_norm: float = Field(default=1.0, gt=0)
    temperature: float = Field(default=0.05, gt=0, le=1000)
    learn_temperature: bool = False
    learnt_temperature: Annotated[Literal["logarithm", "value"], OmitDefaultFromFingerprint()] = "logarithm"
    """What the optimiser changes where the temperature is learnt: its logarithm, so that it stays positive, or itself,
    as published: the same rate then moves it about 1 / temperature times as far."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the encoders' arithmetic; weights, vectors and objective stay float32."""
    products: Annotated[Precision, OmitDefaultFromFingerprint()] = "float32"
    """What matrix products of float32 take their factors in on a CPU; sums stay float32. ``auto`` is bfloat16 where the
    processor has it, two to six times as fast; the fingerprint holds what it comes to."""
    checkpoint_activations: bool = False
    """Compute activations again in the backward pass where the network can: less memory, more time."""
    weight_average: Annotated[WeightAverage, Choice(WEIGHT_AVERAGES)] = NoAverage()
    validation: ValidationSettings = ValidationSettings()
    save_every_steps: Annotated[int, OmitFromFingerprint()] = Field(default=200, ge=1)
    device: Annotated[str, OmitFromFingerprint()] = "auto"
    threads: Annotated[int | None, OmitFromFingerprint()] = None

    @field_validator("adam_betas")
    @classmethod
    def _below_one(cls, betas: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"adam_betas {betas}: both must be at least 0 and below 1")
        return betas

    @model_validator(mode="after")
    def _averages_the_end_only_where_it_is_known(self) -> Self:
        ends_early = self.validation.keeps_best or self.validation.patience is not None
        if isinstance(self.weight_average, LastCheckpoints) and ends_early:
            raise ValueError(
                'weight_average "last" is the mean at the end of the training; with validation.keep = "best" or '
                'patience use "moving" or "none"'
            )
        return self


def deciding_settings(schedule: Schedule) -> dict[str, Any]:
    """What of a training's settings decides its weights: what ``products`` comes to on this machine, and the version of
    the caption edits that choose them."""
    values: dict[str, Any] = plain(schedule.model_copy(update={"products": precision_of(schedule.products)}))
    if schedule.validation.every_steps is not None and schedule.validation.queries != "triplets":
        values["caption_edits_version"] = CAPTION_EDITS_VERSION
    return values


class Stage1Settings(Schedule):
    """Stage 1: query and target encoder, in-batch negatives."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"spares": "exclude_known_positives"}

    backbone: Annotated[Backbone, Choice(BACKBONES)]
    objective: Annotated[Objective, Choice(OBJECTIVES)]
    learn_temperature: bool = True
    exclude_known_positives: Annotated[
        Literal["same_target", "false_negatives"], OmitDefaultFromFingerprint(), FingerprintKey("spares")
    ] = "same_target"
    """Which of the batch's other targets are not taken as negatives of a triplet, in stage 1 and its control: those
    that are the same picture (SPN4CIR excludes none), or also those that the ``false_negatives`` artefact names for it,
    as stage 2 does. The second makes that artefact a parent of stage 1."""
    start_from: Annotated[str, OmitFromFingerprint()] = ""
    """A published checkpoint file of the backbone, or the folder of a checkpoint artefact, in place of the backbone's
    own starting weights; with ``steps = 0`` it is stage 1 as it stands. Its bytes decide, not its path."""
    keep_features: bool = True
    """Where a backbone's towers are frozen in stage 1 too, run them once per picture before the first step, and read
    what they gave (float16) from a scratch file: BLIP4CIR 0.9 MB an image, SPRC 0.7 MB. Else each step runs them."""

    @override
    def missing(self) -> Iterable[str]:
        path = Path(self.start_from).expanduser()
        return () if not self.start_from or path.exists() else (f"start_from: no checkpoint file or folder at {path}",)


class FrozenTarget(Settings):
    """The target encoder does not move, as published; embedding the bank again would give the same vectors."""

    kind: Literal["frozen"] = "frozen"


class FollowingTarget(Settings):
    """After each step ``target = momentum · target + (1 − momentum) · query`` for what the two had in common (MoCo's
    key encoder, He et al. 2020), and every so often the bank is embedded again.

    Helps where stage 1 was short and the targets themselves should still move. Hurts where the bank teaches the
    shortcut of the text: the targets then follow. Between two refreshes the bank is a little behind.
    """

    kind: Literal["following"] = "following"
    momentum: float = Field(default=0.999, gt=0, lt=1)
    refresh_every_epochs: float = Field(default=1.0, gt=0)


def _as_table(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


TargetEncoder = Annotated[FrozenTarget | FollowingTarget, Field(discriminator="kind")]


class Stage2Settings(Schedule):
    """Stage 2: query encoder alone, the whole candidate bank as negatives."""

    objective: Annotated[Objective, Choice(OBJECTIVES)]
    target: Annotated[TargetEncoder, BeforeValidator(_as_table)] = FrozenTarget()
    """What becomes of the target encoder: ``"frozen"``, or a table of kind ``"following"``."""


class ControlSettings(Settings):
    """The control is stage 1 trained on for stage 2's steps, with stage 1's settings but for these."""

    learning_rate: Annotated[float | None, OmitDefaultFromFingerprint()] = Field(default=None, gt=0, le=100)
    """None: stage 1's. A stage 2 at a lower rate asks for a control that is not held back by a high one."""
    validation: Annotated[ValidationSettings | None, OmitDefaultFromFingerprint()] = None
    """None: stage 1's. Where stage 2 is chosen by another rule, that one, so that both are chosen alike."""

    def applied_to(self, stage1: Stage1Settings) -> Stage1Settings:
        """The settings that the control trains with."""
        return stage1.model_copy(
            update={
                name: value for name in ("learning_rate", "validation") if (value := getattr(self, name)) is not None
            }
        )


class BankSettings(Settings):
    """How the candidate bank is stored."""

    dtype: Literal["float16", "float32"] = "float32"
    """float16 halves the file and reads twice as many rows a second from a slow disk."""
    reference_features: bool = True
    """Also keep what the frozen towers make of each candidate, where a backbone has such features: stage 2 then reads
    no picture. They may be large (BLIP4CIR: 0.9 MB an image in float16); without them each step runs the towers."""


class BankInput(Settings):
    """The tables of a recipe that this stage reads."""

    images: ImageSettings
    candidate_bank: BankSettings


class TrainingInput(Settings):
    """The tables that every stage of training reads."""

    seed: int
    images: ImageSettings


class Stage1Input(TrainingInput):
    """The tables that stage 1 reads."""

    stage1_checkpoint: Stage1Settings


class ControlInput(Stage1Input):
    """The tables that the control reads; of stage 2 only its length."""

    control_checkpoint: ControlSettings
    stage2_checkpoint: Stage2Settings


class Stage2Input(TrainingInput):
    """The tables that stage 2 reads."""

    stage2_checkpoint: Stage2Settings
