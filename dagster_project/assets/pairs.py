"""Reference and target images whose similarity rank lies in the window; rank, score and window are stored."""

from dagster_project.stage_asset import stage_asset
from spn4cir_core.pairs.stage import PAIRS

pairs = stage_asset(PAIRS, group="positives", kinds={"parquet"}, about=__doc__)
