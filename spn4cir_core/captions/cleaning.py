"""Captions as models write them, reduced to what they say about the picture.

Vision-language models wrap a caption into thoughts, a greeting, Markdown or quotes, and begin many of them alike ("The
image features a red handbag"). Left in, these words become part of every modified text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from spn4cir_core.models.answer_text import one_line, without_thoughts

_GREETING = re.compile(
    r"^(?:(?:sure|certainly|of course|absolutely|okay|ok|great)\b[^:.!]{0,60}[:.!]\s*)?"
    r"(?:(?:here(?:'s| is| are)\b|(?:the |my |a |your )?(?:\w+ ){0,2}(?:caption|description|answer|response)\b)"
    r"[^:.]{0,80}:\s*)?",
    re.IGNORECASE,
)
_MARKDOWN = re.compile(r"^(?:[#>*•-]+\s+|\d+[.)]\s+)|\*{1,3}|`+|(?<!\w)_{1,2}(?=\w)|(?<=\w)_{1,2}(?!\w)")
_QUOTES = "\"'“”‘’«»"
_PICTURE = r"(?:image|picture|photo|photograph|scene|shot|illustration|drawing)"
_OPENING = re.compile(
    rf"^(?:in|on) (?:the|this) {_PICTURE},? (?:there (?:is|are)|we (?:can )?see|you (?:can )?see|i (?:can )?see) |"
    rf"^(?:the|this|an?) (?:\w+ ){{0,2}}?{_PICTURE}(?: here)? (?:\w+ly )?"
    r"(?:features|depicts|shows|displays|presents|showcases|contains|captures|portrays|illustrates|is of|is a "
    rf"{_PICTURE} of) |"
    rf"^(?:this|it) is (?:the|an?) (?:\w+ ){{0,2}}?{_PICTURE} of |"
    rf"^an? (?:\w+ ){{0,1}}?{_PICTURE} of |"
    r"^there (?:is|are) (?=an? |the |some |two |three |several |many |\d)",
    re.IGNORECASE,
)
SHARED_WORDS = range(6, 1, -1)
"""Lengths in words of an opening that is looked for in the corpus itself, longest first."""
SHARED_BY, SHARED_LEAST = 0.25, 20
"""Share and number of the captions that have to begin with the same words, followed by an article."""
_ARTICLES = ("a", "an", "the", "some", "two", "three", "several")
_VERB = re.compile(r"\w+s$|^(?:is|are|of|with|see|wearing|showing)$")


def clean_captions(captions: Mapping[str, str]) -> dict[str, str]:
    """The captions by the same keys, each without its wrapping; one of which nothing is left becomes empty.

    An opening that at least a quarter of the captions share is removed too, whatever its words: in a corpus of less
    than 20 captions none is.
    """
    bare = {key: clean_caption(caption) for key, caption in captions.items()}
    for opening in shared_openings(list(bare.values())):
        bare = {
            key: caption[len(opening) :].lstrip(" ,:") if caption.lower().startswith(f"{opening} ") else caption
            for key, caption in bare.items()
        }
    return bare


def clean_caption(caption: str) -> str:
    """One caption on one line, without thoughts, greeting, Markdown, quotes, known opening and last full stop."""
    text = one_line(without_thoughts(caption))
    text = _MARKDOWN.sub("", _GREETING.sub("", _MARKDOWN.sub("", text).strip()))
    text = _unquoted(text.strip())
    return one_line(_OPENING.sub("", text))


def shared_openings(captions: list[str]) -> list[str]:
    """Openings, lower case, that many captions share word for word and that lead up to an article."""
    least = max(SHARED_LEAST, SHARED_BY * len(captions))
    words = [caption.lower().split() for caption in captions]
    openings: list[str] = []
    for length in SHARED_WORDS:
        counts = Counter(
            " ".join(row[:length])
            for row in words
            if len(row) > length + 1
            and row[length] in _ARTICLES
            and row[0] not in _ARTICLES[:2]
            and _VERB.search(row[length - 1])
        )
        openings += [opening for opening, count in sorted(counts.items()) if count >= least]
    return openings


def _unquoted(text: str) -> str:
    """Without quotes around the whole; an apostrophe inside stays."""
    return text.strip(_QUOTES).strip() if text[:1] in _QUOTES or text[-1:] in _QUOTES else text
