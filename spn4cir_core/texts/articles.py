"""Articles: a thing of the target's gets "a", a thing of the reference's "the", where its caption has one at all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from spn4cir_core.texts.differences import PREPOSITIONS, Phrase, head, phrases_with_articles, words_and_articles

SOUNDS_LIKE_A_CONSONANT = ("uni", "use", "usu", "eu", "one", "once", "uti")
ENDS_LIKE_ONE_THING = ("ss", "us", "is")


def have_articles(caption: str, phrases: Sequence[Phrase]) -> list[bool]:
    """Whether each of the caption's phrases begins with an article there."""
    articles = dict(phrases_with_articles(caption))
    return [bool(articles.get(phrase)) for phrase in phrases]


@lru_cache(maxsize=1 << 16)
def article_before(caption: str, phrase: Phrase) -> str:
    """The article that stands before these words of the caption; empty if there is none, or no such words."""
    words, articles = words_and_articles(caption)
    for start in range(len(words) - len(phrase) + 1 if phrase else 0):
        if words[start : start + len(phrase)] == phrase:
            return articles[start]
    return ""


def with_a(phrase: Phrase, has_article: bool) -> str:
    """ "a red circle", "an olive jar"; "green trousers" for several."""
    text = " ".join(phrase)
    thing = head(phrase)
    several = thing.endswith("s") and not thing.endswith(ENDS_LIKE_ONE_THING)
    if not has_article or several or phrase[0] in PREPOSITIONS:
        return text
    vowel = text[0] in "aeiou" and not text.startswith(SOUNDS_LIKE_A_CONSONANT)
    return f"{'an' if vowel else 'a'} {text}"


def with_the(phrase: Phrase, has_article: bool) -> str:
    """ "the red circle"."""
    text = " ".join(phrase)
    return f"the {text}" if has_article and phrase[0] not in PREPOSITIONS else text
