"""The filled templates of each pair, with template id, token count and the over-long fallback."""

from dagster_project.stage_asset import stage_asset
from spn4cir_core.texts.stages import MODIFIED_TEXTS

modified_texts = stage_asset(MODIFIED_TEXTS, group="positives", kinds={"parquet"}, about=__doc__)
