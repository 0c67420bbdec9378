"""Opening pictures of the manifest."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from spn4cir_core.errors import InputError
from spn4cir_core.images.colour_profile import to_srgb
from spn4cir_core.images.formats import (
    EXTRAS,
    FORMATS,
    HEAD_BYTES,
    file_format,
    missing_codec,
    missing_extra,
    readable_formats,
)

if TYPE_CHECKING:
    from spn4cir_core.images.settings import ImageSettings
    from spn4cir_core.store.artifacts import Store

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jfif", ".mpo", ".png", ".apng", ".gif", ".webp", ".bmp", ".dib"}
    | {".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif"}
)
"""Endings by which a file claims to be a picture; of other files the first bytes decide."""
LATER_FORMATS = ("JPEG2000", *EXTRAS)
NEEDS_EXTRA, NEEDS_CODEC = "not read without the extra", "this build of Pillow lacks the decoder of"
"""How the reasons begin that say something about this installation, and nothing about the file."""
NO_SUCH_FILE = "no such file"
FRAMES_TRIED = 32
"""Frames that are tried where an animation begins with frames of one colour, as a fade-in does."""
WHITE, GREY = (255, 255, 255, 255), (128, 128, 128, 255)
WHITE_FROM, WHITE_SHARE = 240, 0.95
"""A pixel is white whose channels are all this high; a cut-out is white that is so by this share of its opacity."""
ORIENTATION_TAG = 0x0112
ORIENTED = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
"""Where an opened picture says how its pixels are to be turned."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PictureError(InputError):
    """A file that cannot be used as a picture; ``reason`` is short and countable, ``detail`` says more."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class ListedPicture:
    """A picture of the manifest that is opened where its pixels are needed."""

    files: ImageFiles
    path: str
    pixel_sha256: str

    def open(self) -> Image.Image:
        """Decode it; errors as :meth:`ImageFiles.open_known`."""
        return self.files.open_known((self.path, self.pixel_sha256))


Picture = str | Path | Image.Image | np.ndarray | ListedPicture
"""A picture as callers have it: a file, a PIL picture, an array (H, W, 3) or (H, W) of uint8, one of the manifest."""


@dataclass(frozen=True)
class ImageFiles:
    """Opens pictures by the paths of the manifest, below one root."""

    root: Path
    max_pixels: int = 50_000_000
    linked_folders: tuple[Path, ...] = ()
    """Folders outside the root that links in it may lead into, resolved."""

    def locate(self, path: str) -> Path:
        """Resolve a path of the manifest to a file below the root.

        Raises:
            PictureError: it leaves the root (by ``..``, an absolute path or a symlink to another than one of the linked
                folders), is no file, or its name is not UTF-8.
        """
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise PictureError("name is not UTF-8", legible(path)) from error
        try:
            root, resolved = self.root.resolve(), (self.root / path).resolve()
            inside, is_file = resolved.is_relative_to(root) or self._is_linked(path, resolved), resolved.is_file()
        except (OSError, RuntimeError, ValueError) as error:  # link loops, NUL characters, over-long names
            raise PictureError("path cannot be used", str(error)) from error
        if not inside:
            hint = f'; [images.reader] links_into = "{resolved.parent}" allows links there' if is_file else ""
            raise PictureError("outside the root", f"{path!r} leads out of {root}{hint}")
        if not is_file:
            raise PictureError(NO_SUCH_FILE, f"{path!r} below {root}")
        return resolved

    def locate_all(self, paths: Iterable[str]) -> Iterator[tuple[str, str, os.stat_result]]:
        """Path of the manifest, resolved path and status of each file that :meth:`locate` gives, without the others.

        Folders are resolved once, and a file in one of them that is no link needs no resolving.
        """
        folders: dict[str, str] = {}
        for path in paths:
            folder, _, name = path.rpartition("/")
            if folder not in folders:
                folders[folder] = self._folder_below_root(folder)
            with suppress(OSError, ValueError):  # a name that is not UTF-8 is a ValueError
                path.encode()
                status = os.lstat(f"{folders[folder]}/{name}")
                if folders[folder] and stat.S_ISREG(status.st_mode) and not path.startswith("/"):
                    yield path, f"{folders[folder]}/{name}", status
                    continue
            with suppress(PictureError):
                located = self.locate(path)
                yield path, str(located), located.stat()

    def _folder_below_root(self, folder: str) -> str:
        """The resolved path of a folder; empty where it is none below the root."""
        try:
            root, resolved = self.root.resolve(), (self.root / folder).resolve()
            return str(resolved) if resolved.is_relative_to(root) else ""
        except (OSError, RuntimeError, ValueError):
            return ""

    def _is_linked(self, path: str, resolved: Path) -> bool:
        """Whether it is a link below the root, by its name, that leads into one of the linked folders."""
        pure = PurePosixPath(path)
        stays = not pure.is_absolute() and ".." not in pure.parts
        return stays and any(resolved.is_relative_to(folder) for folder in self.linked_folders)

    def read(self, path: str) -> bytes:
        """The bytes of one file below the root.

        Raises:
            PictureError: as :meth:`locate`, or the file cannot be read.
        """
        try:
            return self.locate(path).read_bytes()
        except OSError as error:
            raise PictureError("cannot be read", str(error)) from error

    def open(self, path: str) -> Image.Image:
        """Decode one picture: upright (EXIF), sRGB, transparency over white (of white over grey), 16 bit scaled to 8.

        Raises:
            InputError: the path leaves the root, or the file cannot be decoded or is too large.
        """
        try:
            return decode(self.read(path), self.max_pixels)
        except PictureError as error:
            raise PictureError(error.reason, f"{path}: {error.detail}") from error
        except MemoryError as error:
            raise PictureError("not enough memory", f"{path}; lower readers or batch_rows") from error

    def open_known(self, picture: tuple[str, str]) -> Image.Image:
        """Decode a picture of the manifest, given as its path and ``pixel_sha256``. As :meth:`open`.

        Results are stored by the hash of the pixels, so they must come from those pixels, also if files are replaced
        during a run.

        Raises:
            PictureError: it has other pixels by now.
        """
        path, known = picture
        image = self.open(path)
        if pixel_sha256(image) != known:
            raise PictureError("changed since it was listed", f"{path} has other pixels; run again, from images on")
        return image

    def open_as_stored(self, picture: tuple[str, str]) -> Image.Image:
        """The same picture as the file has it: in its own mode, neither turned nor converted, the first frame.

        Raises:
            PictureError: as :meth:`open_known`.
        """
        self.open_known(picture)
        with Image.open(io.BytesIO(self.read(picture[0])), formats=readable_formats()) as image:
            image.load()
            return image.copy()


def pixel_sha256(image: Image.Image | ListedPicture) -> str:
    """The hash by which the manifest knows pictures of equal size and pixels."""
    if isinstance(image, ListedPicture):
        return image.pixel_sha256
    digest = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def image_files(settings: ImageSettings, store: Store) -> ImageFiles:
    """The opener of the recipe's pictures."""
    reader = settings.reader
    return ImageFiles(reader.root(store.root), settings.max_pixels, reader.linked_folders())


