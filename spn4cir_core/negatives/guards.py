"""The guards that come with the package."""

from __future__ import annotations

from typing_extensions import override

from spn4cir_core.annotations.annotation_tables import read_annotated_triplets
from spn4cir_core.negatives import rules
from spn4cir_core.negatives.guard import Guard, GuardContext
from spn4cir_core.negatives.judge_candidates import judge_candidates
from spn4cir_core.negatives.look_alikes import rows_above, similarity_threshold, upper_fence
from spn4cir_core.negatives.rules import Rule
from spn4cir_core.splits.split_tables import read_near_duplicates


class NearDuplicate(Guard):
    """Near-duplicates of the target, and other images of its product."""

    @override
    def prepare(self, context: GuardContext) -> Rule:
        return rules.near_duplicate(context.training, read_near_duplicates(context.parents["splits"]))


class AnnotatedTarget(Guard):
    """Other targets that people annotated for the same reference and text."""

    @override
    def prepare(self, context: GuardContext) -> Rule:
        return rules.annotated_target(context.training)


class SoftTarget(Guard):
    """Candidates that people accepted beside the target (CIRR's ``target_soft`` above zero)."""

    @override
    def prepare(self, context: GuardContext) -> Rule:
        annotated = read_annotated_triplets(context.parents["annotations"], "annotation_id", "soft_targets")
        accepted = {
            f"annotated/{row['annotation_id']}": [name for name, score in row["soft_targets"] if score > 0]
            for row in annotated.to_pylist()
        }
        return rules.soft_target(context.training, accepted)


class SameText(Guard):
    """Targets of other triplets with the same reference and one of the same texts."""

    @override
    def prepare(self, context: GuardContext) -> Rule:
        return rules.same_text(context.training)


class SameCaption(Guard):
    """For a generated triplet, candidates whose caption means the same as the target's."""

    @override
    def prepare(self, context: GuardContext) -> Rule:
        return rules.same_caption(context.training)


class LookAlike(Guard):
    """Candidates whose embedding is more similar to the target's than a threshold from all similarities."""

    @override
    def prepare(self, context: GuardContext) -> Rule:
        settings, vectors_ND = context.settings, context.vectors_ND
        targets_TD = vectors_ND[context.target_rows]
        if settings.look_alike_above == "quantile":
            threshold = similarity_threshold(targets_TD, vectors_ND, settings.look_alike_quantile)
        else:
            threshold = upper_fence(targets_TD, vectors_ND, settings.look_alike_whisker)
        context.work.draft.details["look_alike_cosine"] = round(threshold, 4)
        above = rows_above(targets_TD, vectors_ND, threshold)
        return rules.look_alike(context.training, dict(zip(context.target_rows.tolist(), above, strict=True)))


class JudgedAnswer(Guard):
    """Candidates near the target that a model, shown reference, text and candidate, accepts as an answer."""

    requires_judge = True

    @override
    def prepare(self, context: GuardContext) -> Rule:
        # The target and the reference are among the nearest, and the judge is not asked about them.
        nearest = context.nearest_to_targets(context.settings.judged_per_triplet + 2)
        return rules.judged(judge_candidates(context.work, context.training, nearest))
