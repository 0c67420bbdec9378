"""Turn a language model's answers into modified texts, and name the reason where an answer cannot be used."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from spn4cir_core.models.answer_text import without_thoughts
from spn4cir_core.texts.differences import ARTICLES, PREPOSITIONS, bag_of_words

NO_ANSWER = "the model gave no answer"
EMPTY = "an empty answer"
REFUSAL = "a refusal, or words about the task"
REPEATS = "the same words again and again"
TOO_LONG = "an over-long answer"
NAMES_NOTHING = "nothing of the target is named"

_LABEL = re.compile(
    r"^(?:(?:sure|certainly|of course|okay|ok)\b[^:]{0,80}|here(?:'s| is| are)\b[^:]{0,80}|"
    r"(?:the |my |your )?(?:modified |modification |rewritten |short |final |one )*"
    r"(?:text|answer|output|sentence|request|instruction|caption|response|difference|change)s?)\s*:\s*",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"^(?:i\W?a?m sorry|sorry\b|i apologi[sz]e|unfortunately\b|i (?:cannot|can\W?t|can not|am unable|do not|"
    r"don\W?t) |i\W?m unable|as an? (?:ai|language|large)|unable to |"
    r"no (?:visible |obvious )?(?:change|difference)s?\b|"
    r"there (?:is|are) no (?:visible |obvious )?(?:change|difference)|"
    r"(?:both|the two|these) (?:images|pictures|photos|captions|descriptions)\b|"
    r"the (?:images|pictures|captions|descriptions) are (?:identical|the same))",
    re.IGNORECASE,
)
_REPEATED = re.compile(r"(?:^|\s)(\S+(?: \S+){0,3})(?: \1){3}(?=\s|$)", re.IGNORECASE)
_QUOTES = "\"'`“”‘’«»*"


def clean(answer: str) -> str:
    """The text in an answer: one line, without thoughts, "Here is …:", quotes and the final full stop."""
    lines = [" ".join(line.split()) for line in without_thoughts(answer).splitlines()]
    for line in lines:
        text = _bare(_LABEL.sub("", _bare(line)))
        if text:
            return text.removesuffix(".").rstrip()
    return ""


def _bare(text: str) -> str:
    """Without what surrounds a sentence; an apostrophe inside it stays."""
    return text.strip(f"{_QUOTES} -–•").strip()


@dataclass(frozen=True)
class AnswerCheck:
    """Tells a modified text from an answer that is none."""

    count_tokens: Callable[[str], int]
    max_tokens: int
    names_target: bool
    """Whether a text that shares no word with what changes is refused. A model that sees the pictures may well know
    better words than the captions have."""

    def problem(self, text: str, reference: str, target: str) -> str:
        """Why the text cannot be used; empty if it can."""
        if not text:
            return EMPTY
        if _REFUSAL.match(text):
            return REFUSAL
        if _REPEATED.search(text):
            return REPEATS
        if self.count_tokens(text) > self.max_tokens:
            return TOO_LONG
        if self.names_target and not changed_words(reference, target) & {_stem(word) for word in _words(text)}:
            return NAMES_NOTHING
        return ""


def changed_words(reference: str, target: str) -> set[str]:
    """Stems of which a text has to name one: words the target's caption has more of, or else the reference's.

    Where they are the same words in another order, any word of the target will do.
    """
    old, new = bag_of_words(reference), bag_of_words(target)
    for words in (new - old, old - new, new):
        stems = {_stem(word) for phrase in words for word in phrase.split() if word not in PREPOSITIONS}
        if stems:
            return stems
    return {_stem(word) for word in new}


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"[\w'’-]+", text.lower()) if word not in ARTICLES]


def _stem(word: str) -> str:
    """Enough to find "bluer" and "sleeves" by "blue" and "sleeve"."""
    for ending in ("ies", "ing", "er", "es", "ed", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
