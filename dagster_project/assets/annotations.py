"""Annotated triplets and composed queries that the corpora bring along, resolved against the manifest."""

from dagster_project.stage_asset import stage_asset
from spn4cir_core.annotations.stage import ANNOTATIONS

annotations = stage_asset(ANNOTATIONS, group="sources", kinds={"csv", "parquet"}, about=__doc__)
