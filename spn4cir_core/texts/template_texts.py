"""The templates' texts of pairs, kept in the store pair by pair: a grown corpus writes those of new pairs alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import starmap
from typing import Any

import pyarrow as pa

from spn4cir_core.engine.batches import RowJob, filled
from spn4cir_core.engine.stage import Work
from spn4cir_core.store.fingerprints import fingerprint, plain
from spn4cir_core.store.rows import Rows, row_key
from spn4cir_core.texts.fill_templates import ModifiedTexts, Template, TextWriter
from spn4cir_core.texts.rewrite_texts import CaptionedPair, Written
from spn4cir_core.texts.settings import ModifiedTextsInput
from spn4cir_core.texts.token_counts import tokenizer_mark

TEXTS_VERSION = 5
"""Version of the stage, and of what the templates' texts of two captions are."""
BATCH_ROWS, SHARD_ROWS = 4096, 1 << 16
READ_BY_WRITER = ("per_pair", "choose", "max_tokens", "tokenizer")
_as_json = json.JSONEncoder(ensure_ascii=False).encode


def write_template_texts(
    work: Work[ModifiedTextsInput],
    templates: Sequence[Template],
    pairs: Sequence[CaptionedPair],
    count_tokens: Callable[[str], int],
) -> Written:
    """Pair id → the templates' texts, or the reason why there are none; new pairs are spread over the processes."""
    settings, seed = work.settings.modified_texts, work.settings.seed
    writer = TextWriter(templates, settings, seed, count_tokens)
    key_of = {pair.pair_id: row_key(pair.pair_id, pair.reference, pair.target) for pair in pairs}
    job = RowJob(
        "modified texts",
        Rows(work.store.rows("template_texts", _writer_fingerprint(work, templates)), pa.string()),
        {key_of[pair.pair_id]: (pair.pair_id, pair.reference, pair.target) for pair in pairs},
        None,
        lambda batch: pa.array(map(_as_text, starmap(writer.write, batch)), pa.string()),
        BATCH_ROWS,
        SHARD_ROWS,
        readers=1,
    )
    texts_of, computed = filled(job, work.progress, work.draft.seconds, work.processes)
    work.draft.details["pairs_with_texts_before"] = len(job.items) - computed
    return dict(zip(key_of, _from_texts(list(key_of), [texts_of[key] for key in key_of.values()]), strict=True))


def _writer_fingerprint(work: Work[ModifiedTextsInput], templates: Sequence[Template]) -> str:
    settings: Mapping[str, Any] = plain(work.settings.modified_texts)
    return fingerprint(
        {
            "version": TEXTS_VERSION,
            "templates": [vars(template) for template in templates],
            "settings": {name: settings[name] for name in READ_BY_WRITER},
            "tokenizer": tokenizer_mark(work.settings.modified_texts.tokenizer),
            "seed": work.settings.seed,
        }
    )


def _as_text(written: ModifiedTexts | str) -> str:
    if isinstance(written, str):
        return _as_json(written)
    return _as_json(written[1:])  # without the pair's id, which is in the key


def _from_texts(pair_ids: Sequence[str], texts: Sequence[str]) -> Iterator[ModifiedTexts | str]:
    """What :func:`_as_text` made of each pair; read as one list, which is much faster than one by one."""
    for pair_id, values in zip(pair_ids, json.loads(f"[{','.join(texts)}]"), strict=True):
        if isinstance(values, str):
            yield values
        else:
            texts_of_pair, template_ids, *rest = values
            yield ModifiedTexts._make((pair_id, tuple(texts_of_pair), tuple(template_ids), *rest))
