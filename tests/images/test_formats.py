from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image, features

from spn4cir_core.images import files, formats
from spn4cir_core.images.files import PictureError, decode
from spn4cir_core.images.folder import Folder
from spn4cir_core.images.formats import HEAD_BYTES, format_of
from spn4cir_core.images.manifest import read_dropped_files
from spn4cir_core.images.stage import IMAGES
from spn4cir_core.operations import doctor
from spn4cir_core.recipe import load_recipe
from spn4cir_core.store.artifacts import Store

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
JXL = b"\xff\x0a" + bytes(100)


@pytest.fixture(autouse=True)
def _formats_anew() -> Iterator[None]:
    yield
    formats.readable_formats.cache_clear()


def picture(kind: str, number: int = 0) -> bytes:
    stream = io.BytesIO()
    image = Image.linear_gradient("L").convert("RGB").rotate(90 * (number % 4)).resize((40 + number, 32))
    image.save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000"])
def test_the_first_bytes_tell_the_format(kind: str) -> None:
    codec = {"AVIF": "avif", "WEBP": "webp", "JPEG2000": "jpg_2000"}.get(kind)
    if codec and not features.check(codec):
        pytest.skip(f"Pillow without {codec}")
    assert format_of(picture(kind)[:HEAD_BYTES]) == kind
    assert decode(picture(kind), 10_000).size == (40, 32)


@pytest.mark.parametrize(
    "data", [b"", b"BM", b"P5 is a road", b"RIFF1234WAVE", b"\0\0\0\x18ftypisom", b"%PDF-1.7", b"II"]
)
def test_other_files_are_no_pictures(data: bytes) -> None:
    assert format_of(data) == ""


def test_files_are_pictures_by_their_bytes_where_the_name_does_not_tell(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "pictures"
    (root / "in").mkdir(parents=True)
    names = ["name.jpg?v=1", "bare", "in/b.jpe", "c.HEIC", "d.jpg"]
    for number, name in enumerate(names):
        (root / name).write_bytes(picture("JPEG", number))
    (root / "e.jp2").write_bytes(picture("JPEG2000", 6))
    for name in ("film.mp4", "film2.MP4", "notes.txt", "README"):
        (root / name).write_bytes(b"no picture")
    (root / ".hidden").write_bytes(picture("PNG"))
    os.mkfifo(root / "pipe")
    (tmp_path / "outside").write_bytes(picture("PNG", 9))
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to(root / "loop")
    recipe = load_recipe("demo", {"images": {"reader": {"kind": "folder", "folder": str(root)}}})
    artifact, _ = IMAGES.run(recipe, Store(tmp_path / "store"))
    assert artifact.table()["path"].to_pylist() == sorted([*names, "e.jp2"])
    assert artifact.details["not_read"] == {".mp4": 2, "no extension": 2, ".txt": 1}
    assert "not read as pictures: 2 .mp4, 2 no extension, 1 .txt" in caplog.text
    (finding,) = [symptom.finding for symptom in doctor.pictures(recipe, Store(tmp_path / "store"))]
    assert finding.endswith("; no pictures: 2 .mp4, 2 no extension, 1 .txt")


@pytest.mark.parametrize(("name", "data", "extra"), [("a.heic", HEIC, "heif"), ("a.jxl", JXL, "jxl")])
def test_formats_of_extras_are_counted_with_the_extra_and_read_once_it_is_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    data: bytes,
    extra: str,
) -> None:
    if any(find_spec(module) for _, module in formats.EXTRAS.values()):
        pytest.skip("an extra is installed, also in the processes that decode")
    with pytest.raises(PictureError, match=rf"\[{extra}\] \(pip install 'spn4cir\[{extra}\]'\)"):
        decode(data, 10_000)
    root = tmp_path / "pictures"
    root.mkdir()
    (root / name).write_bytes(data)
    (root / "b.png").write_bytes(picture("PNG"))
    recipe = load_recipe("demo", {"images": {"reader": {"kind": "folder", "folder": str(root)}}})
    store = Store(tmp_path / "store")
    with caplog.at_level(logging.WARNING):
        artifact, _ = IMAGES.run(recipe, store)
    assert artifact.summary["drops"] == {f"{files.NEEDS_EXTRA} [{extra}]": 1}
    assert f"pip install 'spn4cir[{extra}]'" in caplog.text
    assert IMAGES.run(recipe, store)[1]
    monkeypatch.setattr("spn4cir_core.images.stage.readable_formats", lambda: (*formats.FORMATS, "HEIF", "JXL"))
    assert not IMAGES.run(recipe, store)[1]


def test_three_kinds_of_phone_and_archive_pictures_are_three_drops_with_a_reason(tmp_path: Path) -> None:
    if any(find_spec(module) for _, module in formats.EXTRAS.values()):
        pytest.skip("an extra is installed")
    (tmp_path / "a.heic").write_bytes(HEIC)
    (tmp_path / "b.jxl").write_bytes(JXL)
    (tmp_path / "c.jp2").write_bytes(picture("JPEG2000")[:300])
    (tmp_path / "d.jp2").write_bytes(picture("JPEG2000"))
    recipe = load_recipe("demo", {"images": {"reader": {"kind": "folder", "folder": str(tmp_path)}}})
    artifact, _ = IMAGES.run(recipe, Store(tmp_path / "_store"))
    assert artifact.table()["path"].to_pylist() == ["d.jp2"]
    reasons = {row["path"]: row["reason"] for row in read_dropped_files(artifact).to_pylist()}
    needs = {"a.heic": f"{files.NEEDS_EXTRA} [heif]", "b.jxl": f"{files.NEEDS_EXTRA} [jxl]"}
    assert reasons == {**needs, "c.jp2": "cannot be decoded"}


@pytest.mark.parametrize(("kind", "codec"), formats.CODECS.items())
def test_a_format_whose_decoder_pillow_lacks_is_no_unknown_file(
    kind: str, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, check = picture(kind), features.check
    monkeypatch.setattr(features, "check", lambda name: name != codec and check(name))
    formats.readable_formats.cache_clear()
    with pytest.raises(PictureError, match=rf"{files.NEEDS_CODEC} {kind}") as caught:
        decode(data, 10_000)
    assert "pip install" in caught.value.detail


@pytest.mark.parametrize("extra", ["heif", "jxl"])
def test_an_installed_extra_reads_its_format(extra: str) -> None:
    kind, module = next((kind, module) for kind, (name, module) in formats.EXTRAS.items() if name == extra)
    pytest.importorskip(module)
    formats.readable_formats.cache_clear()
    assert kind in formats.readable_formats()
    data = picture(kind)
    assert format_of(data[:HEAD_BYTES]) == kind and decode(data, 10_000).size == (40, 32)


def test_what_lies_outside_the_root_is_not_looked_into(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(picture("PNG"))
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "b.png").write_bytes(picture("PNG"))
    assert [file.path for file in Folder(folder=root).files(tmp_path)] == ["b.png"]
