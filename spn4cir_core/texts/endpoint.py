"""Modified texts by a server that speaks the OpenAI chat protocol: it reads the captions, or sees the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

from PIL import Image

from spn4cir_core.models.chat_model import Chat, ChatModel, Question
from spn4cir_core.store.fingerprints import fingerprint, plain
from spn4cir_core.texts.base import Rewriter, ToRewrite
from spn4cir_core.texts.prompts import fill_prompt


class Endpoint(ChatModel, Rewriter):
    """vLLM, SGLang, llama.cpp and others. A pair without an answer keeps its template's text."""

    plugin_kind: ClassVar[str] = "endpoint"
    sees: Literal["captions", "images"] = "captions"

    @property
    def sees_images(self) -> bool:
        """Whether the recipe's ``sees`` is ``images``."""
        return self.sees == "images"

    def fingerprint(self) -> str:
        """Hash of the model's name and what is sent; neither URL nor key."""
        return fingerprint(plain(self))

    def start(self) -> Callable[[Sequence[ToRewrite], Sequence[tuple[Image.Image, ...]]], list[str | None]]:
        """Read the key; no request is made yet.

        Raises:
            InputError: the key's variable is not set.
        """
        return _Rewriting(self)


class _Rewriting:
    """Answers batches; None for a pair that got no answer."""

    def __init__(self, settings: Endpoint) -> None:
        self._prompt = settings.prompt_text()
        self._chat = Chat(settings, "pair", "modified text", str.strip)

    @property
    def counts(self) -> Mapping[str, float]:
        """Counts of requests and answers so far, for the artefact's details."""
        return self._chat.counts

    def __call__(self, pairs: Sequence[ToRewrite], pictures: Sequence[tuple[Image.Image, ...]]) -> list[str | None]:
        return self._chat(
            [
                Question(pair.pair_id, fill_prompt(self._prompt, pair.values), both)
                for pair, both in zip(pairs, pictures, strict=True)
            ]
        )
