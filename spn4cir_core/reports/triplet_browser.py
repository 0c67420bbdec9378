"""A page of triplets to look through: filters, and verdicts to feed back. Self-contained; every string is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib import resources
from itertools import chain, zip_longest
from typing import Any

from spn4cir_core.captions.caption_table import read_captions
from spn4cir_core.errors import StoreError
from spn4cir_core.images.files import image_files
from spn4cir_core.reports.thumbnails import Thumbnails
from spn4cir_core.splits.split_tables import split_of_images
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.triplets.base import GATES
from spn4cir_core.triplets.gate import GateBasis, gate_basis
from spn4cir_core.triplets.gate_triplets import refusals
from spn4cir_core.triplets.refusal_report import read_refused
from spn4cir_core.triplets.scores import Scores, read_scores
from spn4cir_core.triplets.settings import TripletsInput
from spn4cir_core.triplets.triplet import SCHEMA, triplet_of
from spn4cir_core.triplets.triplet_tables import read_triplets
from spn4cir_core.triplets.verdicts import read_verdicts

SIDE_PX = 160
CHANCE = 0.5
"""Share of the images before the target in a random order."""
Row = Mapping[str, Any]


def triplet_browser(recipe: str, tables: TripletsInput, store: Store, triplets: Artifact, count: int) -> str:
    """The page.

    Args:
        recipe: its name.
        tables: name the pictures, the gates' limits, and the verdicts that are given already.
        triplets: the artefact to look at; what it refused is shown as well.
        count: triplets on the page, drawn evenly from each origin and each reason for refusing.

    Raises:
        StoreError: a parent of the triplets is gone from the store.
    """
    rows = [row | {"reason": ""} for row in read_triplets(triplets, *SCHEMA.names).to_pylist()] + read_refused(
        triplets
    ).to_pylist()
    shown = drawn_evenly(rows, count)
    paths = {row[f"{side}_id"]: row[f"{side}_path"] for row in shown for side in ("reference", "target")}
    thumbnails = Thumbnails(image_files(tables.images, store), paths, SIDE_PX)
    basis = _basis(tables, store, triplets)
    script = _resource("triplet_browser.js")
    cards = [_card(row, basis, thumbnails) for row in shown]
    return _render(
        script,
        cards=cards,
        recipe=recipe,
        fingerprint=triplets.fingerprint,
        total=len(rows),
        refused=sum(bool(row["reason"]) for row in rows),
        origins=sorted({row["origin"] for row in shown}),
        templates=sorted({name for row in shown for name in row["template_ids"]}),
        reasons=sorted({row["reason"] for row in shown if row["reason"]}),
        ranked=any(card["scores"].others is not None for card in cards),
        given={name: asdict(item) for name, item in read_verdicts(tables.triplets.verdicts).items()},
    )


def drawn_evenly(rows: Iterable[Row], count: int) -> list[Row]:
    """Rows of every origin and reason in turn, each group in the order of a hash of the ids."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: hashlib.sha256(row["triplet_id"].encode()).digest()):
        groups[row["origin"], row["reason"]].append(row)
    turns = zip_longest(*(groups[name] for name in sorted(groups)))
    return [row for row in chain.from_iterable(turns) if row is not None][:count]


def _basis(tables: TripletsInput, store: Store, triplets: Artifact) -> GateBasis:
    parents = {name: store.get(name, triplets.summary["parents"][name]) for name in ("captions", "splits")}
    captions, splits = parents["captions"], parents["splits"]
    if captions is None or splits is None:
        raise StoreError(f"the captions or splits of triplets {triplets.fingerprint} are gone; run: spn4cir run")
    texts = read_captions(captions)
    captions_of = ((split, texts.get(name, "")) for name, split in split_of_images(splits).items())
    return gate_basis(tables.triplets, captions_of, read_scores(triplets))


def _card(row: Row, basis: GateBasis, thumbnails: Thumbnails) -> dict[str, Any]:
    """What the page shows of a triplet. ``doubts`` are gates that would refuse it, whether they are in use or not."""
    triplet = triplet_of(row)
    doubts = [reason for reason in refusals(triplet, map(GATES.build, GATES.members), basis) if reason != row["reason"]]
    texts = [*row["modified_texts"], row["reference_caption"], row["target_caption"], row["triplet_id"], row["kind"]]
    return {
        **row,
        "doubts": doubts,
        "scores": basis.scores_of(triplet),
        "answers": answers(basis.scores_of(triplet), basis.settings.answered_within),
        "search": " ".join(texts).lower(),
        "reference_uri": thumbnails.uri(row["reference_id"]),
        "target_uri": thumbnails.uri(row["target_id"]),
    }


def answers(scores: Scores, within: int) -> list[str]:
    """What the page filters by: ``text`` or ``reference`` answers alone, ``both`` are needed, both are ``lost``."""
    if scores.text_rank is None or scores.reference_rank is None or scores.round_trip_rank is None:
        return []
    answer_by_triplet = {
        "text": scores.text_rank < within,
        "reference": scores.reference_rank < within,
        "both": scores.round_trip_rank < min(scores.text_rank, scores.reference_rank),
        "lost": (scores.round_trip_share or 0) > CHANCE,
    }
    return [name for name, holds in answer_by_triplet.items() if holds]


def _resource(name: str) -> str:
    return resources.files("spn4cir_core.reports").joinpath(name).read_text(encoding="utf-8")


def _render(script: str, **values: Any) -> str:
    """Fill the template. Only this script may run: the page's policy names its hash."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment.from_string(_resource("triplet_browser.jinja"))
    return page.render(script=Markup(script), script_sha256=script_hash, **values).strip() + "\n"
