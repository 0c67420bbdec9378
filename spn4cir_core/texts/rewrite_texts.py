"""A rewriter's answers in place of the templates' texts, or beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from spn4cir_core.engine.stage import Work
from spn4cir_core.images.files import image_files
from spn4cir_core.images.manifest import PICTURE, read_manifest
from spn4cir_core.texts.answers import NO_ANSWER, AnswerCheck, clean
from spn4cir_core.texts.base import Rewriter, Shown, ToRewrite
from spn4cir_core.texts.differences import difference
from spn4cir_core.texts.fill_templates import NO_CAPTION, SAY_THE_SAME, ModifiedTexts
from spn4cir_core.texts.rewrite_pairs import rewrite_pairs
from spn4cir_core.texts.settings import ModifiedTextsInput
from spn4cir_core.texts.wording import worded

REWRITTEN = "rewritten"
SAMPLE_ROWS = 8


class CaptionedPair(NamedTuple):
    """A pair with its captions, on one line each; empty where an image has none."""

    pair_id: str
    reference_id: str
    target_id: str
    reference: str
    target: str


Written = Mapping[str, ModifiedTexts | str]
"""Pair id → texts, or the reason why there are none."""


def rewrite_texts(
    work: Work[ModifiedTextsInput],
    rewriter: Rewriter,
    pairs: Sequence[CaptionedPair],
    written: Written,
    count_tokens: Callable[[str], int],
) -> tuple[Written, dict[str, Any]]:
    """Ask the rewriter about every pair it can say something of.

    A pair whose answer cannot be used keeps what the templates wrote.

    Returns:
        What is now written for all pairs, and counts for the artefact's details.
    """
    settings, reads_text = work.settings.modified_texts, "{text}" in rewriter.prompt_text()
    rewritable = [pair for pair in pairs if _has_change(written[pair.pair_id], rewriter.sees_images, reads_text)]
    answered = rewrite_pairs(
        work,
        rewriter,
        _to_rewrite(rewritable, written, _shown(work)),
        image_files(work.settings.images, work.store),
    )
    check = AnswerCheck(count_tokens, settings.max_tokens, names_target=not rewriter.sees_images)
    result, refused, sample = dict(written), Counter[str](), []
    for number, pair in enumerate(rewritable):
        answer, before = answered.by_pair.get(pair.pair_id), written[pair.pair_id]
        text = clean(answer or "")
        problem = NO_ANSWER if answer is None else check.problem(text, pair.reference, pair.target)
        if problem:
            refused[problem] += 1
        else:
            beside = before if settings.template_texts == "beside" else ""
            result[pair.pair_id] = _with_rewritten(pair, text, count_tokens(text), beside)
        if number % max(1, -(-len(rewritable) // SAMPLE_ROWS)) == 0:
            sample.append({"pair_id": pair.pair_id, "template": _first(before), "answer": answer, "refused": problem})
    details = {
        **answered.details,
        "rewritten": len(rewritable) - refused.total(),
        "not_rewritten": dict(sorted(refused.items())),
        "rewriter_sample": sample,
    }
    return result, details


def _has_change(written: ModifiedTexts | str, sees_images: bool, reads_text: bool) -> bool:
    """A model that sees the pictures may find a change that the captions do not tell.

    A prompt about the templates' text has nothing to ask where there is none.
    """
    if isinstance(written, ModifiedTexts):
        return True
    return not reads_text and written != NO_CAPTION and (sees_images or written != SAY_THE_SAME)


def _shown(work: Work[ModifiedTextsInput]) -> dict[str, Shown]:
    table = read_manifest(work.parents["images"], *PICTURE)
    names, paths, pixels = (table[name].to_pylist() for name in table.column_names)
    return {name: Shown(path, sha256) for name, path, sha256 in zip(names, paths, pixels, strict=True)}


def _to_rewrite(pairs: Sequence[CaptionedPair], written: Written, shown: Mapping[str, Shown]) -> list[ToRewrite]:
    return [
        ToRewrite(
            pair.pair_id,
            shown[pair.reference_id],
            shown[pair.target_id],
            {
                **worded(pair.reference, pair.target, difference(pair.reference, pair.target)),
                "text": _first(written[pair.pair_id]),
            },
        )
        for pair in pairs
    ]


def _first(written: ModifiedTexts | str) -> str:
    """The text that a prompt is given as the templates' one."""
    return written.modified_texts[0] if isinstance(written, ModifiedTexts) else ""


def _with_rewritten(pair: CaptionedPair, text: str, tokens: int, beside: ModifiedTexts | str) -> ModifiedTexts:
    """The rewritten text, first of all; the templates' other texts behind it if they are to stay."""
    if isinstance(beside, ModifiedTexts):
        others = [
            (known, name)
            for known, name in zip(beside.modified_texts, beside.template_ids, strict=True)
            if known != text
        ]
        return beside._replace(
            modified_texts=(text, *(known for known, _ in others)),
            template_ids=(REWRITTEN, *(name for _, name in others)),
            token_count=max(tokens, beside.token_count),
        )
    change = difference(pair.reference, pair.target)
    return ModifiedTexts(pair.pair_id, (text,), (REWRITTEN,), change.added_text, change.removed_text, tokens, False)
