from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from pydantic import Field, field_validator

from spn4cir_core.engine.plugins import Plugin, Room, as_table
from spn4cir_core.errors import RecipeError
from spn4cir_core.store.fingerprints import FingerprintKey, plain


class Loud(Plugin):
    plugin_kind = "loud"
    volume: int = Field(default=3, ge=0)
    channel_count: int = 2


class Renamed(Plugin):
    plugin_kind = "renamed"
    renamed_keys: ClassVar[Mapping[str, str]] = {"volum": "volume"}
    volume: Annotated[int, FingerprintKey("volum")] = 3


class Bystander:
    pass


ROOM = Room(
    "speaker", {"loud": f"{__name__}:Loud", "renamed": f"{__name__}:Renamed", "broken": "no.such.module:Speaker"}
)


def test_a_table_a_name_and_a_dotted_class_give_the_same_member() -> None:
    for value in ({"kind": "loud"}, "loud", {"kind": f"{__name__}:Loud"}, Loud()):
        assert ROOM.build(value) == Loud()
    assert ROOM.build({"kind": "loud", "volume": 5}).volume == 5
    assert as_table(Loud(volume=5)) == {"kind": "loud", "volume": 5, "channel_count": 2}
    assert ROOM.build(as_table(Loud(volume=5))) == Loud(volume=5)


def test_the_kind_is_part_of_the_fingerprinted_settings() -> None:
    assert plain(Loud()) == {"kind": "loud", "volume": 3, "channel_count": 2}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"kind": "lowd"}, r"unknown speaker 'lowd'\. Did you mean 'loud'\?"),
        ({"kind": "zzz"}, r"unknown speaker 'zzz'\. Known: broken, loud, renamed; a class of your own"),
        ({"volume": 1}, "a speaker needs a kind"),
        (7, "a speaker needs a kind, got 7"),
        ({"kind": "loud", "volum": 1}, r"speaker 'loud': unknown key 'volum'; did you mean 'volume'\?"),
        ({"kind": "loud", "zzz": 1}, "unknown key 'zzz'; known keys: channel_count, volume"),
        ({"kind": "loud", "volume": -1}, "volume = -1"),
        (
            {"kind": "broken"},
            r"cannot load 'no\.such\.module:Speaker': No module named 'no'; PYTHONPATH must name its folder",
        ),
        ({"kind": f"{__name__}:Nobody"}, "cannot load"),
        ({"kind": f"{__name__}:Bystander"}, r"\.plugins\.Plugin; derive it from the base class of a speaker"),
    ],
)
def test_what_cannot_be_built_says_why_and_what_is_known(value: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        ROOM.build(value)


def test_a_module_that_lacks_another_package_has_no_hint_at_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lacking_speakers.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RecipeError, match=r"No module named 'no_such_package'$"):
        ROOM.build({"kind": "lacking_speakers:Speaker"})


def test_a_strangers_class_carries_its_dotted_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stranger_speakers.py").write_text(
        "from spn4cir_core.engine.plugins import Plugin\n\n\nclass Mine(Plugin):\n    bass: int = 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        mine = ROOM.build({"kind": "stranger_speakers:Mine", "bass": 4})
        assert as_table(mine) == {"kind": "stranger_speakers:Mine", "bass": 4}
    finally:
        sys.modules.pop("stranger_speakers", None)


def test_members_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Loud().volume = 4  # type: ignore[misc]


def test_an_old_key_is_read_with_one_warning_that_names_the_new_key(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        assert ROOM.build({"kind": "renamed", "volum": 5}) == ROOM.build({"kind": "renamed", "volume": 5})
    assert [record.message for record in caplog.records] == [
        "Renamed: the key 'volum' is now called 'volume'; rename it in your recipe"
    ]


def test_the_old_and_the_new_key_together_are_an_error() -> None:
    with pytest.raises(RecipeError, match="'volum' and 'volume' are the old and the new name of one setting"):
        ROOM.build({"kind": "renamed", "volum": 5, "volume": 5})


def test_a_renamed_setting_keeps_the_fingerprint_of_its_old_name() -> None:
    assert plain(Renamed(volume=4)) == {"kind": "renamed", "volum": 4}
    assert as_table(Renamed(volume=4)) == {"kind": "renamed", "volume": 4}


class Picky(Plugin):
    plugin_kind = "picky"
    words: tuple[str, ...] = ()

    @field_validator("words")
    @classmethod
    def _is_known(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if "no" in words:
            raise ValueError("it says no")
        return words


def test_a_validator_s_error_is_said_in_its_own_words() -> None:
    with pytest.raises(RecipeError) as error:
        Room("speaker", {"picky": f"{__name__}:Picky"}).build({"kind": "picky", "words": ["no"]})
    assert str(error.value) == "speaker 'picky': words = ['no']: it says no"
