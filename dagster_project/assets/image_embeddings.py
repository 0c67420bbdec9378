"""Unit-norm image vectors: memory-mappable shards beside an id table."""

from dagster_project.stage_asset import GPU_POOL, stage_asset
from spn4cir_core.embeddings.stage import IMAGE_EMBEDDINGS

image_embeddings = stage_asset(
    IMAGE_EMBEDDINGS, group="positives", kinds={"pytorch", "numpy"}, about=__doc__, pool=GPU_POOL
)
