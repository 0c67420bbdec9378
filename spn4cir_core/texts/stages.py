"""The ``modified_texts`` stage: a template filled for each pair, or a rewriter's text in its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
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
        draft.write_rows(map(vars, rows), SCHEMA, MODIFIED_TEXTS_FILE)
    draft.rows = len(rows)
    draft.details |= summarise(rows)


def _captioned(pairs: Artifact, captions: dict[str, str]) -> list[CaptionedPair]:
    table = read_pairs(pairs, "pair_id", "reference_id", "target_id")
    columns = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
    return [
        CaptionedPair(
            pair_id, one, two, without_full_stop(captions.get(one, "")), without_full_stop(captions.get(two, ""))
        )
        for pair_id, one, two in columns
    ]


def summarise(rows: Iterable[ModifiedTexts]) -> dict[str, Any]:
    """Counts and examples per template, the share of fallbacks, and lengths."""
    per_template: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    pairs = fallbacks = texts = words = longest = 0
    for row in rows:
        pairs += 1
        fallbacks += row.fallback
        longest = max(longest, row.token_count)
        for name, text in zip(row.template_ids, row.modified_texts, strict=True):
            texts += 1
            words += len(text.split())
            per_template[name] += 1
            if len(examples.setdefault(name, [])) < EXAMPLES_PER_TEMPLATE:
                examples[name].append(text)
    return {
        "texts": texts,
        "texts_per_template": dict(sorted(per_template.items())),
        "examples": dict(sorted(examples.items())),
        "fallback_share": round(fallbacks / pairs, 4) if pairs else 0.0,
        "mean_words": round(words / texts, 2) if texts else 0.0,
        "most_tokens": longest,
    }


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