def legible(path: str) -> str:
    """A path that can be stored and shown, whatever bytes its name has."""
    return path.encode("utf-8", "backslashreplace").decode()


def decode(data: bytes, max_pixels: int) -> Image.Image:
    """Decode a picture to upright sRGB, whatever its extension; of an animation the first frame that is not one colour.

    The size is checked from the header, before any pixel is decoded; Pillow's own limit against
    decompression bombs (179 million pixels) stays in force above ``max_pixels``.

    Raises:
        PictureError: empty, not a picture, damaged, truncated, or more than ``max_pixels`` pixels.
        MemoryError: this process has no memory left for it, which says nothing about the file.
    """
    if not data:
        raise PictureError("empty file", "0 bytes")
    try:
        with Image.open(io.BytesIO(data), formats=readable_formats()) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise PictureError("too many pixels", f"{width} x {height}, at most {max_pixels} are allowed")
            return upright_rgb(image)
    except (PictureError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        if extra := missing_extra(data[:HEAD_BYTES]):
            raise PictureError(f"{NEEDS_EXTRA} [{extra}]", f"pip install 'spn4cir[{extra}]'") from error
        if name := missing_codec(data[:HEAD_BYTES]):
            raise PictureError(f"{NEEDS_CODEC} {name}", "pip install --force-reinstall pillow") from error
        raise PictureError("not a picture", f"starts with {data[:12]!r}") from error
    except Image.DecompressionBombError as error:
        raise PictureError("too many pixels", str(error)) from error
    except Exception as error:  # decoders meet damaged bytes with errors of many kinds; all mean the same here
        raise PictureError("cannot be decoded", f"{type(error).__name__}: {error}") from error


def as_picture(picture: Picture, max_pixels: int = ImageFiles.max_pixels) -> Image.Image:
    """The picture upright (EXIF) and RGB, transparency over white.

    Raises:
        PictureError: the file cannot be opened or decoded, or the array is not of uint8 with one or three channels.
    """
    if isinstance(picture, ListedPicture):
        return picture.open()
    if isinstance(picture, str | Path):
        path = Path(picture).absolute()
        return ImageFiles(path.parent, max_pixels).open(path.name)
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.shape[2:] not in ((), (3,)) or picture.ndim < 2 or not picture.size:
            raise PictureError("not a picture", f"an array {picture.shape} of {picture.dtype}; give (H, W, 3) of uint8")
        picture = Image.fromarray(picture)
    return _upright(_rgb(picture), picture)


def upright_rgb(opened: Image.Image) -> Image.Image:
    """An opened picture upright (EXIF), sRGB, transparency over white; of an animation the first frame with content."""
    return _upright(_first_with_content(opened), opened)


def is_plain(path: Path) -> bool:
    """Whether a file has neither a colour profile, transparency nor a second frame, by its header, and a format that
    the first version of the decoder read.

    True as well for a file that is not a picture: :func:`decode` says so.
    """
    if file_format(path) in LATER_FORMATS:
        return False
    try:
        with Image.open(path, formats=FORMATS) as image:
            profile = image.info.get("icc_profile") or b""
            foreign = bool(profile) and not _names_srgb(profile)
            return not (foreign or image.has_transparency_data or getattr(image, "n_frames", 1) > 1)
    except Exception:  # as in decode: damaged bytes give errors of many kinds
        return True


def _names_srgb(profile: bytes) -> bool:
    """Whether a profile has the name in it: as ASCII, or as UTF-16 from ICC version 4 on."""
    return b"srgb" in profile.lower() or "srgb".encode("utf-16-be") in profile.lower()


def _first_with_content(image: Image.Image) -> Image.Image:
    """RGB of the first frame that is not of one colour, among the first :data:`FRAMES_TRIED`; else of frame 0."""
    image.load()
    first = _rgb(image)
    is_counted = hasattr(type(image), "n_frames")  # only then are frames counted where one asks, which reads the file
    if not is_counted and getattr(image, "n_frames", 1) == 1:
        return first
    for number in range(1, min(getattr(image, "n_frames", 1), FRAMES_TRIED) if is_one_colour(first) else 1):
        image.seek(number)
        if image.width * image.height > first.width * first.height:
            break  # a page of its own size, not a frame
        image.load()
        if not is_one_colour(later := _rgb(image)):
            return later
    return first


def is_one_colour(image: Image.Image) -> bool:
    """Whether all pixels of an RGB picture are equal."""
    return all(low == high for low, high in cast(tuple[tuple[int, int], ...], image.getextrema()))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_grey_8_bit(image)).convert("RGB")
    managed = to_srgb(image)
    if managed.has_transparency_data:
        layer = managed.convert("RGBA")
        ground = Image.new("RGBA", layer.size, _ground(layer))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return managed.convert("RGB")


