"""The manifest: every picture of the corpora, decoded and verified, duplicates merged, drops with a reason."""

from dagster_project.stage_asset import stage_asset
from spn4cir_core.images.stage import IMAGES

images = stage_asset(IMAGES, group="sources", kinds={"image", "parquet"}, about=__doc__)
