"""The reference's caption as the modified text changes it: the caption that the target image should have.

The inverse of :mod:`spn4cir_core.texts.differences`, by rules and without a model. Words of one kind replace each other
("make it red": "a blue shirt" becomes "a red shirt"); what no rule understands is put behind the reference's caption.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from spn4cir_core.texts.caption_phrases import BREAKS, STOP, CaptionPhrases
from spn4cir_core.texts.differences import ARTICLES, PREPOSITIONS
from spn4cir_core.texts.edit_clauses import KIND_NAMES, Operation, Words, operations, phrases, tokens
from spn4cir_core.texts.edits import DOING
from spn4cir_core.texts.word_kinds import WordKinds, is_attribute, stem

_NO_SPACES = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Scripts that put no space between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
_PICTURES = frozenset({"icon", "image", "picture", "photo", "photograph", "product", "object", "article"})
"""What people call the picture itself."""
_KNOWN_ONLY = WordKinds()


@dataclass(frozen=True)
class EditedCaption:
    """The caption after the edit, and what changed.

    Attributes:
        added: words of ``caption`` that the reference's caption has not.
        removed: words that the text takes away, by name or by putting another there; none is in ``caption``.
        understood: whether a rule applied; else ``caption`` is the reference's caption and the text.
    """

    caption: str
    added: Words
    removed: Words
    understood: bool


def edit_caption(reference_caption: str, modified_text: str, kinds: WordKinds = _KNOWN_ONLY) -> EditedCaption:
    """Apply a modified text to the reference's caption. An empty caption gives what the text adds."""
    joined = " ".join(filter(None, [reference_caption.strip(), modified_text.strip()]))
    if _NO_SPACES.search(joined):
        return EditedCaption(joined, (modified_text.strip(),) if modified_text.strip() else (), (), False)
    draft = _Draft(tokens(reference_caption), kinds)
    changes = operations(modified_text, reference_caption)
    understood = [draft.apply(change) for change in changes]
    return draft.result(tokens(reference_caption), changes, any(understood))


