"""Ask a rewriter about pairs: each question once, kept in the store, resumed after a kill."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from PIL import Image

from spn4cir_core.engine.batches import fill
from spn4cir_core.engine.stage import Work
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.rows import GivenRows
from spn4cir_core.texts.base import Rewriter, ToRewrite
from spn4cir_core.texts.prompts import fill_prompt
from spn4cir_core.texts.settings import ModifiedTextsInput


@dataclass(frozen=True)
class Answered:
    """What a rewriter said, by pair id; a pair without an answer is missing."""

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
    settings, prompt, mark = work.settings.modified_texts, rewriter.prompt_text(), rewriter.fingerprint()
    keys = {pair.pair_id: rewriter.row_key(pair, fill_prompt(prompt, pair.values)) for pair in pairs}
    items = {keys[pair.pair_id]: pair for pair in reversed(pairs)}
    rows, asking = GivenRows(work.store.rows("modified_texts", mark), pa.string()), _Asking(rewriter, files)
    computed = fill(
        rows,
        items,
        asking.read,
        asking,
        batch_rows=settings.batch_rows,
        shard_rows=settings.shard_rows,
        readers=settings.readers,
        label="rewriting texts",
        progress=work.progress,
        seconds=work.draft.seconds,
        processes=work.processes,
    )
    counts: Counter[str] = Counter()
    for told in work.processes.gather(json.dumps(asking.counts)):
        counts.update(json.loads(told))
    found = rows.values(items)
    details = {
        "rewriter": rewriter.plugin_kind,
        "rewriter_fingerprint": mark,
        "questions": len(items),
        "computed": computed,
        "reused": len(items) - computed,
        **({"rewriter_counts": dict(counts)} if counts else {}),
    }
    return Answered({name: found[key] for name, key in keys.items() if key in found}, details)


class _Asking:
    """Maps a batch of pairs to answers to keep; the model is loaded for the first one."""

    def __init__(self, rewriter: Rewriter, files: ImageFiles) -> None:
        self._rewriter, self._files = rewriter, files
        self._rewrite: (
            Callable[[Sequence[ToRewrite], Sequence[tuple[Image.Image, ...]]], Sequence[str | None]] | None
        ) = None

    @property
    def counts(self) -> dict[str, float]:
        """What the rewriter counted; nothing where it does not count."""
        return dict(getattr(self._rewrite, "counts", {}))

    def read(self, pair: ToRewrite) -> tuple[ToRewrite, tuple[Image.Image, ...]]:
        """The pair with its pictures, where the rewriter sees them."""
        return pair, tuple(self._pictures(pair))

    def _pictures(self, pair: ToRewrite) -> Iterator[Image.Image]:
        if self._rewriter.sees_images:
            yield from (self._files.open(shown.path) for shown in (pair.reference, pair.target))

    def __call__(self, loaded: list[Any]) -> pa.Array:
        if self._rewrite is None:
            self._rewrite = self._rewriter.start()
        pairs, pictures = zip(*loaded, strict=True)
        return pa.array(list(self._rewrite(pairs, pictures)), pa.string())
