"""A modified text as a list of operations: what it adds, removes, sets, replaces and keeps.

Rules, no model: "make it brown, with a belt instead of buttons" gives ``set brown`` and ``replace buttons by belt``.
What no rule knows is one operation ``say`` of all its words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from spn4cir_core.texts.attributes import COLOURS, SHADES
from spn4cir_core.texts.differences import ARTICLES, PREPOSITIONS
from spn4cir_core.texts.edits import DOING
from spn4cir_core.texts.request_wordings import simpler_words
from spn4cir_core.texts.word_kinds import COMPARATIVES, is_attribute

Words = tuple[str, ...]
Verb = Literal["add", "remove", "set", "replace", "keep", "move", "say"]


@dataclass(frozen=True)
class Operation:
    """One change. ``old`` is what goes (``remove``, ``replace``) or what the change is about ("make OLD NEW").

    ``say`` is the verb of words that no rule knows.
    """

    verb: Verb
    new: Words = ()
    old: Words = ()


_COLOUR = "|".join(COLOURS)
_SHADE = "|".join(SHADES)
_TOKEN = re.compile(rf"(?:{_SHADE})\s+(?:{_COLOUR})\b|[\w'’]+(?:-\w+)*|[,;.:!?]|->|→")
_LEAD = re.compile(
    r"^(?:kindly|can you|could you|would you|i want(?: to see)?|i would like|i'd like|i need|i am looking for|"
    r"i'm looking for|i(?:'d| would)? prefer|i(?:'d| would) (?:love|rather have)|(?:can|could|may) i (?:get|have|see)|"
    r"do you (?:have|sell)|have you got|is there|are there|(?:this|that)(?= (?:in|with|without|but|only|just)\b)|"
    r"show(?: me)?|find(?: me)?|give me|look for|looking for|search for|how about|what about|let's|try|like this|"
    r"similar(?: to this)?|identical|it to be|it to have(?= no)|that is|that are|which is|it is|it's|this is|they are|"
    r"it should be|it should(?= have)|should be|should(?= have)|it|is|are|be|now|just|only|then|also|instead|and|but|"
    r"made (?:of|from|out of)|version|ones?|the ones?|an? one|"
    r"(?:that|which)(?= (?:has|have|also|is|not|without))|maybe|perhaps)\b\s*"
)
_SAME = re.compile(
    r"^(?:(?:exactly|almost) )?(?:the|that|this|with the)? ?same\b(?P<what>[^,;.]*?)(?=$|,|;|\.| but\b| just\b| only\b|"
    r" with(?:out)?\b| in\b| not\b| as\b| except\b)"
)
_INSTEAD = re.compile(r"\binstead\b(?! of)")
_REPLACE = [
    re.compile(rf"^{pattern}$")
    for pattern in (
        r"(?:replace|substitute|exchange|swap|trade)s? (?P<old>.+?) (?:by|with|for|to|against) (?P<new>.+)",
        r"(?:with |add |have |has |make it |in )?(?P<new>.+?) (?:instead of|rather than|in place of|replacing) "
        r"(?P<old>.+)",
        r"(?P<new>.+?) where (?P<old>.+?) (?:is|are|was|were|used to be)",
        r"(?P<old>.+?) (?:->|→) (?P<new>.+)",
    )
]
_BECOME = [
    re.compile(rf"^{pattern}$")
    for pattern in (
        r"(?:change|switch)s? from (?P<old>.+?) to (?P<new>.+)",
        r"(?:change|turn|switch|convert|transform|alter|make)s? (?P<old>.+?) (?:into|to|for) (?:be )?(?P<new>.+)",
        r"(?P<old>.+?) (?:becomes?|turns? into|(?:should|must|has to|have to|needs? to) be|is|are) (?P<new>.+)",
        r"from (?P<old>.+?) to (?P<new>.+)",
        rf"(?P<old>(?:(?:{_SHADE}) )?(?:{_COLOUR})) to (?P<new>(?:(?:{_SHADE}) )?(?:{_COLOUR}))",
        r"(?:point|turn|face|flip|rotate)s? (?P<old>.+?) (?:to )?(?:the )?(?P<new>left|right|up|down)",
    )
]
_MAKE = re.compile(r"^(?:make|turn|paint|(?:re)?colou?r|dye|let|have) (?P<what>.+)$")
_MOVE = re.compile(r"^(?:move|shift|put|place) (?P<old>.+?) (?P<new>(?:to|at|on|in|into|onto|near|next) .+)$")
_SET_TO = re.compile(r"^(?:change|turn|switch|set|convert)(?: (?:it|them|this))? (?:in)?to (?P<new>.+)$")
_PRONOUN = re.compile(
    r"^(?:it|them|this|that|everything|the (?:picture|image|photo|thing|item|one))\b\s*(?:into|to|be|as)?\s*"
)
_REMOVE = re.compile(
    r"^(?:without|with no|with out|no longer(?: has| have)?|no more|no|not|remov(?:e|ing)|delet(?:e|ing)|drop(?:ping)?|"
    r"omit(?:ting)?|los(?:e|ing)|minus(?! sign| mark| button| symbol| icon)|less|except|excluding|take away|take off|"
    r"take out|get rid of|leave out|leave off|(?:has|have|having) no|(?:does|do)(?:n't| not) have|lacks?|lacking|"
    r"free of|take(?= .* (?:away|off|out)$))\b(?: any| its| their| (?=\w))? ?(?P<old>.+)$"
)
_REMOVE_AFTER = re.compile(
    r"^(?P<old>.+?) (?:(?:is|are|should be|must be) )?(?:removed|gone|taken away|taken off|dropped|deleted|missing)$"
)
_ADD = re.compile(
    r"^(?:with|additionally|add(?:ing|s)?|includ(?:e|es|ing)|plus(?! sign| mark| button| symbol| icon)|also has|also|"
    r"has|have|having|featuring|give it|attach|insert|put on|with added) (?P<new>.+)$"
)
_ADD_AFTER = re.compile(r"^(?!make |turn |paint |in )(?:with |add |has )?(?P<new>.+?) (?:added|as well|too)$")
_KEEP = re.compile(r"^(?:keep|keeping|leave|retain|preserve|still)s? (?P<new>.+)$")
_SET = re.compile(r"^(?:in|as|into|more|to|go for|use|rather|preferably|ideally|turned|painted|dyed) (?P<new>.+)$")
_IN_COLOUR = re.compile(rf"^in (?:an? |the )?(?:{_COLOUR}|{_SHADE}|colou?r)\b")
_OPERATOR = (
    r"(?:without|with|no|not|more|less|remove|delete|drop|add|minus(?! sign)|plus(?! sign)|in|make|change|replace|swap|"
    r"turn|also|take|keep|has|have|is|are|instead|rather|put|move|lose|omit|give|as|it|that|one|then)\b"
)
_CUT = re.compile(rf"\s*[,;:!?]\s*|\s*\.(?:\s+|$)|\s*\bbut\b\s*|\s+and\s+(?={_OPERATOR})|\s+then\s+")
_INNER_CUT = re.compile(
    rf"\s+(?=(?:without|with|not|minus(?! sign)|no longer)\b)|\s+(?=in (?:an? )?(?:{_COLOUR}|{_SHADE})\b)"
)
_WHOLE = re.compile(r"^(?:replace|substitute|exchange|swap|trade|change|turn|switch|convert|transform|move)\b")
_EXCHANGED = re.compile(r"\b(?:instead of|rather than|in place of)\b")
_GENERIC = frozenset(
    [
        "it",
        "its",
        "them",
        "their",
        "this",
        "that",
        "these",
        "those",
        "one",
        "ones",
        "same",
        "thing",
        "something",
        "anything",
        "everything",
        "rest",
        "else",
        "version",
        "item",
        "please",
        "very",
        "really",
        "slightly",
        "somewhat",
        "bit",
        "only",
        "just",
        "instead",
        "too",
        "also",
        "there",
        "be",
        "is",
        "are",
        "some",
        "any",
    ]
)
_OTHER = frozenset({"different", "another", "other", "new"})
_GENERIC_AT_END = _GENERIC - {"it", "them"}
KIND_NAMES = frozenset(
    [
        "colour",
        "color",
        "colours",
        "colors",
        "size",
        "shape",
        "style",
        "kind",
        "type",
        "pattern",
        "look",
        "number",
        "shade",
        "tone",
    ]
)
"""Say which kind of word changes, and are no word of a caption: "change the colour to red"."""


def operations(text: str, caption: str = "") -> list[Operation]:
    """The operations of a modified text, in its order. Never empty where the text has a word.

    Of "replace A with B with C" the reference's caption says where the old thing ends.
    """
    known = f" {' '.join(word for word in tokens(caption) if word not in ARTICLES)} "
    line = " ".join(_TOKEN.findall(simpler_words(text)))
    line = re.sub(r"\s+([,;.:!?])", r"\1", line)
    operations: list[Operation] = []
    for clause in _clauses(line):
        _append(operations, clause, known)
    if _SAME.match(line) or _INSTEAD.search(line):
        # "the same colour, but trousers", "carrots instead": what is named is meant, known words or not
        operations = [replace(change, verb="set") if change.verb == "say" else change for change in operations]
    return operations


def tokens(text: str) -> list[str]:
    """Words and punctuation in lower case; a shade of a colour ("light blue") is one word."""
    return _TOKEN.findall(text.lower())


def phrases(words: Words) -> list[Words]:
    """The parts of a list: ("lock", "and", "star") gives ("lock",) and ("star",)."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word in ("and", "or", ","):
            parts.append([])
        else:
            parts[-1].append(word)
    return [tuple(part) for part in parts if part]


