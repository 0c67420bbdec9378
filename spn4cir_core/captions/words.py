"""The words of a caption, in any script."""

from __future__ import annotations

import re
from functools import lru_cache

ARTICLES = frozenset({"a", "an", "the"})
_WORD = re.compile(r"\w+(?:['’-]\w+|(?<=\d)\.\d\w*)*")
"""A number with decimals is one word: 0.5l."""
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
"""Scripts that put no space between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
_BREAK = re.compile(r"[,;:!?\n，、；。：]|\.(?=\s|$)|\band\b", re.IGNORECASE)


@lru_cache(maxsize=1 << 18)  # the captions of a corpus are read several times, one pass after the other
def words_of(caption: str) -> tuple[str, ...]:
    """Lower-case words without articles; of a script without spaces, pairs of neighbouring characters."""
    words: list[str] = []
    for word in _WORD.findall(caption.lower()):
        run = _UNSPACED.search(word)
        if run is not None:
            characters = run.group()
            words += [characters[start : start + 2] for start in range(max(1, len(characters) - 1))]
        elif word not in ARTICLES:
            words.append(word)
    return tuple(words)


@lru_cache(maxsize=1 << 16)
def phrases_of(caption: str) -> tuple[tuple[str, ...], ...]:
    """The phrases of a caption, between commas and "and", in alphabetical order: the words of each, in that order too.

    Equal for captions that list the same things, whatever their order.
    """
    return tuple(sorted(filter(None, (tuple(sorted(words_of(part))) for part in _BREAK.split(caption)))))
