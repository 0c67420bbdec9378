"""The ``modified_texts`` stage: a template filled for each pair, or a rewriter's text in its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import compress, islice
from typing import Any

from spn4cir_core.captions.caption_table import read_captions
from spn4cir_core.engine.growth import constant, per_pair
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.pairs.pair_table import read_pairs
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.texts.fill_templates import ModifiedTexts, without_full_stop
from spn4cir_core.texts.rewrite_texts import CaptionedPair, rewrite_texts
from spn4cir_core.texts.settings import ModifiedTextsInput, TemplatesInput
from spn4cir_core.texts.snapshot_templates import read_templates, snapshot_templates, templates_in_use
from spn4cir_core.texts.template_texts import TEXTS_VERSION, write_template_texts
from spn4cir_core.texts.text_table import MODIFIED_TEXTS_FILE, SCHEMA
from spn4cir_core.texts.token_counts import token_counter, tokenizer_mark

EXAMPLES_PER_TEMPLATE = 3


def write_texts(work: Work[ModifiedTextsInput]) -> None:
    """Write ``modified_texts.parquet``.

    Raises:
        InputError: the rewriter's model cannot be used.
        RecipeError: there is no such tokenizer or prompt.
    """
    draft, settings = work.draft, work.settings.modified_texts
    with draft.timed("read"):
        templates = read_templates(work.parents["templates"])
        pairs = _captioned(work.parents["pairs"], read_captions(work.parents["captions"]))
    count_tokens = token_counter(settings.tokenizer)
    written = write_template_texts(work, templates, pairs, count_tokens)
    if settings.rewriter is not None:
        written, rewriting = rewrite_texts(work, settings.rewriter, pairs, written, count_tokens)
        draft.details |= rewriting
    if not work.processes.first:
        return
    for reason, count in Counter(reason for reason in written.values() if isinstance(reason, str)).items():
        draft.drop(reason, count)
    rows = [texts for _, texts in sorted(written.items()) if isinstance(texts, ModifiedTexts)]
    with draft.timed("write"):
        draft.write_rows(map(ModifiedTexts._asdict, rows), SCHEMA, MODIFIED_TEXTS_FILE)
    draft.rows = len(rows)
    draft.details |= summarise(rows)


def _captioned(pairs: Artifact, captions: dict[str, str]) -> list[CaptionedPair]:
    table = read_pairs(pairs, "pair_id", "reference_id", "target_id")
    pair_ids, references, targets = (table[name].to_pylist() for name in table.column_names)
    caption_of = {name: without_full_stop(captions.get(name, "")) for name in {*references, *targets}}
    captions_of_sides = (map(caption_of.__getitem__, names) for names in (references, targets))
    return list(map(CaptionedPair._make, zip(pair_ids, references, targets, *captions_of_sides, strict=True)))


def summarise(rows: Sequence[ModifiedTexts]) -> dict[str, Any]:
    """Counts and examples per template, the share of fallbacks, and lengths."""
    texts = [text for row in rows for text in row.modified_texts]
    names = [name for row in rows for name in row.template_ids]
    per_template = dict(sorted(Counter(names).items()))
    return {
        "texts": len(texts),
        "texts_per_template": per_template,
        "examples": {name: _examples(name, names, texts) for name in per_template},
        "fallback_share": round(sum(row.fallback for row in rows) / len(rows), 4) if rows else 0.0,
        "mean_words": round(sum(map(len, map(str.split, texts))) / len(texts), 2) if texts else 0.0,
        "most_tokens": max((row.token_count for row in rows), default=0),
    }


def _examples(template: str, names: Sequence[str], texts: Sequence[str]) -> list[str]:
    """The first texts of a template."""
    return list(islice(compress(texts, map(template.__eq__, names)), EXAMPLES_PER_TEMPLATE))


def _outside(tables: ModifiedTextsInput, store: Store) -> dict[str, str]:
    """Inputs from outside the store: a local tokenizer's files, a rewriter's weights and prompt."""
    settings = tables.modified_texts
    rewriter = settings.rewriter.texts_fingerprint() if settings.rewriter is not None else ""
    return {"tokenizer": tokenizer_mark(settings.tokenizer), "rewriter": rewriter}


MODIFIED_TEXTS = Stage(
    name="modified_texts",
    parents=("pairs", "captions", "templates", "images"),
    view=ModifiedTextsInput,
    version=TEXTS_VERSION,
    write=write_texts,
    external_inputs=_outside,
    multi_process=True,
    growth=per_pair,
)


TEMPLATES = Stage(
    name="templates",
    parents=(),
    view=TemplatesInput,
    version=1,
    write=snapshot_templates,
    external_inputs=templates_in_use,
    growth=constant,
)
