from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles, PictureError, as_picture, decode, pixel_sha256


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    root = tmp_path / "root"
    root.mkdir()
    Image.new("RGB", (10, 12), "red").save(root / "red.png")
    Image.new("RGB", (9, 9), "blue").save(tmp_path / "secret.png")
    return ImageFiles(root)


def test_a_picture_below_the_root_opens(files: ImageFiles) -> None:
    image = files.open("red.png")
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (10, 12), (255, 0, 0))


@pytest.mark.parametrize("path", ["../secret.png", "a/../../secret.png", "{outside}/secret.png", "link.png"])
def test_no_path_leaves_the_root(files: ImageFiles, tmp_path: Path, path: str) -> None:
    (files.root / "a").mkdir()
    (files.root / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError, match="outside the root"):
        files.open(path.format(outside=tmp_path))


def test_a_link_that_stays_inside_opens(files: ImageFiles) -> None:
    (files.root / "again.png").symlink_to(files.root / "red.png")
    assert files.open("again.png").size == (10, 12)


@pytest.mark.parametrize("path", ["missing.png", "", ".", "a\0b.png", "x" * 5000, "loop.png", "pipe.png", "\udcff.png"])
def test_what_is_no_regular_file_is_an_input_error_that_names_it(files: ImageFiles, path: str) -> None:
    (files.root / "loop.png").symlink_to("loop.png")
    os.mkfifo(files.root / "pipe.png")
    with pytest.raises(InputError):
        files.open(path)


def test_too_many_pixels_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("RGB", (100, 101)))

    def explode(*_: object) -> None:
        raise AssertionError("decoded")

    with monkeypatch.context() as patch:
        patch.setattr("PIL.ImageFile.ImageFile.load", explode)
        with pytest.raises(PictureError, match=r"too many pixels \(100 x 101, at most 10099"):
            decode(data, 10_099)
    assert decode(data, 10_100).size == (100, 101)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(orientation: int) -> None:
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8], upright[8:, 16:] = (255, 0, 0), (0, 0, 255)
    undo = {  # how a camera stores what the tag then turns upright
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, 1),
        7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
        8: lambda x: np.rot90(x, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo(upright)))
    np.testing.assert_array_equal(np.asarray(decode(encoded(stored, exif=exif), 10**6)), upright)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_upright_picture_is_not_turned_again(orientation: int, tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(6 * 9 * 3, dtype=np.uint8).reshape(6, 9, 3))
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "phone.png", exif=exif)
    once = as_picture(tmp_path / "phone.png")
    assert pixel_sha256(as_picture(once)) == pixel_sha256(once)
    once.save(tmp_path / "again.png")
    assert pixel_sha256(as_picture(tmp_path / "again.png")) == pixel_sha256(once)


