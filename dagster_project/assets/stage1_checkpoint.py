"""Query and target encoder, trained with in-batch negatives."""

from dagster_project.stage_asset import GPU_POOL, stage_asset
from spn4cir_core.training.stages import STAGE1_CHECKPOINT

stage1_checkpoint = stage_asset(STAGE1_CHECKPOINT, group="training", kinds={"pytorch"}, about=__doc__, pool=GPU_POOL)
