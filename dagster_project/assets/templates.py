"""A snapshot of the template bank in use; its data version changes when a used template does."""

from dagster_project.stage_asset import stage_asset
from spn4cir_core.texts.stages import TEMPLATES

templates = stage_asset(TEMPLATES, group="sources", kinds={"toml"}, about=__doc__)
