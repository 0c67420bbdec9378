"""Stage 1 trained on for as many steps as stage 2: what stage 2 has to beat."""

from dagster_project.stage_asset import GPU_POOL, stage_asset
from spn4cir_core.training.stages import CONTROL_CHECKPOINT

control_checkpoint = stage_asset(CONTROL_CHECKPOINT, group="training", kinds={"pytorch"}, about=__doc__, pool=GPU_POOL)
