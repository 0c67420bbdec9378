"""Which split each image belongs to; near-duplicates and images of one group stay together."""

from dagster_project.stage_asset import stage_asset
from spn4cir_core.splits.stage import SPLITS

splits = stage_asset(SPLITS, group="positives", kinds={"parquet"}, about=__doc__)
