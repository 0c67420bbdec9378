"""Settings of the ``triplets`` stage."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spn4cir_core.engine.plugins import Choice, Settings
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.store.fingerprints import OmitFromFingerprint
from spn4cir_core.triplets.base import JUDGES, RANKERS
from spn4cir_core.triplets.judge import Judge
from spn4cir_core.triplets.ranker import Ranker
from spn4cir_core.triplets.scores import Weighing

GateName = Literal[
    "caption_says_nothing",
    "caption_is_an_excuse",
    "caption_repeats_itself",
    "caption_is_common",
    "captions_say_the_same",
    "captions_nearly_equal",
    "captions_need_many_edits",
    "text_names_target",
    "pair_too_similar",
    "pair_too_dissimilar",
    "text_fits_many",
    "text_alone_answers",
    "round_trip_fails",
    "judge_says_no",
]
RANKER_GATES: tuple[GateName, ...] = ("text_fits_many", "text_alone_answers", "round_trip_fails")
JUDGE_GATES: tuple[GateName, ...] = ("judge_says_no",)


class TripletSettings(Settings):
    """How annotated and generated triplets are put together."""

    origins: tuple[Literal["annotated", "generated"], ...] = Field(default=("annotated", "generated"), min_length=1)
    max_generated: int | None = Field(default=None, ge=0)
    """At most this many generated training triplets, drawn by the recipe's seed."""
    annotated_repeats: int = Field(default=1, ge=1)
    """Times an annotated triplet appears in an epoch; more helps where they are few."""
    generated_weight: float = Field(default=1.0, gt=0)
    """Weight of a generated triplet's loss; an annotated one's is 1."""
    gates: tuple[GateName, ...] = (
        "caption_says_nothing",
        "caption_is_an_excuse",
        "caption_repeats_itself",
        "captions_say_the_same",
    )
    """What a generated triplet must pass, in this order; refusals are counted, listed and pictured."""
    most_caption_share: float = Field(default=0.01, gt=0, le=1)
    """For ``caption_is_common``: refuse a target whose caption more than this share of its split's images have."""
    most_caption_overlap: float = Field(default=0.8, gt=0, le=1)
    """For ``captions_nearly_equal``: refuse captions that share more than this share of the longer one's words."""
    most_edits: int = Field(default=2, ge=1)
    """For ``captions_need_many_edits``: refuse captions that are more changes apart: things added, removed, changed."""
    most_cosine: float = Field(default=0.98, ge=-1, le=1)
    """For ``pair_too_similar``: refuse pairs above it."""
    least_cosine: float = Field(default=0.1, ge=-1, le=1)
    """For ``pair_too_dissimilar``: refuse pairs below it."""
    ranker: Annotated[Ranker, Choice(RANKERS)] | None = None
    """A frozen model that ranks each split's images by text, by reference and by both; nothing is loaded without."""
    answered_within: int = Field(default=1, ge=1)
    """A query is answered when the target is among so many first ones: for ``text_alone_answers`` and the figures."""
    most_text_rank_share: float = Field(default=0.5, gt=0, le=1)
    """For ``text_fits_many``: refuse a text that more than this share of its split's images fit as well."""
    most_round_trip_share: float = Field(default=0.5, gt=0, le=1)
    """For ``round_trip_fails``: refuse where more than this share of the images stand before the target."""
    judge: Annotated[Judge, Choice(JUDGES)] | None = None
    """A model that looks at both images and the text of what passed all other gates."""
    least_judge_score: float = Field(default=0.5, ge=0, le=1)
    """For ``judge_says_no``: refuse below it."""
    weigh_by: Weighing = "nothing"
    """The score that a generated triplet's weight is multiplied by: 1 − text_rank_share, 1 − round_trip_rank / others,
    or judge_score."""
    least_weight: float = Field(default=0.1, gt=0, le=1)
    """The lowest such factor."""
    verdicts: Annotated[str | None, OmitFromFingerprint()] = None
    """A CSV file ``triplet_id,verdict,comment`` of what people decided: ``reject``, or ``keep`` despite the gates."""
    candidates: Literal["triplets", "split"] = "split"
    """The candidate set: images of the training triplets (as published), or all images of the training split."""

    @model_validator(mode="after")
    def _models_that_gates_need(self) -> Self:
        needs = {
            "ranker": [*(set(RANKER_GATES) & set(self.gates)), *({"text_rank", "round_trip"} & {self.weigh_by})],
            "judge": [*(set(JUDGE_GATES) & set(self.gates)), *({"judge"} & {self.weigh_by})],
        }
        for table, users in needs.items():
            if users and getattr(self, table) is None:
                raise ValueError(f"{min(users)!r} needs a table [triplets.{table}]")
        return self


class TripletsInput(Settings):
    """The tables of a recipe that this stage reads."""

    triplets: TripletSettings
    images: ImageSettings
    seed: int