def _clauses(line: str) -> list[str]:
    """Cut at punctuation, "but", and wherever an operator begins; "not A but B" stays one "B instead of A"."""
    line = re.sub(
        r"\bnot (?P<old>[^,;.]+?),? but(?: rather)? (?P<new>(?!not\b)[^,;.]+)", r"\g<new> instead of \g<old>", line
    )
    line = re.sub(
        r"^(?P<first>(?:instead of|rather than) [^,;.]+?)(?:,| has) (?P<new>[^,;.]+)", r"\g<new> \g<first>", line
    )
    same = _SAME.match(line)
    clauses = []
    if same:
        clauses = [f"keep {same['what'].strip()}"] if same["what"].strip() else []
        line = line[same.end() :]
    for part in _CUT.split(line):
        part = _without_lead(part.strip())
        clauses += [part] if _WHOLE.match(part) else _inner_clauses(part)
    return [clause for clause in clauses if clause]


def _inner_clauses(part: str) -> list[str]:
    """Cut before "with", "without", "not" and "in red", but not inside "a hat with a feather instead of a cap"."""
    cuts = [cut.strip() for cut in _INNER_CUT.split(part)]
    joined = cuts[:1]
    for cut in cuts[1:]:
        before = joined[-1].split()
        attached = cut.startswith("with ") and (
            before[:1] == ["with"]
            or _EXCHANGED.search(joined[-1])
            or (_EXCHANGED.search(cut) and not all(map(is_attribute, _words(" ".join(before)))))
            or (before[:1] == ["without"] and _EXCHANGED.search(part) is not None)
        )
        joined = [*joined[:-1], f"{joined[-1]} {cut}"] if attached else [*joined, cut]
    return joined


