"""What people say on a search page, in the words that the rules of :mod:`spn4cir_core.texts.edit_clauses` know.

Refusals become "without", exceptions "but", what is there "has", and courtesy nothing.
"""

from __future__ import annotations

import re

from spn4cir_core.texts.word_kinds import COMPARATIVES

KIND_NAME = "(?:colou?r|size|shape|style|kind|type|pattern|look|number|shade|tone|material)s?"
_VERB = "(?:add|remove|delete|drop|make|turn|change|replace|swap|with|without|no|in)"
_SIMPLER = [
    (re.compile(pattern), simpler)
    for pattern, simpler in (
        (r"[’]", "'"),
        (r"\b(there|that|it|this)'s\b", r"\1 is"),
        (r"\bw/o\b", "without"),
        (r"\bw/(?= ?\w)", "with "),
        (r"(^|[,;]) *\+ *(?=[a-z])", r"\1 plus "),
        (r"(^|[,;]) *[-–−] *(?=[a-z])", r"\1 without "),
        (rf" *& *(?={_VERB}\b)", " and "),
        (r"[- ]colou?red\b", ""),
        (r"\b(?:any ?more|any longer)\b", ""),
        (r"\bthere (?:is|are|should be|must be)\b", "has"),
        (r"\b(?:do|does|did)(?:n't| not) have\b|\b(?:has|have)(?:n't| not)(?: got)?\b", "without"),
        (r"\b(?:is|are|was|were)(?:n't| not)\b", "not"),
        (
            rf"(?:\bin )?\bany(?:thing| (?:other )?{KIND_NAME}) (?:but|except(?: for)?|other than|than)\b|"
            rf"(?:\bin )?\b(?:something|(?:an?|some|another) (?:other |different )?{KIND_NAME}) (?:other )?than\b|"
            r"\bother than\b",
            "without",
        ),
        (rf"\bexcept(?: for)? (?:the |its )?{KIND_NAME},? (?:which|that|it) (?:is|should be|must be)\b", "but"),
        (r"\bexcept (?:that|it)\b|\bexcept (?=(?:with|in|has)\b)", "but "),
        (
            r"\b(?:(?:keep|keeping|leave|with) )?(?:everything else|all else|the rest|otherwise)"
            r"(?: (?:is|stays?|remains?|being|the same|same|identical|unchanged|as it is))+",
            "",
        ),
        (r"\bwould (?:be (?:much )?(?:better|best|nicer?|good|great|perfect|ideal|fine)|do|work)\b", ""),
        (
            rf"\b(?:a )?(?:little|bit|lot|touch|tad|slightly|somewhat|much|even|far|way) "
            rf"(?=(?:more|less|{'|'.join(COMPARATIVES)})\b)",
            "",
        ),
        (r"\b(?:please|thanks|thank you|if possible|if you can|for a change)\b", ""),
    )
]


def simpler_words(text: str) -> str:
    """The text in lower case and in words that the rules know: "isn't red but blue" is "not red but blue"."""
    line = text.lower()
    for pattern, simpler in _SIMPLER:
        line = pattern.sub(simpler, line)
    return line
