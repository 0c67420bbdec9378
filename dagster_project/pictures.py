"""Pictures small enough to stand inline in an event of Dagster."""

import base64
import io

import dagster as dg
from PIL import Image

PICTURE_BYTES = 60_000


def inline_picture(image: Image.Image, name: str) -> dg.MarkdownMetadataValue:
    """The picture as Markdown, made smaller until the event stays light."""
    shown = image.convert("RGB")
    while True:
        stream = io.BytesIO()
        shown.save(stream, "JPEG", quality=75)
        if stream.tell() <= PICTURE_BYTES or min(shown.size) < 64:
            break
        shown = shown.resize((shown.width * 3 // 4, shown.height * 3 // 4))
    data = base64.b64encode(stream.getvalue()).decode()
    return dg.MetadataValue.md(f"![{name}](data:image/jpeg;base64,{data})")
