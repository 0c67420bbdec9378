"""Settings of the ``triplets`` stage."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from spn4cir_core.engine.plugins import Choice, Named, NamedChoice, Settings
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.store.fingerprints import OmitFromFingerprint
from spn4cir_core.triplets.base import GATES, JUDGES, RANKERS
from spn4cir_core.triplets.gate import GateLimits
from spn4cir_core.triplets.judge import Judge
from spn4cir_core.triplets.ranker import Ranker
from spn4cir_core.triplets.scores import Weighing


class TripletSettings(GateLimits):
    """How annotated and generated triplets are put together."""

    origins: tuple[Literal["annotated", "generated"], ...] = Field(default=("annotated", "generated"), min_length=1)
    max_generated: int | None = Field(default=None, ge=0)
    """At most this many generated training triplets, drawn by the recipe's seed."""
    annotated_repeats: int = Field(default=1, ge=1)
    """Times an annotated triplet appears in an epoch; more helps where they are few."""
    generated_weight: float = Field(default=1.0, gt=0)
    """Weight of a generated triplet's loss; an annotated one's is 1."""
    gates: tuple[Annotated[Named, NamedChoice(GATES)], ...] = (
        "caption_says_nothing",
        "caption_is_an_excuse",
        "caption_repeats_itself",
        "captions_say_the_same",
    )
    """What a generated triplet must pass, in this order; refusals are counted, listed and pictured. A gate of your own
    works as ``"package.module:Class"``, or as a table with that ``kind`` and its settings."""
    ranker: Annotated[Ranker, Choice(RANKERS)] | None = None
    """A frozen model that ranks each split's images by text, by reference and by both; nothing is loaded without."""
    judge: Annotated[Judge, Choice(JUDGES)] | None = None
    """A model that looks at both images and the text of what passed all other gates."""
    weigh_by: Weighing = "nothing"
    """The score that a generated triplet's weight is multiplied by: 1 − text_rank_share, 1 − round_trip_rank / others,
    or judge_score."""
    least_weight: float = Field(default=0.1, gt=0, le=1)
    """The lowest such factor."""
    verdicts: Annotated[str | None, OmitFromFingerprint()] = None
    """A CSV file ``triplet_id,verdict,comment`` of what people decided: ``reject``, or ``keep`` despite the gates."""
    candidates: Literal["triplets", "split"] = "split"
    """The candidate set: images of the training triplets (as published), or all images of the training split."""

    @override
    def missing(self) -> Iterable[str]:
        """The file of verdicts."""
        path = Path(self.verdicts).expanduser() if self.verdicts else None
        return () if path is None or path.is_file() else (f"verdicts: no file at {path}",)

    @model_validator(mode="after")
    def _models_that_gates_need(self) -> Self:
        asking: dict[str, list[str]] = {"ranker": [], "judge": []}
        for gate in map(GATES.build, self.gates):
            asking.get(gate.requires, []).append(gate.plugin_kind)
        if self.weigh_by != "nothing":
            asking["judge" if self.weigh_by == "judge" else "ranker"].append(self.weigh_by)
        for table, users in asking.items():
            if users and getattr(self, table) is None:
                raise ValueError(f"{min(users)!r} needs a table [triplets.{table}]")
        return self


class TripletsInput(Settings):
    """The tables of a recipe that this stage reads."""

    triplets: TripletSettings
    images: ImageSettings
    seed: int
