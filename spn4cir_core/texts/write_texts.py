"""The ``modified_texts`` stage: a template chosen and filled for each pair."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from spn4cir_core.artifacts import Artifact, Store
from spn4cir_core.progress import track
from spn4cir_core.recipe import Recipe
from spn4cir_core.stage import Stage, Work
from spn4cir_core.texts.differences import Difference, difference
from spn4cir_core.texts.settings import ModifiedTextSettings
from spn4cir_core.texts.snapshot_templates import read_templates
from spn4cir_core.texts.templates import Template
from spn4cir_core.texts.token_counts import token_counter, tokenizer_mark
from spn4cir_core.texts.wording import worded

NO_CAPTION = "the reference or the target has no caption"
SAY_THE_SAME = "captions say the same"
NO_TEMPLATE = "no template in use applies to this change"
TOO_LONG = "the text and the target's caption are over-long"
FALLBACK = "fallback"
EXAMPLES_PER_TEMPLATE = 3

SCHEMA = pa.schema(
    [
        ("pair_id", pa.string()),
        ("modified_texts", pa.list_(pa.string())),
        ("template_ids", pa.list_(pa.string())),
        ("added", pa.string()),
        ("removed", pa.string()),
        ("token_count", pa.int32()),
        ("fallback", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class ModifiedTexts:
    """The texts of one pair: a row of ``modified_texts.parquet``."""

    pair_id: str
    modified_texts: tuple[str, ...]
    template_ids: tuple[str, ...]
    added: str
    removed: str
    token_count: int
    fallback: bool


@dataclass(frozen=True)
class TextWriter:
    """Writes the texts of one pair after the other; a pair's texts do not depend on the other pairs."""

    templates: Sequence[Template]
    settings: ModifiedTextSettings
    seed: int
    count_tokens: Callable[[str], int]

    def write(self, pair_id: str, reference: str, target: str) -> ModifiedTexts | str:
        """The pair's texts, or the reason why it gets none.

        Args:
            pair_id: identifies the pair; with the seed it decides which templates are drawn.
            reference: caption of the reference image.
            target: caption of the target image.
        """
        reference, target = tidy(reference), tidy(target)
        if not reference or not target:
            return NO_CAPTION
        change = difference(reference, target)
        values = worded(reference, target, change)
        chosen = self._choose(pair_id, [template for template in self.templates if template.applies(values)])
        if not chosen:
            return NO_TEMPLATE if change.added or change.removed else SAY_THE_SAME
        return self._fill(pair_id, chosen, values, change)

    def _choose(self, pair_id: str, applicable: list[Template]) -> list[Template]:
        """All templates, or those drawn: a template added to the bank takes pairs over but moves no other one."""
        if self.settings.choose == "all":
            return applicable
        order = sorted(applicable, key=lambda template: _draw(self.seed, pair_id, template.id))
        return order[: self.settings.per_pair]

    def _fill(
        self, pair_id: str, chosen: list[Template], values: dict[str, str], change: Difference
    ) -> ModifiedTexts | str:
        """Fill the templates; an over-long text becomes the target's caption (spec §5), once."""
        texts: dict[str, tuple[str, int]] = {}
        for template in chosen:
            text = template.fill(values)
            count = self.count_tokens(text)
            if count <= self.settings.max_tokens:
                texts.setdefault(text, (template.id, count))
        fallback = len(texts) < len({template.fill(values) for template in chosen})
        if fallback and (count := self.count_tokens(values["target"])) <= self.settings.max_tokens:
            texts.setdefault(values["target"], (FALLBACK, count))
        if not texts:
            return TOO_LONG
        return ModifiedTexts(
            pair_id=pair_id,
            modified_texts=tuple(texts),
            template_ids=tuple(name for name, _ in texts.values()),
            added=change.added_text,
            removed=change.removed_text,
            token_count=max(count for _, count in texts.values()),
            fallback=fallback,
        )


def tidy(caption: str) -> str:
    """A caption on one line, without the full stop that would stand inside a template."""
    return " ".join(caption.split()).rstrip(" .")


def _draw(seed: int, pair_id: str, template_id: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{pair_id}\0{template_id}".encode()).digest()


def write_texts(work: Work) -> None:
    """Write ``modified_texts.parquet``."""
    draft, settings = work.draft, work.recipe.modified_texts
    with draft.timed("read"):
        templates = read_templates(work.parents["templates"])
        captions = read_captions(work.parents["captions"])
        pairs = work.parents["pairs"].table(columns=["pair_id", "reference_id", "target_id"])
    writer = TextWriter(templates, settings, work.recipe.seed, token_counter(settings.tokenizer))
    rows: list[ModifiedTexts] = []
    with draft.timed("compute"):
        columns = zip(*(pairs[name].to_pylist() for name in pairs.column_names), strict=True)
        for pair_id, reference, target in track(columns, "modified texts", len(pairs), work.progress):
            written = writer.write(pair_id, captions.get(reference, ""), captions.get(target, ""))
            if isinstance(written, str):
                draft.drop(written)
            else:
                rows.append(written)
        rows.sort(key=lambda row: row.pair_id)
    with draft.timed("write"):
        draft.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMA), "modified_texts.parquet")
    draft.rows = len(rows)
    draft.details |= summarise(rows)


def read_captions(artifact: Artifact) -> dict[str, str]:
    """Captions by image id."""
    table = artifact.table(columns=["image_id", "caption"])
    return dict(zip(table["image_id"].to_pylist(), table["caption"].to_pylist(), strict=True))


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


def tokenizer_outside(recipe: Recipe, store: Store) -> str:
    """What the stage reads from outside the store: a local tokenizer's files."""
    return tokenizer_mark(recipe.modified_texts.tokenizer)


MODIFIED_TEXTS = Stage(
    name="modified_texts",
    parents=("pairs", "captions", "templates"),
    reads=("modified_texts", "seed"),
    version=2,
    write=write_texts,
    outside=tokenizer_outside,
)
