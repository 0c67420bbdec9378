"""Every rewriter keeps the same promises."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from spn4cir_core.engine.plugins import as_table
from spn4cir_core.errors import RecipeError
from spn4cir_core.recipe import load_recipe
from spn4cir_core.texts.base import REWRITERS, Rewriter, Shown
from spn4cir_core.texts.prompts import fill_prompt
from tests.texts.conftest import Pairs

NAMES = ["endpoint", "endpoint images", "llm", "vlm"]


@pytest.fixture(params=NAMES)
def rewriter(request: pytest.FixtureRequest, rewriter_table: Callable[[str], dict[str, Any]]) -> Rewriter:
    built: Rewriter = REWRITERS.build(rewriter_table(request.param))
    return built


def test_every_kind_is_tested() -> None:
    assert {name.split()[0] for name in NAMES} == set(REWRITERS.members)


def test_answers_come_in_order_and_are_the_same_alone_or_in_any_batch(rewriter: Rewriter, pairs: Pairs) -> None:
    rewrite = rewriter.start()
    questions, shown = pairs.to_rewrite(), pairs.pictures(rewriter.sees_images)
    together = list(rewrite(questions, shown))
    assert len(together) == len(questions) and all(together)
    assert len(set(together)) > 1, "the pairs differ and the answers do not"
    assert [rewrite([pair], [both])[0] for pair, both in zip(questions, shown, strict=True)] == together
    assert list(rewrite(questions[::-1], shown[::-1])) == together[::-1]
    assert list(rewriter.start()(questions, shown)) == together, "a second start answers otherwise"


def test_an_answer_is_kept_under_all_that_the_model_is_shown(rewriter: Rewriter, pairs: Pairs) -> None:
    pair, prompt = pairs.to_rewrite()[0], rewriter.prompt_text()

    def key(**other: Any) -> str:
        changed = replace(pair, **other)
        return rewriter.row_key(changed, fill_prompt(prompt, changed.values))

    assert key(pair_id="other") == key(reference=Shown("other.png", pair.reference.pixel_sha256)) == key()
    for end in ("reference", "target"):
        seen = key(**{end: Shown("x", "other pixels")})
        assert (seen != key()) == rewriter.sees_images
        other_key = key(values={**pair.values, end: "another caption"})
        assert (other_key != key()) == (f"{{{end}}}" in prompt)
    assert rewriter.row_key(pair, "one") != rewriter.row_key(pair, "other")


def test_fingerprint_is_that_of_equal_settings_and_no_other(rewriter: Rewriter, tmp_path: Path) -> None:
    assert REWRITERS.build(as_table(rewriter)).texts_fingerprint() == rewriter.texts_fingerprint()
    own = tmp_path / "own.txt"
    own.write_text("say {added}", encoding="utf-8")
    mine = rewriter.model_copy(update={"prompt": str(own)})
    assert mine.fingerprint() == rewriter.fingerprint() and mine.texts_fingerprint() != rewriter.texts_fingerprint()
    before = mine.texts_fingerprint()
    own.write_text("tell {added}", encoding="utf-8")
    assert mine.texts_fingerprint() != before, "the words of the prompt decide"
    for name, value in (("device", "cpu"), ("concurrency", 1)):
        if name in type(rewriter).model_fields:
            assert rewriter.model_copy(update={name: value}).texts_fingerprint() == rewriter.texts_fingerprint()


def test_settings_are_frozen_and_an_unknown_key_is_named(rewriter: Rewriter) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        rewriter.prompt = "other"  # type: ignore[misc]
    with pytest.raises(RecipeError, match="no_such_key"):
        REWRITERS.build({**as_table(rewriter), "no_such_key": 1})


def test_the_examples_of_the_docs_are_settings() -> None:
    text = (Path(__file__).parents[2] / "docs" / "texts.md").read_text(encoding="utf-8")
    examples = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)]
    rewriters = [load_recipe("demo", example).modified_texts.rewriter for example in examples]
    assert {rewriter.plugin_kind for rewriter in rewriters if rewriter} == set(REWRITERS.members)
