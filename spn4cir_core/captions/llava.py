"""Captions by a LLaVA: llava-1.5, llava-next and other image-text-to-text models of transformers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from PIL import Image
from pydantic import AfterValidator, Field

from spn4cir_core.captions.base import Captioner, ToCaption
from spn4cir_core.captions.model_source import ModelSource, find_model
from spn4cir_core.captions.prompts import PUBLISHED, check_request, request, tidy
from spn4cir_core.errors import InputError
from spn4cir_core.fingerprints import NotFingerprinted, fingerprint, plain
from spn4cir_core.images.files import ImageFiles

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
WITHOUT_TEMPLATE = "USER: <image>\n{request} ASSISTANT:"
"""LLaVA-1.5's own form, for a checkpoint that carries no chat template."""


class Llava(Captioner):
    """Asks a LLaVA for a brief description of each picture; greedy, so the same picture gives the same words."""

    plugin_kind: ClassVar[str] = "llava"
    model: str
    """A folder (safetensors), a hub id ``owner/name``, or ``builtin:shapes``, which learnt one prompt: the default
    request of a picture without a category."""
    revision: str = "main"
    """Of a hub id. Pin a commit: what ``main`` names may change unseen."""
    request: Annotated[str, AfterValidator(check_request)] = PUBLISHED
    words: int = Field(default=10, ge=1, le=200)
    max_new_tokens: int = Field(default=60, ge=1, le=1000)
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: Annotated[str, NotFingerprinted()] = "auto"

    def fingerprint(self, files: ImageFiles) -> str:
        """Hash of the model and the settings; the request counts per picture, with its prompt."""
        settings = {
            key: value for key, value in plain(self).items() if key not in ("model", "revision", "request", "words")
        }
        return fingerprint({**settings, "weights": find_model(self.model, self.revision).fingerprint})

    def prompt(self, image: ToCaption) -> str:
        """The request with the picture's category."""
        return request(self.request, image.category, self.words)

    def start(self, files: ImageFiles) -> Callable[[Sequence[ToCaption], Sequence[Image.Image]], list[str]]:
        """Load processor and model.

        Raises:
            InputError: the model cannot be loaded, or one picture alone does not fit into memory.
        """
        answer = _Answers(self)

        def caption(images: Sequence[ToCaption], pictures: Sequence[Image.Image]) -> list[str]:
            prompts = [self.prompt(image) for image in images]
            captions = answer(prompts, pictures)
            for index in [index for index, text in enumerate(captions) if not text]:
                captions[index] = answer([prompts[index]], [pictures[index]], min_new_tokens=3)[0]
            return captions

        return caption


class _Answers:
    """A loaded model; maps prompts and pictures to answers."""

    def __init__(self, settings: Llava) -> None:
        import torch

        source = find_model(settings.model, settings.revision)
        wanted = settings.device if settings.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        self.device, self.dtype = torch.device(wanted), getattr(torch, settings.dtype)
        self.max_new_tokens = settings.max_new_tokens
        self.processor, self.model = _load(source, self.dtype)
        self.processor.tokenizer.padding_side = "left"  # else pads stand between prompt and answer
        self.model.to(self.device).eval()

    def __call__(self, prompts: Sequence[str], pictures: Sequence[Image.Image], **more: Any) -> list[str]:
        """Answer each prompt; halve the batch where it does not fit into memory."""
        import torch

        try:
            return self._generate(prompts, pictures, **more)
        except torch.OutOfMemoryError as error:
            if len(pictures) == 1:
                raise InputError(
                    "captioning one picture does not fit into the accelerator's memory; use a smaller model or dtype"
                ) from error
        # Outside the handler: while the error lives, so do the tensors its frames hold.
        torch.cuda.empty_cache()
        middle = len(pictures) // 2
        log.warning("out of memory: %d pictures at a time instead of %d", middle, len(pictures))
        return self(prompts[:middle], pictures[:middle], **more) + self(prompts[middle:], pictures[middle:], **more)

    def _generate(self, prompts: Sequence[str], pictures: Sequence[Image.Image], **more: Any) -> list[str]:
        import torch

        texts = [self._chat(prompt) for prompt in prompts]
        inputs = self.processor(images=list(pictures), text=texts, padding=True, return_tensors="pt")
        inputs = inputs.to(self.device, self.dtype)
        with torch.inference_mode():
            tokens: torch.Tensor = self.model.generate(
                **inputs, do_sample=False, num_beams=1, max_new_tokens=self.max_new_tokens, **more
            )
        new = tokens[:, inputs["input_ids"].shape[1] :]
        return [tidy(text) for text in self.processor.batch_decode(new, skip_special_tokens=True)]

    def _chat(self, prompt: str) -> str:
        if not getattr(self.processor, "chat_template", None):
            return WITHOUT_TEMPLATE.format(request=prompt)
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        chat: str = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        return chat


def _load(source: ModelSource, dtype: torch.dtype) -> tuple[Any, Any]:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    where: dict[str, Any] = {"local_files_only": True} if source.folder else {"revision": source.revision}
    try:
        processor: Any = AutoProcessor.from_pretrained(source.name, **where)  # type: ignore[no-untyped-call]
        model = AutoModelForImageTextToText.from_pretrained(source.name, dtype=dtype, use_safetensors=True, **where)
    except (OSError, ValueError, KeyError) as error:
        hint = "" if source.folder else f" ({source.name!r} is no folder here, so it was taken for a hub id)"
        raise InputError(f"cannot load the model {source.name}{hint}: {error}") from error
    for sampling in ("temperature", "top_p", "top_k"):  # unused when greedy; transformers warns of them
        setattr(model.generation_config, sampling, None)
    return processor, model