class _Draft(CaptionPhrases):
    """A caption's tokens while it is edited."""

    def apply(self, change: Operation) -> bool:
        """Carry one operation out; False where it is only appended because no rule knows its words."""
        if change.verb in ("add", "set", "say") and not change.old:
            self._remove_what_lacks(change.new)
            if self._extend(change.new):
                return True
        if change.verb == "remove":
            for phrase in phrases(change.old):
                self._remove(phrase)
        elif change.verb == "replace":
            self._replace(change)
        elif change.verb == "add":
            self._add(change.new)
        elif change.verb == "keep":
            self._keep(change.new)
        elif change.verb == "say" and not self._knows(change.new):
            self._append(change.new)
            return False
        elif change.verb in ("set", "say"):
            self._set(change)
        return True

    def result(self, before: Sequence[str], changes: Sequence[Operation], understood: bool) -> EditedCaption:
        """Tidy up, and list the words that came and went."""
        self.words = _tidied(self.words)
        old, new = {stem(word) for word in before}, {stem(word) for word in self.words}
        named = [word for change in changes if change.verb in ("remove", "replace") for word in change.old]
        gone = {stem(word): word for word in [*named, *before] if word not in STOP and stem(word) not in new}
        come = {stem(word): word for word in self.words if word not in STOP and stem(word) not in old}
        return EditedCaption(_joined(self.words), tuple(come.values()), tuple(gone.values()), understood)

    def _knows(self, words: Words) -> bool:
        return any(is_attribute(word) or self.alike(word, 0, len(self.words)) for word in words)

    def _remove(self, phrase: Words) -> None:
        span = self.find(phrase)
        if span is None:
            return
        start, end = self.segment(span[0])
        if not span[0] <= self.head(start, end) < span[1]:
            del self.words[slice(*span)]
            return
        joint = self.words[start] if self.words[start] in PREPOSITIONS else ""
        end = max(end, span[1])
        rest = self.words[end : end + 2]
        del self.words[start:end]
        if joint and len(rest) == 2 and rest[0] == "and" and rest[1] not in PREPOSITIONS:
            self.words[start] = joint  # "with A and B" loses A

    def _remove_what_lacks(self, words: Words) -> None:
        """Of "sleeveless", the sleeves."""
        for word in words:
            if _lacks(word):
                self._remove((word.removesuffix("less"),))

    def _extend(self, words: Words) -> bool:
        """ "arrow pointing left": the caption's arrow points left; whether the words are of that structure."""
        if len(words) < 2 or not words[1].endswith("ing") or words[1] in DOING or is_attribute(words[0]):
            return False
        span = self.run(words[:1], 0, len(self.words))
        if span is None:
            return False
        end = span[1]
        while end < len(self.words) and (
            self.words[end].endswith("ing") or (end > span[1] and is_attribute(self.words[end]))
        ):
            end += 1
        self.words[span[1] : end] = words[1:]
        return True

    def _replace(self, change: Operation) -> None:
        olds = [phrase for phrase in phrases(change.old) if self.find(phrase)]
        late = [phrase for phrase in phrases(change.old) if phrase not in olds]
        if not olds:
            self._set(Operation("set", change.new)) if self._knows(change.new) else self._add(change.new)
            return
        for phrase in olds[1:]:
            self._remove(phrase)
        start, end = self.find(olds[0]) or (0, 0)
        self.words[start:end] = self._in_place_of(olds[0], self._fitted(olds[0], change.new), start, end)
        for phrase in late:  # "with a box instead of a circle and purple"
            if all(map(is_attribute, phrase)) and len(olds) > 0 and not self.alike(phrase[0], start, end):
                self._set(Operation("set", phrase))

    def _fitted(self, old: Words, new: Words) -> Words:
        """The new words as the caption needs them in the position of the old ones.

        "five apples instead of three" has the caption's apples, "short instead of long sleeves" means short sleeves,
        and "on grass, not sand" follows the caption's own "on".
        """
        if new[:1] and new[0] in PREPOSITIONS and old[0] not in PREPOSITIONS:
            new = new[1:]
        said, thing = _parted(new)
        old_said, old_thing = _parted(old)
        others = [(word, other) for word in said for other in old_said if stem(word) != stem(other)]
        if not any(self.kinds.alike(word, other) for word, other in others):
            return new
        if thing and not old_thing and self.find(thing):
            return said
        return (*said, *old_thing) if old_thing and not thing else new

    def _in_place_of(self, old: Words, new: Words, start: int, end: int) -> list[str]:
        """The new words, with what stands between the old ones where those are as many."""
        if len(old) != len(new) or end - start <= len(old):
            return list(new)
        words, left = self.words[start:end], list(zip(old, new, strict=True))
        for index in range(len(words) - 1, -1, -1):
            if left and stem(words[index]) == stem(left[-1][0]):
                words[index] = left.pop()[1]
        return words

    def _add(self, new: Words) -> None:
        first = (*new[:1], "")[0]
        for phrase in phrases(new):
            said = tuple(word for word in phrase if word not in KIND_NAMES)
            if said and len(said) < len(phrase) and all(map(is_attribute, said)):
                self._set(Operation("set", said))  # "darker colour"
                continue
            span = self.find(phrase)
            if span and span[1] - span[0] < len(phrase) and not self._is_list():
                attributes = tuple(word for word in phrase if is_attribute(word))
                self._set(Operation("set", attributes, tuple(word for word in phrase if word not in attributes)))
            elif not span or span[1] - span[0] < len(phrase):
                joined = first in PREPOSITIONS | DOING
                self._append(phrase) if joined or self._is_list() else self._attach(phrase)

    def _is_list(self) -> bool:
        """Whether the caption lists things: commas, and no preposition that attaches."""
        return "," in self.words and not PREPOSITIONS & set(self.words)

    def _attach(self, phrase: Words) -> None:
        """Put "with X" at the end of the caption's first part, or "and X" if that already has a "with"."""
        end = self.words.index(",") if "," in self.words else len(self.words)
        joint = "and" if "with" in self.words[:end] else "with"
        self.words[end:end] = [joint, *phrase] if end else phrase

    def _append(self, phrase: Words) -> None:
        comma = self.words and (phrase[:1] or ("",))[0] not in PREPOSITIONS | DOING
        self.words += [*([","] if comma else []), *phrase]

    def _keep(self, words: Words) -> None:
        """ "the same trousers": the words are true of the target too, whether or not the caption has them."""
        unsaid = KIND_NAMES | _PICTURES | (STOP - {"and"})
        for phrase in phrases(tuple(word for word in words if word not in unsaid)):
            if not self.find(phrase):
                self._append(phrase)

    def _set(self, change: Operation) -> None:
        self.words = _tidied(self.words)
        start, end = 0, len(self.words)
        if change.old:
            span = self.find(change.old)
            if span is None:
                whole = (*change.new, *change.old)  # "the shirt is black", of a dress
                alike = self.alike(change.old[-1], 0, len(self.words))
                self._set(Operation("set", whole)) if alike else self._add(whole)
                return
            start, end = self.segment(span[0])
            if all(map(is_attribute, change.old)):
                start, end = span
        used: set[int] = set()
        for phrase in phrases(change.new):
            attributes, name = _parted(phrase)
            if change.verb == "say" and name and (_lacks(name[-1]) or not self.kinds.knows_any(name)):
                self._append(name)  # "red somehow": no caption has the word
                name = ()
            if set(name) & (PREPOSITIONS - {"of"}) and not change.old:
                self._add(phrase)
                continue
            own = self.find(name) if name and not change.old and self._is_list() else None
            first, last = self.segment(own[0]) if own else (start, end)
            last += self._set_name(name, first, last, bool(change.old) or (bool(attributes) and not self._is_list()))
            for word in attributes:
                last += self._set_attribute(word, first, last, used)
            end = max(end, last)

    def _set_attribute(self, word: str, start: int, end: int, used: set[int]) -> int:
        """Put an attribute in the position of one of its kind, else before the thing; the number of words added."""
        alike = self.alike(word, start, end)
        free = [index for index in alike if index not in used]
        same = {index for index in alike if stem(self.words[index]) == stem(word)}
        if same:
            used |= same
            return 0
        if free:
            self.words[free[0]] = word
            used.add(free[0])
            return 0
        first, last = self.segment(start)
        index = alike[-1] + 1 if alike else self.name_start(first, last)
        joint = ["and"] if alike else []
        self.words[index:index] = [*joint, word]
        used |= {index + len(joint)}
        return len(joint) + 1

    def _set_name(self, name: Words, start: int, end: int, about: bool) -> int:
        """Put a name in the position of the thing's; the number of words added inside the span.

        Args:
            about: whether the span is the thing that the text speaks of. In a list, another thing may have the name.
        """
        named = self.find(name, start, end) if about and self._is_list() else self.find(name)
        if not set(name) - STOP or named:
            return 0
        before = len(self.words)
        alike = self.alike(name[-1], start, end)
        first, last = self.segment(alike[0] if alike else start)
        whole = not self.words or ((first, last) == (0, len(self.words)) and self.kinds.names_thing(name))
        if alike or about or whole:
            head = self.head(first, last) if last > first else first
            at = self.name_start(first, last)
            self.words[at : head + 1] = name
        else:
            self._append(name)
            return 0
        return len(self.words) - before