def _without_lead(part: str) -> str:
    while (lead := _LEAD.match(part)) and lead.end():
        part = part[lead.end() :]
    return part


def _append(operations: list[Operation], clause: str, known: str) -> None:
    operation = _operation(clause, known)
    last = operations[-1] if operations else None
    if clause.startswith("not ") and last and last.verb in ("set", "add", "say") and last.new and not last.old:
        operations[-1] = Operation("replace", last.new, operation.old)  # "filled, not outlined"
    elif last and last.verb == "add" and clause.startswith("without ") and not _lists(operation, last):
        operations[-1] = Operation("replace", operation.new or last.new, operation.old or last.old)
    elif operation.new or operation.old:
        operations.append(operation)


def _lists(*changes: Operation) -> bool:
    return any(word in ("and", "or") for change in changes for word in (*change.new, *change.old))


def _operation(clause: str, known: str) -> Operation:
    if match := _SET_TO.match(clause) or _KEEP.match(clause):
        return Operation("keep" if match.re is _KEEP else "set", _words(match["new"]))
    if match := _REMOVE_AFTER.match(clause):
        return Operation("remove", old=_words(match["old"]))
    if match := _MOVE.match(clause):
        return Operation("move", _words(match["new"]), _words(match["old"]))
    for pattern in (*_REPLACE, *_BECOME):
        if match := pattern.match(clause):
            old, new = _longest_known(match, known)
            return _exchange("replace" if pattern in _REPLACE else "set", old, new)
    if match := _REMOVE.match(clause):
        return Operation("remove", old=_words(re.sub(r" (?:away|off|out|anymore)$", "", match["old"])))
    if match := _ADD.match(clause) or _ADD_AFTER.match(clause):
        return _added(_words(match["new"]))
    return _made(clause)


