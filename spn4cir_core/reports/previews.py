"""A report in small, for places where a whole page has no room: a table as Markdown, a sheet of examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from spn4cir_core.errors import Spn4cirError
from spn4cir_core.evaluation.comparison import Run
from spn4cir_core.images.contact_sheet import contact_sheet
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.reports.comparison_page import comparison_markdown, pictured, run_comparison
from spn4cir_core.reports.contents import Contents
from spn4cir_core.reports.galleries import SHOWN_HITS
from spn4cir_core.reports.page import recall_table, render, without_trivial
from spn4cir_core.reports.thumbnails import Thumbnails
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.roles import SERVED

HEADLINE, EXAMPLES = "headline.md", "examples.jpg"
SHOWN_EXAMPLES, DRAWS = 4, 1000
GONE = (200, 200, 200)


@dataclass(frozen=True)
class Example:
    """A query and its first hits, by image id."""

    text: str
    reference_id: str
    hits: Sequence[str]
    right: frozenset[str]


@dataclass(frozen=True)
class Preview:
    """What a report says in small; no picture where there is nothing to see."""

    markdown: str
    picture: Image.Image | None


def headline_markdown(contents: Contents) -> str:
    """Title, sentences and, where something was measured, the table of the headline's query set."""
    query_set = next((row for row in contents["query_sets"] if row["name"] == contents["headline"]["query_set"]), None)
    query_set = without_trivial(query_set) if query_set else None
    lines = recall_table(query_set) if query_set else []
    shown = [line for line in lines if line["model"] == lines[0]["model"] or line["mode"] == lines[0]["mode"]]
    return render("headline_markdown.jinja", {"headline": contents["headline"], "set": query_set, "lines": shown})


def examples_of(gallery: Sequence[Mapping[str, Any]]) -> list[Example]:
    """The first query of each group of a query set's gallery, see ``galleries.py``."""
    return [
        Example(
            query["text"],
            query["reference"]["image_id"],
            [hit["image_id"] for hit in query["hits"]],
            frozenset(hit["image_id"] for hit in query["hits"] if hit["right"]),
        )
        for group in gallery
        for query in group["queries"][:1]
    ][:SHOWN_EXAMPLES]


def example_sheet(examples: Iterable[Example], thumbnails: Thumbnails) -> Image.Image | None:
    """One row per example: the reference with the text, then the hits, right ones marked; None without examples."""
    tiles: list[tuple[Image.Image, str]] = []
    for example in examples:
        labels = [
            f"{rank + 1}. RIGHT" if hit in example.right else f"{rank + 1}." for rank, hit in enumerate(example.hits)
        ]
        row = [(example.reference_id, f"reference: {example.text}"), *zip(example.hits, labels, strict=True)]
        row = row[: SHOWN_HITS + 1]
        tiles += [(thumbnails.picture(image_id) or Image.new("RGB", (8, 8), GONE), label) for image_id, label in row]
        tiles += [(Image.new("RGB", (8, 8), "white"), "")] * (SHOWN_HITS + 1 - len(row))
    return contact_sheet(tiles, SHOWN_HITS + 1, 112) if tiles else None


def compared_with_before(recipe: str, store: Store, files: ImageFiles) -> Preview | None:
    """The recipe's report against the one before it, with a query won and one lost; None where there was none.

    Reports that cannot be compared (no common queries, an older version, a damaged file) give one sentence instead.
    """
    now, before = store.current(recipe, "eval_report"), store.before(recipe, "eval_report")
    if now is None or before is None:
        return None
    try:
        contents = run_comparison([Run("before", "before", before), Run("now", "now", now)], SERVED.name, "", DRAWS, 0)
    except Spn4cirError as error:
        return Preview(f"Not compared with the report before: {error}\n", None)
    thumbnails = Thumbnails(files, {image_id: image_id for image_id in pictured(contents)})
    return Preview(comparison_markdown(contents), example_sheet(_changed(contents), thumbnails))


def _changed(contents: Mapping[str, Any]) -> list[Example]:
    """One query won and one lost, each as answered before and now."""
    groups = [group for query_set in contents["query_sets"] for group in query_set["changed"]]
    return [
        Example(
            f"{one['query']['modified_text']} ({answer['label']}: place {answer['rank'] + 1})",
            one["query"]["reference_id"],
            answer["hits"],
            frozenset(one["query"]["target_ids"]),
        )
        for group in groups
        for one in group["queries"][:1]
        for answer in one["answers"]
    ][:SHOWN_EXAMPLES]