def _lacks(word: str) -> bool:
    """ "sleeveless" says what a thing has not."""
    return len(word) > len("unless") and word.endswith("less")


def _parted(words: Words) -> tuple[Words, Words]:
    """Attributes, and the words that name a thing."""
    said = tuple(word for word in words if is_attribute(word))
    return said, tuple(word for word in words if word not in said)


def _tidied(words: list[str]) -> list[str]:
    """Without joints that join nothing any more: "with" before a comma, two commas, "and" at an end."""
    tidy_words: list[str] = []
    for word in words:
        while tidy_words and word in BREAKS and tidy_words[-1] in BREAKS | PREPOSITIONS | ARTICLES:
            tidy_words.pop()
        if tidy_words and tidy_words[-1] == "with" and word in PREPOSITIONS:
            tidy_words.pop()
        if tidy_words or word not in BREAKS:
            tidy_words.append(word)
    while tidy_words and tidy_words[-1] in BREAKS | PREPOSITIONS | ARTICLES:
        tidy_words.pop()
    return [_article(word, after) for word, after in zip(tidy_words, [*tidy_words[1:], ""], strict=False)]


def _article(word: str, after: str) -> str:
    return ("an" if after[:1] in "aeiou" else "a") if word in ("a", "an") and after else word


def _joined(words: Sequence[str]) -> str:
    return re.sub(r" (?=[,;.:!?])", "", " ".join(words))
