"""Judge: how likely a local vision-language model is to answer "yes" rather than "no"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator
from typing_extensions import override

from spn4cir_core.captions.base import CAPTIONERS, Captioner
from spn4cir_core.captions.vlm import Vlm
from spn4cir_core.engine.plugins import Choice
from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.triplets.judge import Case, Judge, check_question

QUESTION = (
    "The left picture is the reference, the right one is the target. Someone asks to change the reference: "
    '"{text}". Does the target show what was asked for? Answer yes or no.'
)
YES, NO = ("yes", "Yes", " yes", " Yes"), ("no", "No", " no", " No")
DECIMALS = 3


def _check_vlm(model: Captioner) -> Captioner:
    if not isinstance(model, Vlm):
        raise ValueError(f"the captioner {model.plugin_kind!r} has no likelihoods here; use vlm, or the judge 'number'")
    return model


class YesJudge(Judge):
    """A score between 0 and 1 from one step of a model of transformers: P(yes) / (P(yes) + P(no))."""

    plugin_kind: ClassVar[str] = "yes"
    question: Annotated[str, AfterValidator(check_question)] = QUESTION
    model: Annotated[Captioner, Choice(CAPTIONERS), AfterValidator(_check_vlm)]
    """The table of a captioner ``vlm``; its ``request`` is not used."""

    @override
    def fingerprint(self, files: ImageFiles) -> str:
        identity = {"kind": self.plugin_kind, "question": self.question, "side_px": self.side_px}
        return fingerprint({**identity, "model": self.model.fingerprint(files)})

    def start(self, files: ImageFiles) -> Callable[[Sequence[Case]], list[float | None]]:
        """See the base class.

        Raises:
            InputError: the model cannot be loaded, or its tokenizer does not tell yes from no.
        """
        from spn4cir_core.models.local_model import Answers

        vlm = self.model
        assert isinstance(vlm, Vlm)
        answers = Answers(vlm)
        yes, no = first_tokens(answers.processor.tokenizer, YES), first_tokens(answers.processor.tokenizer, NO)
        if not yes or not no or yes & no:
            raise InputError(f"triplets.judge: the tokenizer of {vlm.model} does not tell yes from no")

        def judge(cases: Sequence[Case]) -> list[float | None]:
            # One at a time on a CPU, where the last bits of a row depend on the shape of its batch.
            rows = 1 if answers.device.type == "cpu" else self.batch_rows
            parts = [cases[start : start + rows] for start in range(0, len(cases), rows)]
            return [score for part in parts for score in self._likelihood(answers, part, sorted(yes), sorted(no))]

        return judge

    def _likelihood(self, answers: Any, cases: Sequence[Case], yes: list[int], no: list[int]) -> list[float]:
        import torch

        texts = [answers.settings.text(answers.processor, case.question) for case in cases]
        pictures = [case.both for case in cases]
        inputs = answers.settings.inputs(answers.processor, texts, pictures)
        inputs = inputs.to(answers.device, answers.dtype)
        with torch.inference_mode():
            made = answers.model.generate(
                **inputs, do_sample=False, max_new_tokens=1, output_logits=True, return_dict_in_generate=True
            )
        likely_BV = made.logits[0].float().softmax(dim=-1)
        yes_B, no_B = likely_BV[:, yes].sum(dim=1), likely_BV[:, no].sum(dim=1)
        return [round(score, DECIMALS) for score in (yes_B / (yes_B + no_B)).tolist()]


def first_tokens(tokenizer: Any, words: Sequence[str]) -> set[int]:
    """The tokens with which a tokenizer begins the words; unknown ones and bare spaces are left out."""
    tokens = {tokenizer.encode(word, add_special_tokens=False)[0] for word in words}
    return {token for token in tokens if token != tokenizer.unk_token_id and tokenizer.decode([token]).strip()}
