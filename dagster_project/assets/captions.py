"""One caption per image, with captioner, prompt and model fingerprint."""

from dagster_project.stage_asset import GPU_POOL, stage_asset
from spn4cir_core.captions.stage import CAPTIONS

captions = stage_asset(CAPTIONS, group="positives", kinds={"pytorch", "parquet"}, about=__doc__, pool=GPU_POOL)
