"""Previews in Dagster that need a second artefact: a report against the one before it."""

import dagster as dg

from dagster_project.pictures import inline_picture
from spn4cir_core.images.files import image_files
from spn4cir_core.recipe import Recipe
from spn4cir_core.reports.previews import compared_with_before
from spn4cir_core.store.artifacts import Artifact, Store

MARKDOWN_CHARACTERS = 12_000
"""What an event may hold of one text; a longer one is cut at the end of a line."""


def previews(artifact: Artifact, recipe: Recipe, store: Store) -> dict[str, dg.MetadataValue]:
    """Metadata of the artefact beside its own; empty where there is nothing to compare with."""
    if artifact.noun != "eval_report":
        return {}
    preview = compared_with_before(recipe.name, store, image_files(recipe.images, store))
    if preview is None:
        return {}
    text = preview.markdown
    if len(text) > MARKDOWN_CHARACTERS:
        text = text[:MARKDOWN_CHARACTERS].rpartition("\n")[0] + "\n\n… (more with: spn4cir compare)"
    shown: dict[str, dg.MetadataValue] = {"compared_with_before": dg.MetadataValue.md(text)}
    if preview.picture is not None:
        shown["won_and_lost_since"] = inline_picture(preview.picture, "queries won and lost since the report before")
    return shown