def _ground(layer: Image.Image) -> tuple[int, int, int, int]:
    """White; grey where nearly all that is visible is white, and would vanish on it."""
    pixels = np.asarray(layer)
    opacity = pixels[..., 3].astype(np.float64)
    white = opacity[pixels[..., :3].min(axis=2) >= WHITE_FROM].sum()
    return GREY if opacity.any() and white >= WHITE_SHARE * opacity.sum() else WHITE


def _grey_8_bit(image: Image.Image) -> np.ndarray:
    """Scale 16-bit, 32-bit and float grey to 8 bit; convert("L") would clip it."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0, neginf=0)
    largest = float(values.max())
    if image.mode == "F":
        full = 1.0 if largest <= 1 else max(255.0, largest)
    elif image.mode == "I" and largest <= 255:
        full = 255.0
    else:
        full = max(65535.0, largest)
    grey = np.clip(np.rint(values * (255 / full)), 0, 255).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return grey


def _upright(pixels: Image.Image, source: Image.Image) -> Image.Image:
    try:
        orientation = source.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # damaged EXIF says nothing about the pixels, which are decoded by now
        orientation = 1
    turn = UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    if turn is None:
        return pixels
    upright = pixels.transpose(turn)
    for name in ORIENTED:
        upright.info.pop(name, None)  # who reads it would turn the picture once more
    return upright
