"""The training set: annotated and generated triplets with paths, captions, texts and provenance, and the candidate set."""

from spn4cir_core.triplets.compose_triplets import TRIPLETS

from dagster_project.stage_asset import stage_asset

triplets = stage_asset(TRIPLETS, group="positives", kinds={"parquet"}, about=__doc__)
