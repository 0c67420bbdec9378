"""Text from a model of transformers that runs in this process: loading it, and prompting it batch by batch."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from typing_extensions import override

from spn4cir_core.engine.plugins import Plugin
from spn4cir_core.engine.processes import Processes
from spn4cir_core.engine.progress import without_loading_bar
from spn4cir_core.errors import InputError, MissingExtra, RecipeError
from spn4cir_core.models.answer_text import THOUGHTS_END, THOUGHTS_START, one_line, without_thoughts
from spn4cir_core.models.fixed_batches import torch_device
from spn4cir_core.models.model_source import ModelSource, find_model, missing_model
from spn4cir_core.store.fingerprints import OmitFromFingerprint

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
MORE_ROOM = 8
"""Times ``max_new_tokens`` for an answer that was cut there."""
TOKEN_SETTINGS = (
    *("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "forced_bos_token_id"),
    *("bad_words_ids", "suppress_tokens", "begin_suppress_tokens"),
)
"""Generation settings that say which tokens begin and end an answer, and which are no words of one."""


class LocalModel(Plugin):
    """A model that generates text in this process, greedily, so that the same prompt gets the same answer."""

    model: str
    """A folder (safetensors), a hub id ``owner/name``, or ``builtin:shapes``, which learnt one prompt: the default
    request of a picture without a category."""
    revision: str = "main"
    """Revision of a hub id. Pin a commit: ``main`` may change without notice."""
    max_new_tokens: int = Field(default=60, ge=1, le=1000)
    """An answer that is cut here is asked for once more with eight times the room, and then is a drop."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """In float32 an answer is the same in every batch; in bfloat16 a few change with it (Qwen2.5-VL: 6 of 48)."""
    quantize: Literal["none", "8bit", "4bit"] = "none"
    """Weights by bitsandbytes; ``dtype`` then is that of the products."""
    device_map: Annotated[Literal["none", "auto", "balanced", "sequential"], OmitFromFingerprint()] = "none"
    """Spreads a large model over accelerators and memory, as accelerate has it; ``device`` then counts for nothing."""
    device: Annotated[str, OmitFromFingerprint()] = "auto"

    @override
    def extras(self) -> tuple[str, ...]:
        return ("quantized",) if self.quantize != "none" else ()

    @override
    def missing(self) -> Iterable[str]:
        return missing_model(self.model, self.revision)

    @abstractmethod
    def check_type(self, model_type: str) -> None:
        """Accept the architecture that a model's config names.

        Raises:
            InputError: this captioner cannot use it.
        """

    @abstractmethod
    def prepare(self, processor: Any, model: Any) -> None:
        """Set up what has just been loaded.

        Raises:
            InputError: the checkpoint lacks something.
        """

    @abstractmethod
    def text(self, processor: Any, prompt: str) -> str:
        """The text that the tokenizer gets for a prompt."""

    @abstractmethod
    def answer_start(self, model: Any, prompt_tokens: int) -> int:
        """Index of the answer's first token among the generated tokens; the prompt has ``prompt_tokens``."""

    def autos(self) -> tuple[Any, Any]:
        """The classes of transformers that load processor and model."""
        from transformers import AutoModelForImageTextToText, AutoProcessor

        return AutoProcessor, AutoModelForImageTextToText

    def inputs(self, processor: Any, texts: Sequence[str], pictures: Sequence[Any]) -> Any:
        """Padded tensors of the texts of :meth:`text`; ``pictures`` holds one picture or a tuple per text.

        Each text gets a list of its own: Gemma 3 and Idefics3 take a flat one for the pictures of the first text.
        A chat template that writes the start token itself, as Gemma 3's does, gets no second one.
        """
        lists = [list(one) if isinstance(one, (tuple, list)) else [one] for one in pictures]
        bos = getattr(processor.tokenizer, "bos_token", None)
        begun = {"add_special_tokens": False} if bos and texts[0].startswith(bos) else {}
        return processor(images=lists, text=texts, padding=True, return_tensors="pt", **begun)

    def answer(self, decoded: str) -> str:
        """The answer in the decoded text."""
        return one_line(without_thoughts(decoded))

    def is_usable_when_cut(self, decoded: str) -> bool:
        """Whether what counts of an answer stands before its end."""
        return False


