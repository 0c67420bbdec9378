"""The language that captions are written in, as far as difference texts need to know it.

A count of words that hardly any sentence does without and that English does not have; no model, no guess about short
titles without such words. Scripts tell the other languages.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

LEAST_SHARE = 0.5
"""The share of captions that must be in another language before it is named."""
ENGLISH = frozenset(
    [
        "a",
        "an",
        "and",
        "at",
        "for",
        "from",
        "has",
        "her",
        "his",
        "is",
        "its",
        "of",
        "on",
        "that",
        "the",
        "there",
        "these",
        "this",
        "to",
        "two",
        "with",
        "without",
    ]
)
FUNCTION_WORDS = {
    "Dutch": "een en het met op van voor zonder zwarte witte rode blauwe",
    "French": "au aux avec dans de des du en et la le les noir noire pour rouge sans sur un une bleu bleue",
    "German": "auf aus blau blaue das dem den der ein eine einem einen einer für im mit ohne rot rote und von weiß",
    "Italian": "con da della delle di gli il in la le per rosso rossa senza un una nero nera",
    "Polish": "bez czarna czarny czerwona czerwony dla i na niebieski w z ze",
    "Portuguese": "azul com da das de do dos em na no o os para preto sem um uma vermelho vermelha",
    "Spanish": "azul con de del el en la las los negro negra para por rojo roja sin un una y",
    "Swedish": "av blå en ett för med och på röd svart till utan",
}
SCRIPTS = {
    "CJK": "Chinese or Japanese characters",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "HANGUL": "Korean",
}
"""What a reader calls a script, by the first word of its characters' Unicode names."""
_WORDS_OF = {language: frozenset(words.split()) for language, words in FUNCTION_WORDS.items()}
_WORDS_OF_ANY = frozenset().union(*_WORDS_OF.values())
_WORD = re.compile(r"[^\W\d_]+")


def foreign_language(captions: Sequence[str]) -> tuple[str, float]:
    """Language, or script where that is not Latin, of most captions that are not English, and the share of these.

    Both are empty where too few captions show another language.
    """
    languages = Counter[str]()
    for caption, count in Counter(captions).items():
        if language := _language(caption):
            languages[language] += count
    share = languages.total() / len(captions) if captions else 0.0
    return (languages.most_common(1)[0][0], share) if share >= LEAST_SHARE else ("", 0.0)


def _language(caption: str) -> str:
    """The language of one caption; empty for English and where nothing tells."""
    if script := _script(caption):
        return script
    words = frozenset(_WORD.findall(caption.lower()))
    if words.isdisjoint(_WORDS_OF_ANY):
        return ""
    counts = {language: len(words & function_words) for language, function_words in _WORDS_OF.items()}
    best = max(counts, key=lambda language: counts[language])
    return best if counts[best] > len(words & ENGLISH) else ""


def _script(caption: str) -> str:
    """The script of the first letter by its Unicode name, for example Arabic; empty for Latin."""
    letter = next(filter(str.isalpha, caption), "")
    name = unicodedata.name(letter, "").partition(" ")[0] if letter else ""
    names = {
        "CJK": "Chinese or Japanese characters",
        "HIRAGANA": "Japanese",
        "KATAKANA": "Japanese",
        "HANGUL": "Korean",
    }
    return "" if name == "LATIN" else names.get(name, name.title())
