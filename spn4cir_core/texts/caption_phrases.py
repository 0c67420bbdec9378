"""Where things and their attributes stand among a caption's words."""

from __future__ import annotations

from spn4cir_core.texts.differences import ARTICLES, PREPOSITIONS
from spn4cir_core.texts.edit_clauses import Words
from spn4cir_core.texts.edits import DOING
from spn4cir_core.texts.word_kinds import WordKinds, is_attribute, stem

BREAKS = frozenset({",", ";", ".", ":", "and", "!", "?"})
PRONOUNS = frozenset({"it", "them", "him", "her"})
STOP = ARTICLES | PREPOSITIONS | PRONOUNS | BREAKS


class CaptionPhrases:
    """A caption's tokens, searched by phrases. Positions are (first, one behind the last)."""

    def __init__(self, words: list[str], kinds: WordKinds) -> None:
        self.words, self.kinds = words, kinds

    def alike(self, word: str, start: int, end: int) -> list[int]:
        """Positions of words of the same kind between two positions."""
        return [
            index
            for index in range(start, min(end, len(self.words)))
            if self.words[index] not in STOP and self.kinds.alike(word, self.words[index])
        ]

    def find(self, phrase: Words, first: int = 0, last: int | None = None) -> tuple[int, int] | None:
        """Where the phrase stands between two positions, its last appearance.

        Words of the caption may stand between its own: "large star" means the "large pink star". Attributes that are
        missing there may be left out.
        """
        last = len(self.words) if last is None else last
        return self.run(phrase, first, last) or self._spread(phrase, first, last) or self._named(phrase, first, last)

    def run(self, phrase: Words, first: int, last: int) -> tuple[int, int] | None:
        """Where the words stand one behind the other between two positions, their last appearance."""
        wanted = [stem(word) for word in phrase]
        for start in range(last - len(wanted), first - 1, -1):
            if [stem(word) for word in self.words[start : start + len(wanted)]] == wanted:
                return start, start + len(wanted)
        return None

    def _spread(self, phrase: Words, first: int, last: int) -> tuple[int, int] | None:
        """The words in their order, in one noun phrase."""
        wanted = [stem(word) for word in phrase]
        for end in range(last, first + len(wanted), -1):
            if wanted and stem(self.words[end - 1]) == wanted[-1]:
                start, left = end - 1, wanted[:-1]
                while left and start > first and self.words[start - 1] not in STOP | DOING:
                    start -= 1
                    if stem(self.words[start]) == left[-1]:
                        left.pop()
                if not left:
                    return start, end
        return None

    def _named(self, phrase: Words, first: int, last: int) -> tuple[int, int] | None:
        """Without some of its first words, if those are attributes."""
        for skipped in range(1, len(phrase)):
            if all(is_attribute(word) for word in phrase[:skipped]):
                span = self.run(phrase[skipped:], first, last)
                if span:
                    return span
        return None

    def segment(self, index: int) -> tuple[int, int]:
        """The noun phrase around a word, with the preposition that it begins with and "around it" behind it."""
        if not self.words:
            return 0, 0
        index = min(index, len(self.words) - 1)
        start, end = index, index + 1
        while start and self.words[start] not in PREPOSITIONS | DOING and self.words[start - 1] not in BREAKS:
            start -= 1
        if self.words[index] in PREPOSITIONS | DOING:
            start = index
        while end < len(self.words) and self.words[end] not in BREAKS:
            pronoun = self.words[end : end + 2][-1] in PRONOUNS
            if self.words[end] in PREPOSITIONS | DOING and not pronoun:
                break
            end += 1
        return start, end

    def head(self, start: int, end: int) -> int:
        """The word that a noun phrase is about: its last one before an inner preposition."""
        inner = [index for index in range(start + 1, end) if self.words[index] in PREPOSITIONS or self._faces(index)]
        return (inner[0] if inner else end) - 1

    def _faces(self, index: int) -> bool:
        """Whether "pointing left" begins there, which says how the thing before it is."""
        before, word, after = (*self.words[index - 1 : index + 2], "")[:3]
        return word.endswith("ing") and is_attribute(after) and before not in STOP

    def name_start(self, start: int, end: int) -> int:
        """The first of the words that name the thing of a noun phrase: those before its head that are no attributes."""
        index = self.head(start, end) if end > start else start
        while index > start and not self._describes(self.words[index - 1]):
            index -= 1
        return index

    def _describes(self, word: str) -> bool:
        return word in STOP or word in DOING or is_attribute(word)