def test_damaged_exif_costs_the_orientation_not_the_picture() -> None:
    data = encoded(Image.new("RGB", (20, 10), "green"), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(data, 10**6).size == (20, 10)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(format: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(1, -1).repeat(4, axis=0)
    grey = np.asarray(decode(encoded(Image.fromarray(ramp), format), 10**6))
    np.testing.assert_array_equal(grey[0, :, 0], np.arange(256))


def test_float_and_32_bit_grey_decode() -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(1, -1)
    np.testing.assert_array_equal(
        np.asarray(decode(encoded(Image.fromarray(ramp), "TIFF"), 10**6))[0, :, 1], np.arange(256)
    )
    ints = (np.arange(256, dtype=np.int32) * 257).reshape(1, -1)
    np.testing.assert_array_equal(
        np.asarray(decode(encoded(Image.fromarray(ints), "TIFF"), 10**6))[0, :, 1], np.arange(256)
    )


def test_transparency_is_composited_over_white() -> None:
    rgba = Image.new("RGBA", (4, 1), (255, 0, 255, 0))
    rgba.putpixel((1, 0), (0, 0, 0, 128))
    rgba.putpixel((2, 0), (10, 20, 30, 255))
    pixels = decode(encoded(rgba), 10**6)
    assert [pixels.getpixel((x, 0)) for x in range(4)] == [
        (255, 255, 255),
        (127, 127, 127),
        (10, 20, 30),
        (255, 255, 255),
    ]
    la = Image.new("LA", (1, 1), (0, 0))
    assert decode(encoded(la), 10**6).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([255, 0, 255, 0, 0, 255])
    palette.putpixel((1, 0), 1)
    pixels = decode(encoded(palette, transparency=0), 10**6)
    assert [pixels.getpixel((x, 0)) for x in range(2)] == [(255, 255, 255), (0, 0, 255)]


def white_logo(number: int) -> Image.Image:
    logo = Image.new("RGBA", (32, 32), (255, 255, 255, 0))
    logo.paste((255, 255, 255, 255), (number, 2, 20 + number, 9 + number))
    return logo


def test_white_cut_outs_stay_different_pictures() -> None:
    hashes = {pixel_sha256(decode(encoded(white_logo(number)), 10**6)) for number in range(10)}
    assert len(hashes) == 10
    logo = decode(encoded(white_logo(3)), 10**6)
    assert logo.getpixel((4, 4)) == (255, 255, 255) and logo.getpixel((31, 31)) == (128, 128, 128)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_an_animation_that_fades_in_is_seen_by_its_first_frame_with_content(format: str) -> None:
    frames = [Image.new("RGB", (16, 16), "white") for _ in range(4)]
    for number, frame in enumerate(frames[2:]):
        frame.paste((0, 0, 255), (0, 0, 8, 8 + number))
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], duration=100, **options)
    pixels = decode(data, 10**6)
    assert pixels.getpixel((2, 2)) == (0, 0, 255) and pixels.getpixel((12, 12)) == (255, 255, 255)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_is_taken(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert decode(data, 10**6).getpixel((3, 3)) == (255, 0, 0)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_truncated_file_is_an_error(format: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, format)
    with pytest.raises(PictureError):
        decode(data[: len(data) * 6 // 10], 10**6)


def test_formats_that_start_other_programs_are_not_opened() -> None:
    with pytest.raises(PictureError, match="not a picture"):
        decode(encoded(Image.new("RGB", (8, 8)), "EPS"), 10**6)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"II*\0", b"RIFF"]),
)
def test_random_bytes_are_a_picture_or_a_picture_error(tail: bytes, head: bytes) -> None:
    try:
        assert decode(head + tail, 10**5).mode == "RGB"
    except PictureError as error:
        assert error.reason


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP"]), st.data())
def test_a_picture_with_flipped_bytes_never_escapes(format: str, data: st.DataObject) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (12, 9, 3), dtype=np.uint8))
    raw = bytearray(encoded(noise, format))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert decode(bytes(raw), 10**5).mode == "RGB"
    except PictureError as error:
        assert error.reason


def test_files_located_together_are_those_located_one_by_one(tmp_path: Path) -> None:
    root, linked = tmp_path / "root", tmp_path / "linked"
    for folder in (root / "inner", linked, tmp_path / "outside"):
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(b"a")
    (root / "b.png").write_bytes(b"bb")
    (root / "link.png").symlink_to(root / "b.png")
    (root / "inner" / "allowed.png").symlink_to(linked / "a.png")
    (root / "inner" / "forbidden.png").symlink_to(tmp_path / "outside" / "a.png")
    (root / "loop.png").symlink_to("loop.png")
    (root / "folder_link").symlink_to(linked)
    files = ImageFiles(root, linked_folders=(linked.resolve(),))
    paths = [
        *(
            "b.png",
            "inner/a.png",
            "link.png",
            "inner/allowed.png",
            "inner/forbidden.png",
            "loop.png",
            "folder_link/a.png",
        ),
        *(
            "folder_link/a.png",
            "/b.png",
            "inner",
            "inner/..",
            "inner/../b.png",
            "../outside/a.png",
            "",
            "missing.png",
            "none/a.png",
            "nul\0.png",
        ),
        *(str(root / "b.png"), str(tmp_path / "outside" / "a.png"), "\udcff.png", "x" * 300),
    ]
    one_by_one = {}
    for path in paths:
        with suppress(PictureError):
            one_by_one[path] = str(files.locate(path))
    together = {path: located for path, located, _ in files.locate_all(paths)}
    assert together == one_by_one and len(together) == 7
    assert all(status.st_size == Path(together[path]).stat().st_size for path, _, status in files.locate_all(paths))
