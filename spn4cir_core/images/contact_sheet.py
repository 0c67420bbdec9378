"""Contact sheets: many pictures on one, each with its caption below."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

MARGIN_PX, FONT_PX, LINES_MAX = 6, 11, 4
INK, PAPER = (30, 30, 30), (255, 255, 255)


def contact_sheet(
    images: Sequence[tuple[Image.Image, str]], columns: int, side_px: int = 128, height_px: int | None = None
) -> Image.Image:
    """Lay RGB pictures out row by row, each fitted into a square of ``side_px`` with its caption below.

    ``height_px`` is the height of a cell, lower than ``side_px`` where all pictures are known to be wider than high.

    Long captions wrap, and end in "…" after four lines. The same input gives the same pixels.

    Raises:
        ValueError: no pictures, or fewer than one column.
    """
    if not images or columns < 1:
        raise ValueError(f"a contact sheet needs pictures and columns, got {len(images)} and {columns}")
    font = ImageFont.load_default(FONT_PX)
    line_px = sum(font.getmetrics()) + 1 if isinstance(font, ImageFont.FreeTypeFont) else FONT_PX + 2
    wrapped = [_wrap(caption, side_px, font) for _, caption in images]
    columns = min(columns, len(images))
    rows = [range(start, min(start + columns, len(images))) for start in range(0, len(images), columns)]
    cell_px = side_px if height_px is None else height_px
    heights = [cell_px + MARGIN_PX + line_px * max(len(wrapped[index]) for index in row) for row in rows]
    width = columns * (side_px + MARGIN_PX) + MARGIN_PX
    sheet = Image.new("RGB", (width, sum(heights) + MARGIN_PX * (len(rows) + 1)), PAPER)
    draw = ImageDraw.Draw(sheet)
    top = MARGIN_PX
    for row, height in zip(rows, heights, strict=True):
        for column, index in enumerate(row):
            left = MARGIN_PX + column * (side_px + MARGIN_PX)
            thumbnail = _fit(images[index][0], side_px)
            sheet.paste(thumbnail, (left + (side_px - thumbnail.width) // 2, top + (cell_px - thumbnail.height) // 2))
            for number, line in enumerate(wrapped[index]):
                draw.text((left, top + cell_px + 2 + number * line_px), line, INK, font)
        top += height + MARGIN_PX
    return sheet


def _fit(image: Image.Image, side_px: int) -> Image.Image:
    scale = side_px / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.convert("RGB").resize(size, Image.Resampling.BICUBIC)


def _wrap(caption: str, width_px: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in caption.split():
        joined = f"{line} {word}".strip()
        if font.getlength(joined) <= width_px:
            line = joined
            continue
        if line:
            lines.append(line)
        line = word
        while font.getlength(line) > width_px:
            fitting = (size for size in range(len(line) - 1, 0, -1) if font.getlength(line[:size]) <= width_px)
            cut = next(fitting, 1)
            lines.append(line[:cut])
            line = line[cut:]
    lines += [line] if line else []
    if len(lines) <= LINES_MAX:
        return lines
    last = lines[LINES_MAX - 1]
    while last and font.getlength(last + "…") > width_px:
        last = last[:-1]
    return [*lines[: LINES_MAX - 1], last + "…"]
