"""Ask a rewriter about pairs: each question once; answers are cached in the store, so a killed run resumes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from spn4cir_core.engine.batches import RowJob, fill, text_values
from spn4cir_core.engine.stage import Work
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.store.rows import GivenRows
from spn4cir_core.texts.base import Rewriter, Shown, ToRewrite
from spn4cir_core.texts.prompts import fill_prompt
from spn4cir_core.texts.settings import ModifiedTextsInput


@dataclass(frozen=True)
class Answered:
    """A rewriter's answers by pair id; a pair without an answer is missing."""

    by_pair: Mapping[str, str]
    details: Mapping[str, Any]


def rewrite_pairs(
    work: Work[ModifiedTextsInput], rewriter: Rewriter, pairs: Sequence[ToRewrite], files: ImageFiles
) -> Answered:
    """Answers for the pairs; those that lead to the same question share one.

    Raises:
        InputError: the model cannot be used, or a picture cannot be read.
        RecipeError: the prompt cannot be used.
    """
    settings, prompt, model_fingerprint = work.settings.modified_texts, rewriter.prompt_text(), rewriter.fingerprint()
    keys = {pair.pair_id: rewriter.row_key(pair, fill_prompt(prompt, pair.values)) for pair in pairs}
    items = {keys[pair.pair_id]: pair for pair in reversed(pairs)}
    rows = GivenRows(work.store.rows("modified_texts", model_fingerprint), pa.string())
    rewrite = FirstUse(rewriter.start)
    job = RowJob(
        "rewriting texts",
        rows,
        items,
        lambda pair: (pair, tuple(files.open(shown.path) for shown in _shown_to(rewriter, pair))),
        lambda loaded: text_values(rewrite(*zip(*loaded, strict=True))),
        settings.batch_rows,
        settings.shard_rows,
        settings.readers,
    )
    computed = fill(job, work.progress, work.draft.seconds, work.processes)
    counts: Counter[str] = Counter()
    for process_counts in work.processes.gather(json.dumps(rewrite.counts)):
        counts.update(json.loads(process_counts))
    answers = rows.values(items)
    details = {
        "rewriter": rewriter.plugin_kind,
        "rewriter_fingerprint": model_fingerprint,
        "questions": len(items),
        "computed": computed,
        "reused": len(items) - computed,
        **({"rewriter_counts": dict(counts)} if counts else {}),
    }
    return Answered({name: answers[key] for name, key in keys.items() if key in answers}, details)


def _shown_to(rewriter: Rewriter, pair: ToRewrite) -> tuple[Shown, ...]:
    """The pictures of a pair that the rewriter looks at."""
    return (pair.reference, pair.target) if rewriter.sees_images else ()
