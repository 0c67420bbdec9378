"""All that a composed search needs: FAISS index, ids and the trained network."""

from dagster_project.stage_asset import GPU_POOL, stage_asset
from spn4cir_core.search.stage import SEARCH_INDEX

search_index = stage_asset(SEARCH_INDEX, group="evaluation", kinds={"faiss"}, about=__doc__, pool=GPU_POOL)
