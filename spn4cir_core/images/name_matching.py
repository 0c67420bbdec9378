"""Names of pictures as tables write them, matched with the files that are there.

Tables come from other machines: with backslashes, another case, another ending, without folders, or as web addresses.
A name is matched where that is unambiguous, and never with a picture that another name fits better.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from spn4cir_core.user_files import parse_json

_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")
_JPEG = {".jpeg", ".jpe", ".jfif", ".jpg"}
_SEVERAL = re.compile(r"\s*[|;,\n]\s*")
COMPARED_FOR_A_HINT = 20_000


@dataclass(frozen=True)
class MatchedNames:
    """The file of each name, and the names that have none."""

    path_of: Mapping[str, str]
    missing: tuple[str, ...]
    present: tuple[str, ...]

    def hint(self) -> str:
        """How many names match nothing, the first, and the picture whose name is nearest; empty where all match."""
        if not self.missing:
            return ""
        first = self.missing[0]
        names = "name of the table matches" if len(self.missing) == 1 else "names of the table match"
        near = difflib.get_close_matches(first, self.present[:COMPARED_FOR_A_HINT], n=1, cutoff=0.0)
        nearest = f"the nearest picture is {near[0]!r}" if near else "there is no picture"
        return f"{len(self.missing)} {names} no picture, e.g. {first!r}; {nearest}"


def match_names(names: Collection[str], present: Iterable[str]) -> MatchedNames:
    """Match names with paths, both POSIX style and relative to one folder.

    A name is the path itself; else, where one picture fits best and no other name fits it as well: the same path in
    another spelling of case or Unicode, with another ending (``.JPG``, none), with other folders, or an address of it.
    """
    paths = tuple(present)
    known = set(paths)
    path_of = {name: written for name in names if (written := _as_written(name, known))}
    stems = {name: folded_stem(name) for name in names if name not in path_of}
    by_stem: dict[str, list[str]] = defaultdict(list)
    for path in paths if stems else ():
        by_stem[folded_stem(path)].append(path)
    guesses = {name: _best(name, by_stem[stem]) for name, stem in stems.items() if stem}
    taken, wanted = set(path_of.values()), Counter(guesses.values())
    path_of |= {name: path for name, path in guesses.items() if path and path not in taken and wanted[path] == 1}
    return MatchedNames(path_of, tuple(name for name in names if name not in path_of), paths)


def several_names(value: str) -> list[str]:
    """The names in a cell that lists several pictures, as shop exports do; one name where it does not."""
    if value.startswith("["):
        with suppress(ValueError):
            return [item.strip() for item in parse_json(value) if isinstance(item, str) and item.strip()]
    parts = [part for part in _SEVERAL.split(value) if part]
    return parts if len(parts) > 1 and all(_ENDING.search(_base(part)) for part in parts) else [value.strip()]


def _as_written(name: str, known: set[str]) -> str:
    if name in known:
        return name
    spellings = (PurePosixPath(form).as_posix() for form in (name, *_forms(name)))
    return next((form for form in spellings if form in known), "")


def _forms(name: str) -> list[str]:
    """The name with slashes, as a path of an address, and without percent signs."""
    slashed = name.replace("\\", "/")
    path = urlsplit(slashed).path.lstrip("/") if "://" in slashed else slashed
    return [slashed, path, unquote(path)]


def _parts(name: str) -> tuple[str, ...]:
    """Folders and file name without differences of case and Unicode; none of a name that leads elsewhere."""
    parts = PurePosixPath(unicodedata.normalize("NFC", _forms(name)[-1]).casefold()).parts
    return () if ".." in parts else parts


def _base(name: str) -> str:
    return (_parts(name) or ("",))[-1].partition("?")[0]


def folded_stem(name: str) -> str:
    """The file name without folders, ending and differences of case and Unicode."""
    return _ENDING.sub("", _base(name))


def _ending(name: str) -> str:
    match = _ENDING.search(_base(name))
    ending = match.group() if match else ""
    return ".jpg" if ending in _JPEG else ending


def _best(name: str, candidates: list[str]) -> str:
    """The one candidate that shares most trailing folders, then the ending; empty where two do."""

    def fit(path: str) -> tuple[int, bool]:
        folders = zip(reversed(_parts(name)[:-1]), reversed(_parts(path)[:-1]), strict=False)
        shared = 0
        for ours, theirs in folders:
            if ours != theirs:
                break
            shared += 1
        return shared, _ending(path) == _ending(name)

    ranked = sorted(candidates, key=fit, reverse=True)
    return ranked[0] if ranked and (len(ranked) == 1 or fit(ranked[0]) > fit(ranked[1])) else ""
