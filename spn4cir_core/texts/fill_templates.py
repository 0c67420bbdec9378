"""Templates chosen and filled for a pair of captions."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from spn4cir_core.texts.differences import Difference, difference
from spn4cir_core.texts.settings import ModifiedTextSettings
from spn4cir_core.texts.wording import worded

NO_CAPTION = "the reference or the target has no caption"
SAY_THE_SAME = "captions say the same"
NO_TEMPLATE = "no template in use applies to this change"
TOO_LONG = "the text and the target's caption are over-long"
FALLBACK = "fallback"
ONLY = ("added", "removed")


@dataclass(frozen=True, order=True)
class Template:
    """One phrasing. ``only`` narrows it to pairs where words were only ``added``, or only ``removed``."""

    id: str
    text: str
    only: str = ""

    def placeholders(self) -> set[str]:
        """Names of the placeholders in the text."""
        return set(_placeholders(self.text))

    def applies(self, values: Mapping[str, str]) -> bool:
        """Whether every placeholder has words, and the change is of the kind that ``only`` asks for."""
        others = [name for name in ONLY if self.only and name != self.only]
        return all(values[name] for name in _placeholders(self.text)) and not any(values[name] for name in others)

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with its placeholders replaced; words of the values are never read as placeholders."""
        return self.text.format_map(values)


class ModifiedTexts(NamedTuple):
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
        reference, target = without_full_stop(reference), without_full_stop(target)
        if not reference or not target:
            return NO_CAPTION
        change, values, applicable = self._change(reference, target)
        drawn = self._choose(pair_id, applicable)
        if not drawn:
            return NO_TEMPLATE if change.added or change.removed else SAY_THE_SAME
        return self._fill(pair_id, drawn, values, change)

    @cached_property
    def _change(self) -> Callable[[str, str], tuple[Difference, Mapping[str, str], list[Template]]]:
        """What leads from one caption to the other, how it is worded, and the templates that apply; remembered, since
        many pairs of pictures have the same captions.
        """

        @lru_cache(maxsize=1 << 13)
        def change(reference: str, target: str) -> tuple[Difference, Mapping[str, str], list[Template]]:
            values = worded(reference, target, apart := difference(reference, target))
            return apart, values, [template for template in self.templates if template.applies(values)]

        return change

    def _choose(self, pair_id: str, applicable: list[Template]) -> list[Template]:
        """All templates, or those drawn: a template added to the bank takes pairs over but moves no other one."""
        if self.settings.choose == "all":
            return applicable
        pair = f"{self.seed}\0{pair_id}\0".encode()
        order = sorted(applicable, key=lambda template: hashlib.sha256(pair + template.id.encode()).digest())
        return order[: self.settings.per_pair]

    def _fill(
        self, pair_id: str, drawn: list[Template], values: Mapping[str, str], change: Difference
    ) -> ModifiedTexts | str:
        """Fill the templates; an over-long text becomes the target's caption (spec §5), once."""
        name_of: dict[str, str] = {}
        for template in drawn:
            name_of.setdefault(template.fill(values), template.id)
        texts: dict[str, tuple[str, int]] = {}
        for text, name in name_of.items():
            if (count := self.count_tokens(text)) <= self.settings.max_tokens:
                texts[text] = name, count
        fallback = len(texts) < len(name_of)
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


def without_full_stop(caption: str) -> str:
    """A caption on one line, without the full stop that would stand inside a template."""
    return " ".join(caption.split()).rstrip(" .")


@lru_cache(maxsize=1 << 10)
def _placeholders(text: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)