def _added(words: Words) -> Operation:
    """ "has more red": no thing is added, but how the whole is changes."""
    more = words[:1] == ("more",) and all(is_attribute(word) or word == "and" for word in words[1:])
    return Operation("set", words[1:]) if more and words[1:] else Operation("add", words)


def _without_kind(words: Words) -> Words:
    """ "pink colour" is pink."""
    return tuple(word for word in words if word not in KIND_NAMES) if any(map(is_attribute, words)) else words


def _longest_known(match: re.Match[str], known: str) -> tuple[str, str]:
    """The old and the new thing, cut where the longest old thing stands in the caption; else at the first joint."""
    clause, best = match.string, (match["old"], match["new"])
    for joint in re.finditer(r" (?=(?:by|with|for|to|into) )", clause):
        if joint.start() > match.start("old") and match.start("old") < match.start("new"):
            old, new = clause[match.start("old") : joint.start()], clause[joint.end() :].partition(" ")[2]
            if new and f" {' '.join(_words(old))} " in known and len(old) > len(best[0]):
                best = (old, new)
    return best


def _exchange(verb: Verb, old_text: str, new_text: str) -> Operation:
    old = tuple(word for word in _words(_PRONOUN.sub("", old_text)) if word not in KIND_NAMES)
    new = _words(re.sub(r"^(?:with|add|have|has|make it|be|in) (?=\w)", "", new_text))
    return Operation(verb if old else "set", new, old)


def _made(clause: str) -> Operation:
    """ "make it red", "make the sleeves long", "in red", "on the beach", or words with no operator at all."""
    if match := _MAKE.match(clause):
        rest = _PRONOUN.sub("", match["what"])
        return Operation("set", _words(rest)) if rest != match["what"] else _made_of(_TOKEN.findall(rest))
    first, _, rest = clause.partition(" ")
    if first in PREPOSITIONS | DOING and rest and not (first == "in" and _IN_COLOUR.match(clause)):
        return Operation("add", (first, *_words(rest)))
    match = _SET.match(clause)
    return Operation("set" if match else "say", _without_kind(_words(match["new"] if match else clause)))


def _made_of(words: list[str]) -> Operation:
    """An article, or the last word, is where that begins which the thing becomes: "the circle a star"."""
    inner = [index for index, word in enumerate(words) if index and word in ("a", "an")]
    start = inner[0] if inner else len(words) - 1
    if not inner and "and" in words[2:-1]:
        start = words.index("and") - 1
    return Operation("set", _words(" ".join(words[start:])), _words(" ".join(words[:start])))


def _words(text: str) -> Words:
    words = [COMPARATIVES.get(word, word) for word in _TOKEN.findall(text) if word not in ARTICLES | {*"!?.:"}]
    while words and words[0] in _GENERIC:
        words.pop(0)
    while words and words[-1] in _GENERIC_AT_END:
        words.pop()
    return () if all(word in KIND_NAMES or word in _OTHER for word in words) else tuple(words)