class RefusedPictures(Exception):
    """A processor does not take some picture of a batch, such as one that is 200 times as wide as tall."""


class Answers:
    """A loaded model; maps prompts and pictures to answers."""

    def __init__(self, settings: LocalModel) -> None:
        import torch

        self.settings = settings
        self.counts: Counter[str] = Counter()
        """How many answers were ``cut``, with more room too."""
        wanted = torch_device(settings.device)
        self.dtype = getattr(torch, settings.dtype)
        placed = _placement(settings, wanted, self.dtype)
        self.processor, self.model = _load(settings, {"dtype": self.dtype, **placed})
        settings.prepare(self.processor, self.model)
        if not placed:
            self.model.to(wanted)
        self.device = self.model.device
        self.model.eval()

    def __call__(self, prompts: Sequence[str], pictures: Sequence[Any], **more: Any) -> list[str | None]:
        """Answer each prompt about its picture, or its pictures; None where the answer was cut, with more room too.

        Raises:
            InputError: one picture alone does not fit.
            RefusedPictures: the processor refuses a picture of the batch.
        """
        answers = self._fitting(prompts, pictures, **more)
        cut = [row for row, answer in enumerate(answers) if answer is None]
        if cut:
            room = {"max_new_tokens": MORE_ROOM * self.settings.max_new_tokens}
            again = self._fitting([prompts[row] for row in cut], [pictures[row] for row in cut], **more, **room)
            for row, answer in zip(cut, again, strict=True):
                answers[row] = answer
            self.counts["cut"] += sum(answer is None for answer in again)
        return answers

    def _fitting(self, prompts: Sequence[str], pictures: Sequence[Any], **more: Any) -> list[str | None]:
        """Halve the batch where it does not fit into memory."""
        import torch

        try:
            return self._generate(prompts, pictures, **more)
        except torch.OutOfMemoryError as error:
            if len(pictures) == 1:
                raise InputError(
                    "one picture does not fit into the accelerator's memory; use a smaller model or dtype, "
                    "quantize, or device_map"
                ) from error
        # Outside the handler: while the error lives, so do the tensors its frames hold.
        torch.cuda.empty_cache()
        middle = len(pictures) // 2
        log.warning("out of memory: %d pictures at a time instead of %d", middle, len(pictures))
        first = self._fitting(prompts[:middle], pictures[:middle], **more)
        return first + self._fitting(prompts[middle:], pictures[middle:], **more)

    def _generate(self, prompts: Sequence[str], pictures: Sequence[Any], **more: Any) -> list[str | None]:
        """The answers, None where one is cut."""
        import torch

        texts = [self.settings.text(self.processor, prompt) for prompt in prompts]
        try:
            inputs = self.settings.inputs(self.processor, texts, pictures)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise RefusedPictures(str(error)) from error
        inputs = inputs.to(self.device, self.dtype)
        prompt_tokens = inputs["input_ids"].shape[1]
        with torch.inference_mode():
            options = {"max_new_tokens": self.settings.max_new_tokens, **more}
            tokens: torch.Tensor = self.model.generate(**inputs, do_sample=False, num_beams=1, **options)
        new = tokens[:, self.settings.answer_start(self.model, prompt_tokens) :].tolist()
        decoded = [self._decoded(prompt, row) for prompt, row in zip(texts, new, strict=True)]
        ends = end_tokens(self.processor, self.model)
        return [
            None
            if is_cut(row, ends, options["max_new_tokens"]) and not self.settings.is_usable_when_cut(text)
            else self.settings.answer(text)
            for row, text in zip(new, decoded, strict=True)
        ]

    def _decoded(self, prompt: str, tokens: list[int]) -> str:
        """The text of an answer, without thoughts that a token ends; thoughts that the prompt began show it."""
        tokenizer = getattr(self.processor, "tokenizer", self.processor)
        end = tokenizer.convert_tokens_to_ids(THOUGHTS_END)
        if end != tokenizer.unk_token_id and end in tokens:
            return str(tokenizer.decode(tokens[len(tokens) - tokens[::-1].index(end) :], skip_special_tokens=True))
        text: str = tokenizer.decode(tokens, skip_special_tokens=True)
        return f"{THOUGHTS_START}{text}" if prompt.rstrip().endswith(THOUGHTS_START) else text


