"""Words of a search text that nothing in the search knows: mostly misspelt, and nobody would say so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import cache

from spn4cir_core.channels.base import Gallery
from spn4cir_core.texts.caption_words import caption_words
from spn4cir_core.texts.differences import split_phrases
from spn4cir_core.texts.near_words import NearWords
from spn4cir_core.texts.word_kinds import KNOWN_KINDS, is_attribute, stem

LEAST_ALIKE = 0.75
"""Share of equal letters (difflib's ratio) from which a word is offered for another."""
LEAST_LETTERS = 3
_LETTERS = re.compile(rf"[^\W\d_]{{{LEAST_LETTERS},}}", re.ASCII)
"""Numbers, sizes and article codes are no words; scripts other than Latin are read by their characters."""


def unknown_words(text: str, has_word: Callable[[str], bool], gallery: Gallery | None) -> str:
    """A message that names the text's words which no caption and no vocabulary has; empty where there is none.

    Or that captions are searched and have none of the text's words, so that encoders alone read it.

    Args:
        has_word: whether a word is in the vocabulary of an encoder that reads the text.
        gallery: whose captions are searched; None where they are not.
    """

    def is_known(word: str) -> bool:
        return is_attribute(word) or _in(word, gallery) or has_word(word)

    words = list(_words(text))
    if unknown := [word for word in words if not (is_known(word) or all(map(is_known, _parts(word))))]:
        return f"unknown words: {', '.join(_with_nearest(word, gallery) for word in unknown)}"
    if gallery is None or not words or any(_in(word, gallery) for word in words):
        return ""
    return f"no caption has {' or '.join(map(repr, words))}: hits can fit it by meaning at most"


def _words(text: str) -> Iterator[str]:
    """The distinct words that say something and have letters only."""
    words = (word for phrase in split_phrases(text) for word in phrase)
    return (word for word in dict.fromkeys(words) if caption_words(word) and all(map(_LETTERS.fullmatch, _parts(word))))


def _parts(word: str) -> list[str]:
    """What hyphens join, and a shade and its colour ("light blue"), which edits take for one word; without "'s"."""
    return re.split(r"[\s-]+", re.sub(r"['’]s?$", "", word))


def _in(word: str, gallery: Gallery | None) -> bool:
    return gallery is not None and stem(word) in gallery.words.column


def _with_nearest(word: str, gallery: Gallery | None) -> str:
    """The word, and the nearest one of the captions, or of the colours, sizes and patterns that edits know."""
    alike = _known().alike(stem(word), LEAST_ALIKE)
    alike += [] if gallery is None else gallery.words.near.alike(stem(word), LEAST_ALIKE)
    nearest = get_close_matches(stem(word), alike, 1, LEAST_ALIKE)
    return f"{word} (near: {_written(nearest[0], gallery)})" if nearest else word


@cache
def _known_names() -> dict[str, str]:
    """Stem → name of each colour, size and pattern."""
    return {stem(name): name for names in KNOWN_KINDS for name in sorted(names) if " " not in name}


@cache
def _known() -> NearWords:
    return NearWords(_known_names())


def _written(stemmed: str, gallery: Gallery | None) -> str:
    """The word that a stem is of, as it is written in a caption."""
    if stemmed in _known_names() or gallery is None:
        return _known_names().get(stemmed, stemmed)
    caption = gallery.captions[int(gallery.words.rows_with([stemmed], 1)[0])] or ""
    words = (part for phrase in split_phrases(caption) for part in phrase)
    return next((word for word in words if stem(word) == stemmed), stemmed)
