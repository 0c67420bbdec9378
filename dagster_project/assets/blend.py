"""Calibration and weights of all channels, fitted without annotation; what search serves."""

from dagster_project.stage_asset import GPU_POOL, stage_asset
from spn4cir_core.blend.stage import BLEND

blend = stage_asset(BLEND, group="evaluation", kinds={"scipy"}, about=__doc__, pool=GPU_POOL)
