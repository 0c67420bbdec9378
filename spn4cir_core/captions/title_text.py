"""Titles, alt texts and descriptions of catalogues, reduced to phrases that say what a picture shows.

Shop exports carry HTML, article codes, ``key: value`` lists and numbers apart from their units. Left in, tags and codes
become words of every modified text, and one list becomes an edit of another's values by chance.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from html.parser import HTMLParser

_BLOCKS = frozenset(["br", "dd", "div", "dt", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "p", "td", "th", "tr"])
_UNSEEN = frozenset(["script", "style", "template"])
_NOTHING = frozenset(
    ["", "-", "--", "?", "n/a", "na", "nan", "no title", "none", "null", "tbd", "undefined", "untitled"]
)
_SIGNS = re.compile("[®™©\u00ad\u200b\u200e\u200f\u2060\ufeff]")
_LABELLED_CODE = re.compile(
    r"[(\[]?\b(?:sku|ean|gtin|upc|asin|isbn|mpn|ref(?:erence)?|art(?:ic[lk]e|ikel)?|item|model|style|product|part)\b\.?"
    r"[\s-]*(?:\b(?:no|nr|num(?:mer|ber)?|code|id)\b\.?|n°|#|:){1,2}\s*[:#]?\s*"
    r"(?=[\w/.-]*\d)[\w/.-]+[)\]]?",
    re.IGNORECASE,
)
_UNIT = r"(?:ml|cl|dl|l|kg|mg|g|oz|lbs?|mm|cm|km|m|inch(?:es)?|ft|kw|w|mah|kb|mb|gb|tb|khz|mhz|ghz|hz|px|mp|°c|°f)"
_BARE_CODE = re.compile(
    rf"[(\[]?(?<![\w.-])(?!\d+(?i:{_UNIT})\b)(?=[A-Z0-9/_-]*\d{{3}})(?:(?=[A-Z0-9/_-]*[A-Z])[A-Z0-9][A-Z0-9/_-]{{5,}}|\d{{8,14}})"
    r"(?![\w.-])[)\]]?",
)
_INCHES = re.compile(r"(\d)\s?(?:\"|″|”|'')(?!\w)")
_DECIMAL_COMMA = re.compile(rf"(?<![\d,])(\d+),(\d{{1,2}})(?=\s?{_UNIT}\b|\s?[x×]\s?\d)", re.IGNORECASE)
_PRODUCT = re.compile(r"(?<=\d)\s?[x×]\s?(?=\d)", re.IGNORECASE)
_NUMBER_AND_UNIT = re.compile(rf"(?<![\w.])(\d+(?:\.\d+)?(?:x\d+(?:\.\d+)?)*)\s({_UNIT}\b|%)", re.IGNORECASE)
_BETWEEN = re.compile(r"\s*(?:[|•·;\n]+|\s[-–—/]\s|,(?!\d))\s*")
_KEY_AND_VALUE = re.compile(r"([^\W\d]\w*(?: [^\W\d]+)?)\s*[:：]\s*(\S.*)")
_SLUG = re.compile(r"[^\W_]{2,}(?:[-_][^\W_]{2,})+")
"""Words joined for a file name or an address: "Arla-Natural-Yoghurt"; not "t-shirt"."""
_OF_A_CAMERA = re.compile(r"(?:img|dsc[nf]?|pict?|image|photo|p)?[\s_-]*\d+(?:\.\w{3,4})?")
_EDGES = ' ,:;-–—/"“”«»'
_VALUE_SAYS_ALL = frozenset(
    re.findall(r"\w+", "caption title name description product kind type material pattern colour color couleur farbe")
)
"""Keys of which the value alone is the phrase: "red", where "size M" needs its key."""


@lru_cache(maxsize=1 << 18)  # each title of a corpus is asked for several times, one pass after the other
def clean_title(text: str, most_words: int = 0) -> str:
    """One line of comma-separated phrases; empty where the text names nothing.

    Tags, entities, article codes and trademark signs go, and the hyphens of a title without spaces; a number and its
    unit are one word ("0.5l", "20x30cm", "27-inch"); of a ``key: value`` list each item is a phrase ("size M, red").

    Args:
        most_words: a longer text is cut at the last sentence or phrase that ends before; 0: never.
    """
    text = unicodedata.normalize("NFC", _SIGNS.sub("", _without_tags(text)))
    text = with_units(without_slug(_without_codes(text).strip()))
    phrases = [_phrase(part) for part in _BETWEEN.split(text)]
    line = ", ".join(phrase for phrase in phrases if phrase)
    return _shortened(line, most_words) if most_words else line


def without_slug(text: str) -> str:
    """The words of a text that is nothing but words joined by hyphens or underscores; any other text as it is."""
    return re.sub("[-_]", " ", text) if _SLUG.fullmatch(text) and re.search("[^\\W\\d_]{3}", text) else text


@lru_cache(maxsize=1 << 16)
def without_keys(text: str) -> str:
    """The phrases of a list of two or more ``key: value`` items ("size M, red"); any other text as it is."""
    parts = _BETWEEN.split(text)
    if sum(_KEY_AND_VALUE.fullmatch(part) is not None for part in parts) < 2:
        return text
    return ", ".join(phrase for phrase in map(_phrase, parts) if phrase)


def is_file_name(text: str, path: str) -> bool:
    """Whether a title is nothing but the picture's file name, with or without its ending, or a camera's number."""
    bare, path = text.strip().casefold(), path.casefold()
    name = path.rsplit("/", 1)[-1]
    return bare in (name, name.rpartition(".")[0], path) or _OF_A_CAMERA.fullmatch(bare) is not None


class _Text(HTMLParser):
    """Collects what a browser would show."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._unseen += tag in _UNSEEN
        self.parts.append("\n" if tag in _BLOCKS else " " if tag == "img" else "")

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in _UNSEEN))
        self.parts.append("\n" if tag in _BLOCKS else "")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data)


def _without_tags(text: str) -> str:
    """The text that HTML shows, also where its entities were escaped twice (``&amp;nbsp;``, ``&lt;b&gt;``)."""
    for _ in range(2):
        if "<" not in text and "&" not in text:
            break
        parser = _Text()
        parser.feed(text)
        parser.close()
        text = "".join(parser.parts)
    return text


def _without_codes(text: str) -> str:
    return _BARE_CODE.sub(" ", _LABELLED_CODE.sub(" ", text))


def with_units(text: str) -> str:
    """The text in which a number and its unit are one word: "0.5l", "20x30cm", "27-inch", "100%"."""
    text = _INCHES.sub(r"\1-inch", text)
    text = _PRODUCT.sub("x", _DECIMAL_COMMA.sub(r"\1.\2", text))
    return _NUMBER_AND_UNIT.sub(r"\1\2", text)


def _phrase(part: str) -> str:
    halved = part.count("(") != part.count(")")
    text = " ".join(part.split()).strip(_EDGES + "()" if halved else _EDGES)
    text = text.removesuffix(".").rstrip()
    if text.casefold() in _NOTHING:
        return ""
    item = _KEY_AND_VALUE.fullmatch(text)
    if item is None:
        return text
    key, value = item.groups()
    if value.casefold() in _NOTHING:
        return ""
    return value if key.casefold() in _VALUE_SAYS_ALL else f"{key.lower()} {value}"


def _shortened(line: str, most_words: int) -> str:
    words = line.split()
    if len(words) <= most_words:
        return line
    start = " ".join(words[:most_words])
    ends = [match.start() for match in re.finditer(r"[.!?,](?=\s)", start)]
    return start[: ends[-1]] if ends else start.rstrip(",.")