def end_tokens(processor: Any, model: Any) -> frozenset[int]:
    """The tokens with which an answer of the model may end; none where the model names none."""
    tokenizer = getattr(processor, "tokenizer", processor)
    configured = model.generation_config.eos_token_id
    named = configured if isinstance(configured, list) else [configured]
    candidates = [*named, tokenizer.eos_token_id, getattr(tokenizer, "sep_token_id", None)]
    return frozenset(token for token in candidates if token is not None)


def is_cut(tokens: Sequence[int], ends: Collection[int], room: int) -> bool:
    """Whether the tokens of an answer fill the room and none of them ends it; False where no end is known."""
    return bool(ends) and len(tokens) >= room and not set(ends).intersection(tokens)


def _placement(settings: LocalModel, device: str, dtype: torch.dtype) -> dict[str, Any]:
    """Arguments of ``from_pretrained`` about devices and quantised weights; empty for a plain model on one device."""
    placed: dict[str, Any] = {}
    if settings.quantize != "none":
        placed["quantization_config"] = _quantization(settings.quantize, dtype)
    if settings.device_map != "none":
        if Processes.announced() > 1:
            raise RecipeError(
                f"device_map = {settings.device_map!r} spreads one model over all GPUs, and {Processes.announced()} "
                "processes would do so at once; run this stage in one process, or leave device_map out"
            )
        placed["device_map"] = settings.device_map
    elif placed:
        placed["device_map"] = {"": device}
    return placed


def _quantization(bits: Literal["8bit", "4bit"], dtype: torch.dtype) -> Any:
    if find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes", "quantized")
    import transformers

    config: Any = transformers.BitsAndBytesConfig
    if bits == "8bit":
        return config(load_in_8bit=True)
    return config(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def _load(settings: LocalModel, options: dict[str, Any]) -> tuple[Any, Any]:
    from transformers import AutoConfig

    reader, maker = settings.autos()
    source = find_model(settings.model, settings.revision)
    where: dict[str, Any] = {"local_files_only": True} if source.folder else {"revision": source.revision}
    try:
        settings.check_type(AutoConfig.from_pretrained(source.name, trust_remote_code=False, **where).model_type)
        processor = reader.from_pretrained(source.name, **where)
        with without_loading_bar():
            model = maker.from_pretrained(source.name, use_safetensors=True, **options, **where)
    except ImportError as error:
        raise InputError(f"the model {source.name} needs a package more: {' '.join(str(error).split())}") from error
    except (OSError, ValueError, KeyError) as error:
        if "trust_remote_code" in str(error):
            raise InputError(
                f"the model {source.name} needs code from its own repository, which is never run here; take a release "
                "in the layout of transformers, or serve the model and use the kind 'endpoint'"
            ) from error
        raise InputError(f"cannot load the model {source.name}{_hint(source)}: {error}") from error
    model.generation_config = greedy_config(processor, model)
    return processor, model


def greedy_config(processor: Any, model: Any) -> Any:
    """Settings of plain greedy decoding: of the checkpoint's own, only those that name tokens.

    Its penalties, beams and temperatures would change the answer, or are unused and warned of at every batch.
    """
    import transformers

    config: Any = transformers.GenerationConfig
    own = model.generation_config
    tokens = {name: value for name in TOKEN_SETTINGS if (value := getattr(own, name, None)) is not None}
    tokenizer = getattr(processor, "tokenizer", processor)
    padding = (tokens.get("pad_token_id"), tokenizer.pad_token_id, tokenizer.eos_token_id)
    return config(**{**tokens, "pad_token_id": next((token for token in padding if token is not None), None)})


def _hint(source: ModelSource) -> str:
    return "" if source.folder else f" ({source.name!r} is not a folder here, so it was taken for a hub id)"
