"""Candidates that are not negatives for a triplet: near-duplicates of its target, other right answers."""

from dagster_project.stage_asset import stage_asset
from spn4cir_core.negatives.stage import FALSE_NEGATIVES

false_negatives = stage_asset(FALSE_NEGATIVES, group="training", kinds={"parquet"}, about=__doc__)
