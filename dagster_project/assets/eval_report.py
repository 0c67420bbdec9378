"""Recall@k of both stages, the control and the single-modality baselines, with intervals and a page to look at."""

from dagster_project.stage_asset import GPU_POOL, stage_asset
from spn4cir_core.reports.stage import EVAL_REPORT

eval_report = stage_asset(EVAL_REPORT, group="evaluation", kinds={"html", "parquet"}, about=__doc__, pool=GPU_POOL)
