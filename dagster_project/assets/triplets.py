"""The training set: annotated and generated triplets with texts and provenance, and the candidate set."""

from dagster_project.stage_asset import stage_asset
from spn4cir_core.triplets.stage import TRIPLETS

triplets = stage_asset(TRIPLETS, group="positives", kinds={"parquet"}, about=__doc__)
