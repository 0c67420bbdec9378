"""Uploads of strangers: what is no usable picture, and forms that are too large or broken, get one clear sentence."""

from __future__ import annotations

import io
import multiprocessing
import tempfile
import zlib
from pathlib import Path

import pytest
from PIL import Image

from spn4cir_core.images.files import ImageFiles
from spn4cir_core.search.models import Models
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.service import SearchService

pytest.importorskip("fastapi", reason="the extra serve is not installed")
from starlette.testclient import TestClient

from spn4cir_core.search.api import create_app
from spn4cir_core.search.search_form import MAX_UPLOAD_BYTES
from tests.search.test_api import ask, png

REFUSED = {
    "truncated.jpg": "cannot be decoded",
    "zero_byte.jpg": "empty file",
    "text_renamed.jpg": "not a picture",
    "bomb_30000x30000_1bit.png": "too many pixels",
    "corrupt_idat.png": "cannot be decoded",
    "truncated.png": "cannot be decoded",
    "notes.txt": "not a picture",
}


@pytest.fixture(scope="module")
def client(service: SearchService) -> TestClient:
    return TestClient(create_app(service, "toys"), base_url="http://127.0.0.1", raise_server_exceptions=False)


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def with_chunk(kind: bytes, data: bytes) -> bytes:
    """A good PNG with one chunk more, after its header."""
    good = png(Image.new("RGB", (9, 9)))
    return good[:33] + chunk(kind, data) + good[33:]


def large_jpeg(side: int) -> bytes:
    """A grey JPEG of side² pixels that weighs little."""
    stream = io.BytesIO()
    Image.new("L", (side, side)).save(stream, "JPEG", quality=1)
    return stream.getvalue()


HOSTILE = {
    "nothing": (b"", "empty file"),
    "no picture": (b"this is text, whatever it is called", "not a picture"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "not a picture"),
    "svg after a declaration": (
        b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg/>',
        "not a picture",
    ),
    "html": (b"<!doctype html><img src=x>", "not a picture"),
    "pdf": (b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj", "not a picture"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage", "not a picture"),
    "zip": (b"PK\x03\x04" + bytes(60), "not a picture"),
    "a signature alone": (b"\x89PNG\r\n\x1a\n", "not a picture"),
    "truncated png": (png(Image.effect_noise((64, 64), 90))[:900], "cannot be decoded"),
    "truncated jpeg": (large_jpeg(64)[:-200], "cannot be decoded"),
    "bomb of pixels": (large_jpeg(7_100), "too many pixels"),
    "bomb of bytes in a text": (with_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000))), "cannot be decoded"),
    "bomb of bytes in a profile": (
        with_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(80_000_000))),
        "cannot be decoded",
    ),
}


def test_a_server_that_ends_ends_its_decoder(searcher: Searcher, pictures: Path) -> None:
    service, others = SearchService(Models(searcher), ImageFiles(pictures)), set(multiprocessing.active_children())
    with TestClient(create_app(service, "toys"), base_url="http://127.0.0.1") as client:
        assert ask(client, png(Image.new("RGB", (9, 9))), text="in red").status_code == 200
        assert len(set(multiprocessing.active_children()) - others) == 1
    assert not set(multiprocessing.active_children()) - others


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_usable_picture_is_refused_in_one_sentence(client: TestClient, name: str) -> None:
    upload, says = HOSTILE[name]
    answer = ask(client, upload, text="in red")
    assert answer.status_code == 422, answer.text
    assert answer.json() == {"error": answer.json()["error"]}
    assert answer.json()["error"].startswith(f"the picture cannot be used: {says}")
    assert len(answer.json()["error"]) < 300 and "Traceback" not in answer.text


@pytest.mark.parametrize("kind", ["image/svg+xml", "text/html", "application/octet-stream", "nonsense"])
def test_the_type_is_found_by_decoding_not_by_what_is_claimed(client: TestClient, kind: str) -> None:
    files = {"image": ("x.svg", png(Image.new("RGB", (9, 9))), kind)}
    assert client.post("/api/search", data={"query": "image"}, files=files).status_code == 200


@pytest.mark.parametrize(
    "form",
    [
        {"text": "r" * 3_000_000},
        {f"field{number}": "x" for number in range(1100)},
        {"x" * 60_000: "y" * 60_000, "text": "red"},
    ],
    ids=["a huge field", "many fields", "a huge name"],
)
def test_forms_that_are_too_large_are_refused_in_one_sentence(client: TestClient, form: dict[str, str]) -> None:
    answer = client.post("/api/search", data=form, files={"image": ("x.png", png(Image.new("RGB", (9, 9))))})
    assert answer.status_code in (400, 413, 422), answer.status_code
    assert answer.json() == {"error": answer.json()["error"]} and 0 < len(answer.json()["error"]) < 300


def test_many_files_are_refused_and_nothing_of_them_is_kept(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made: list[Path] = []
    real = tempfile.SpooledTemporaryFile.rollover
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", lambda file: (made.append(tmp_path), real(file))[1])
    large = bytes(3_000_000)
    answer = client.post("/api/search", files=[("image", ("../../x.png", large)) for _ in range(3)])
    assert answer.status_code == 422 and made  # they went through the temporary folder
    assert list(tmp_path.iterdir()) == []


@pytest.mark.data
def test_hostile_uploads_are_refused_and_odd_ones_answered(client: TestClient, shared_data: Path) -> None:
    for path in sorted((shared_data / "hostile").iterdir()):
        if path.suffix == ".csv":
            continue
        answer = ask(client, path.read_bytes(), text="in red")
        if path.name in REFUSED:
            assert answer.status_code == 422 and REFUSED[path.name] in answer.json()["error"], path.name
        else:
            assert answer.status_code == 200 and len(answer.json()["hits"]) == 12, path.name


def test_a_bomb_is_refused_from_its_header(client: TestClient) -> None:
    bomb = bytearray(png(Image.new("1", (8, 8))))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    answer = ask(client, bytes(bomb), text="red")
    assert answer.status_code == 422 and "too many pixels" in answer.json()["error"]


def test_the_recipes_limit_of_pixels_holds_for_uploads(searcher: Searcher, pictures: Path) -> None:
    strict = create_app(SearchService(Models(searcher), ImageFiles(pictures, max_pixels=2000)), "x")
    answer = ask(TestClient(strict, "http://localhost"), png(Image.new("RGB", (50, 41))), text="red")
    assert answer.status_code == 422 and "at most 2000" in answer.json()["error"]


@pytest.mark.parametrize("size", [MAX_UPLOAD_BYTES + 1, MAX_UPLOAD_BYTES + 200_000])
def test_large_uploads_are_refused(client: TestClient, size: int) -> None:
    answer = ask(client, bytes(size), text="red")
    assert answer.status_code == 413 and "10 MB" in answer.json()["error"]


def test_a_body_of_unknown_length_is_refused(client: TestClient) -> None:
    answer = client.post("/api/search", content=iter([b"x" * 10]))
    assert answer.status_code == 411 and "Content-Length" in answer.json()["error"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=b", b"--b\r\nnonsense"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n\xff\r\n--b--'),
        ("application/json", b'{"text": "red"}'),
        ("text/plain", b""),
    ],
)
def test_broken_forms_are_refused(client: TestClient, kind: str, body: bytes) -> None:
    answer = client.post("/api/search", content=body, headers={"content-type": kind})
    assert answer.status_code in (400, 415, 422) and answer.json()["error"]
