"""Query encoder trained against the whole candidate bank, false negatives masked."""

from dagster_project.stage_asset import GPU_POOL, stage_asset
from spn4cir_core.training.stages import STAGE2_CHECKPOINT

stage2_checkpoint = stage_asset(STAGE2_CHECKPOINT, group="training", kinds={"pytorch"}, about=__doc__, pool=GPU_POOL)
