"""Rewriters by a model of transformers that runs in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from PIL import Image
from typing_extensions import override

from spn4cir_core.models.answer_text import without_thoughts
from spn4cir_core.models.local_model import Answers, LocalModel
from spn4cir_core.models.model_source import find_model
from spn4cir_core.store.fingerprints import fingerprint, plain
from spn4cir_core.texts.base import Rewriter, ToRewrite
from spn4cir_core.texts.prompts import fill_prompt


class LocalRewriter(LocalModel, Rewriter):
    """Greedy, batched with left padding."""

    @override
    def missing(self) -> Iterable[str]:
        yield from LocalModel.missing(self)
        yield from Rewriter.missing(self)

    def fingerprint(self) -> str:
        """Hash of the model and the settings.

        Raises:
            InputError: the model folder is missing or holds no model.
        """
        settings = {key: value for key, value in plain(self).items() if key not in ("model", "revision")}
        return fingerprint({**settings, "weights": find_model(self.model, self.revision).fingerprint})

    def prepare(self, processor: Any, model: Any) -> None:
        """Pad on the left, else pads stand between prompt and answer."""
        tokenizer = getattr(processor, "tokenizer", processor)
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token

    def answer_start(self, model: Any, prompt_tokens: int) -> int:
        """Behind the question, which the model repeats."""
        return prompt_tokens

    def answer(self, decoded: str) -> str:
        """The decoded text, stripped; which of its lines counts is decided later."""
        return decoded.strip()

    def is_usable_when_cut(self, decoded: str) -> bool:
        """A line that is whole counts, whatever the model goes on to say."""
        return "\n" in without_thoughts(decoded)

    def start(self) -> Callable[[Sequence[ToRewrite], Sequence[tuple[Image.Image, ...]]], list[str | None]]:
        """Load tokenizer or processor, and model.

        Raises:
            InputError: the model cannot be loaded, or one pair alone does not fit into memory.
            MissingExtra: quantised weights are asked for, and bitsandbytes is not installed.
        """
        return _Rewrites(Answers(self), self.prompt_text())


class _Rewrites:
    """Rewrites batches; ``counts`` has the answers that were cut."""

    def __init__(self, answers: Answers, prompt: str) -> None:
        self._answers, self._prompt, self.counts = answers, prompt, answers.counts

    def __call__(self, pairs: Sequence[ToRewrite], pictures: Sequence[tuple[Image.Image, ...]]) -> list[str | None]:
        shown = [list(both) for both in pictures]
        return self._answers([fill_prompt(self._prompt, pair.values) for pair in pairs], shown)
