"""Captions by a server: vLLM, SGLang and llama.cpp serve LLaVA behind the OpenAI chat protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar

from PIL import Image
from pydantic import AfterValidator, Field
from typing_extensions import override

from spn4cir_core.captions.base import Captioner, ToCaption
from spn4cir_core.captions.prompts import PUBLISHED, check_request, request
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.answer_text import one_line, without_thoughts
from spn4cir_core.models.chat_model import Chat, ChatModel, Question, Unusable
from spn4cir_core.store.fingerprints import fingerprint, plain


class Endpoint(ChatModel, Captioner):
    """Asks a chat server for a brief description of each picture, several pictures at a time.

    ``batch_rows`` of the stage should be a few times ``concurrency``. A picture without a usable answer is
    counted as a drop, and requested again when the stage runs next.
    """

    plugin_kind: ClassVar[str] = "endpoint"
    request: Annotated[str, AfterValidator(check_request)] = PUBLISHED
    words: int = Field(default=10, ge=1, le=200)
    max_words: int = Field(default=80, ge=1)
    """A longer answer is no caption."""

    @override
    def fingerprint(self, files: ImageFiles) -> str:
        """Hash of the model's name and what is sent; neither URL nor key."""
        return fingerprint({key: value for key, value in plain(self).items() if key not in ("request", "words")})

    @override
    def prompt(self, image: ToCaption) -> str:
        """The request with the picture's category."""
        return request(self.request, image.category, self.words)

    @override
    def start(self, files: ImageFiles) -> Callable[[Sequence[ToCaption], Sequence[Image.Image]], list[str | None]]:
        """Read the key; no request is made yet.

        Raises:
            InputError: the key's variable is not set.
        """
        return _Captioning(self)

    def usable(self, answer: str) -> str:
        """The caption in what the server says.

        Raises:
            Unusable: it is empty, or too long for a caption.
        """
        text = one_line(without_thoughts(answer))
        if not text:
            raise Unusable("empty", "an empty answer")
        if len(text.split()) > self.max_words:
            raise Unusable("overlong", f"an answer of {len(text.split())} words, more than max_words")
        return text


class _Captioning:
    """Captions batches; None for a picture without a usable answer."""

    def __init__(self, settings: Endpoint) -> None:
        self._settings = settings
        self._chat = Chat(settings, "picture", "caption", settings.usable)

    @property
    def counts(self) -> Mapping[str, float]:
        """What happened so far, for the artefact's details."""
        return self._chat.counts

    def __call__(self, images: Sequence[ToCaption], pictures: Sequence[Image.Image]) -> list[str | None]:
        prompts = map(self._settings.prompt, images)
        rows = zip(images, prompts, pictures, strict=True)
        return self._chat([Question(image.image_id, prompt, (picture,)) for image, prompt, picture in rows])
