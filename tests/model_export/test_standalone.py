"""A module with what it uses of the package written into it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from spn4cir_core.model_export import standalone as room
from spn4cir_core.model_export.standalone import standalone


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "__init__.py").touch()
    monkeypatch.setattr(room, "PACKAGE", "toys")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "toys"
    for name in [name for name in sys.modules if name.partition(".")[0] == "toys"]:
        del sys.modules[name]
    room.read_module.cache_clear()


def test_what_it_uses_stands_before_it(package: Path) -> None:
    (package / "low.py").write_text("import math\nROOM, UNUSED = 2, 3\ndef half(x):\n    return math.floor(x / ROOM)\n")
    (package / "top.py").write_text(
        '"""Says."""\nfrom toys.low import half\ndef quarter(x):\n    return half(half(x))\n'
    )
    source = standalone("toys.top")
    assert "toys" not in source and source.startswith('"""Says."""')
    names: dict[str, object] = {}
    exec(source, names)
    assert names["quarter"](9) == 2  # type: ignore[operator]
    assert source.count("ROOM, UNUSED = 2, 3") == 1


def test_one_name_for_two_things_is_refused(package: Path) -> None:
    (package / "low.py").write_text("SIZE = 1\ndef small():\n    return SIZE\n")
    (package / "top.py").write_text("from toys.low import small\nSIZE = 2\ndef large():\n    return small() + SIZE\n")
    with pytest.raises(ValueError, match="both define SIZE"):
        standalone("toys.top")


def test_the_loader_needs_none_of_this_package() -> None:
    source = standalone("spn4cir_core.model_export.loader")
    compile(source, "composed_encoder.py", "exec")
    assert "spn4cir_core" not in source
