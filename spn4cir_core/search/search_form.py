"""What a request for a search may hold: fields of a form, and their limits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated

from fastapi import File, Form, Request, UploadFile
from pydantic import Field
from starlette.exceptions import HTTPException

from spn4cir_core.search.requested_search import QueryKind
from spn4cir_core.training.roles import ModelName

MAX_UPLOAD_BYTES = 10_000_000
MAX_FORM_BYTES = 64_000
"""What a request may be longer than the picture in it."""
MAX_TEXT = 1000
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
QUERIES = (
    "`composed`: with reference image and text; `image` and `text`: with one of them alone; `sum`: with both, their "
    "vectors only added (what a composing network has to beat)."
)
CONDITIONS = (
    "What hits must have, as `COLUMN=VALUE`, such as `colour=red`; `/api/filters` lists both. Several of one column: "
    "any of them; all columns must agree."
)
Condition = Annotated[str, Field(max_length=1000)]
ImageId = Annotated[str, Field(max_length=4096)]

Text = Annotated[str, Form(max_length=MAX_TEXT, description="What should be different.")]
ImageIds = Annotated[list[ImageId], Form(description="Reference images of the index; mostly one.")]
Uploads = Annotated[list[UploadFile], File(description="Or pictures, at most 10 MB together.")]
Kind = Annotated[QueryKind, Form(description=QUERIES)]
Top = Annotated[int, Form(ge=1, le=200, description="How many images.")]
AskedModel = Annotated[ModelName, Form(description="One that /api/models lists without a reason.")]
Weights = Annotated[list[float], Form(description="Of each reference image; image_id first, then image.")]
Rerank = Annotated[bool, Form(description="The recipe's reranker puts the first hits in order; slow.")]
Conditions = Annotated[list[Condition], Form(description=CONDITIONS)]


def bytes_of(pictures: Sequence[UploadFile]) -> list[bytes]:
    """The content of uploads.

    Raises:
        HTTPException: 413, where they are too large together.
    """
    uploads = [each.file.read(MAX_UPLOAD_BYTES + 1) for each in pictures]
    if sum(map(len, uploads)) > MAX_UPLOAD_BYTES:
        raise HTTPException(413, f"the picture is larger than {MAX_UPLOAD_BYTES / 1e6:.0f} MB")
    return uploads


async def check_search_form(request: Request, fields: Collection[str]) -> None:
    """Refuse a body that is no form (415), and a form with other fields than these (422)."""
    content = request.headers.get("content-type", "")
    if content and content.partition(";")[0].strip().lower() not in FORMS:
        raise HTTPException(415, f"a search is sent as a form ({FORMS[0]}), not as {content[:100]}")
    if unknown := sorted((await request.form()).keys() - fields):
        raise HTTPException(422, f"there is no field {unknown[0][:100]!r}; a search has {', '.join(sorted(fields))}")
