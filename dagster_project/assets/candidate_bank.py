"""Every candidate image embedded once by the frozen target encoder."""

from dagster_project.stage_asset import GPU_POOL, stage_asset
from spn4cir_core.training.stages import CANDIDATE_BANK

candidate_bank = stage_asset(CANDIDATE_BANK, group="training", kinds={"pytorch", "numpy"}, about=__doc__, pool=GPU_POOL)
