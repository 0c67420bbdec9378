"""What a run made, in a few lines: samples to judge by eye, the recall that is served, and what looks wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spn4cir_core.images.files import image_files
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.triplets.sheet import drawn_for_training, triplet_sheet

SAMPLES, SHEET_TRIPLETS, NAMED_FILES = 5, 24, 5
TAGGED_SHARE = 0.5
"""More captions than this share by offline tags: search finds little of what the text names."""
REFUSED_SHARE = 0.5
"""Gates that refuse more than this share of the triplets leave the corpus's easy part."""


def outcome(artifacts: Mapping[str, Artifact]) -> Iterator[str]:
    """Lines about the artefacts of a run; those that are not among them have none."""
    if "images" in artifacts:
        yield from dropped_files(artifacts["images"].details, NAMED_FILES)
    if "captions" in artifacts:
        yield from _captions(artifacts["captions"].details)
    if "triplets" in artifacts:
        yield from _triplets(artifacts["triplets"])
    if "eval_report" in artifacts:
        yield from _recall(artifacts["eval_report"].details.get("headline") or {})


def dropped_files(details: Mapping[str, Any], most: int) -> Iterator[str]:
    """The first files that were dropped, each with its reason, and what files were not read as pictures.

    Args:
        details: of an ``images`` artefact.
    """
    examples, dropped = details.get("drop_examples", [])[:most], details.get("dropped", 0)
    for drop in examples:
        detail = f" ({drop['detail']})" if drop["detail"] else ""
        yield f"dropped: {drop['path']}: {drop['reason']}{detail}"
    if dropped > len(examples):
        yield f"dropped: {dropped - len(examples)} more; all of them with: spn4cir images --dropped"
    if ignored := details.get("not_read"):
        yield f"no pictures: {', '.join(f'{count} {extension}' for extension, count in list(ignored.items())[:10])}"


def write_triplet_sheet(recipe: Recipe, store: Store, triplets: Artifact, path: Path) -> bool:
    """Write a contact sheet of training triplets as a JPEG; False where there is none to show."""
    shown = [(triplet, triplet.modified_texts[0]) for triplet in drawn_for_training(triplets, SHEET_TRIPLETS)]
    if shown:
        path.parent.mkdir(parents=True, exist_ok=True)
        triplet_sheet(shown, image_files(recipe.images, store)).save(path, "JPEG", quality=80)
    return bool(shown)


def _captions(details: Mapping[str, Any]) -> Iterator[str]:
    for row in details.get("sample", [])[:SAMPLES]:
        yield f"caption: {row['image_id']}: {row['caption']}"
    for note in details.get("notes", []):
        yield f"warning: captions: {note}"
    sources: Mapping[str, int] = details.get("sources", {})
    if (tagged := sources.get("tags", 0)) > TAGGED_SHARE * sum(sources.values()):
        yield (
            f"warning: captions: {tagged:,} of {sum(sources.values()):,} are tags, which know 1,000 things and colour: "
            "a column 'title' in metadata.csv (docs/data.md) or a vision-language model (docs/captions.md) finds more"
        )


def _triplets(artifact: Artifact) -> Iterator[str]:
    for triplet in drawn_for_training(artifact, SAMPLES):
        yield f"triplet: {triplet.reference_id} + “{triplet.modified_texts[0]}” → {triplet.target_id}"
    counts = {why: int(row["count"]) for why, row in artifact.details.get("refused_by_reason", {}).items()}
    refused, rows = sum(counts.values()), int(artifact.summary["rows"])
    if refused > REFUSED_SHARE * (refused + rows):
        why = max(counts, key=lambda reason: counts[reason])
        yield (
            f"warning: triplets: the gates refused {refused:,} of {refused + rows:,}, most for {why!r}: a model learns "
            "little from the rest; look at them in the report, loosen triplets.gates or improve the captions"
        )


def _recall(headline: Mapping[str, Any]) -> Iterator[str]:
    if headline.get("query_set") is None:
        yield f"recall:  none: {' '.join(headline.get('sentences', ['nothing was measured']))}"
        return
    yield f"recall:  {headline['sentences'][0]}"
    if headline.get("caution"):
        yield f"warning: {headline['caution']}"
