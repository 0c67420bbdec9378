"""The settings that the documentation shows are settings."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from spn4cir_core.triplets.number_judge import NumberJudge
from spn4cir_core.triplets.sentence_ranker import SentenceRanker
from spn4cir_core.triplets.settings import TripletSettings
from spn4cir_core.triplets.yes_judge import YesJudge

PAGE = Path(__file__).parents[2] / "docs" / "triplets.md"


def shown(uncommented: str = "") -> list[TripletSettings]:
    blocks = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    tables = []
    for block in blocks:
        lines = [line for line in block.splitlines() if not (uncommented and re.match(r"(kind|model) = ", line))]
        lines = (
            [line.removeprefix("# ") for line in lines] if uncommented in block and uncommented else block.splitlines()
        )
        tables.append(tomllib.loads("\n".join(lines)))
    return [
        TripletSettings.model_validate(table["triplets"]) for table in tables if "verdicts" not in table["triplets"]
    ]


def test_what_the_page_shows_can_be_used() -> None:
    ranked, judged = shown()
    assert isinstance(ranked.ranker, SentenceRanker) and "round_trip_fails" in ranked.gates
    assert isinstance(judged.judge, NumberJudge)


def test_so_can_the_judge_in_comments() -> None:
    assert isinstance(shown('# kind = "yes"')[-1].judge, YesJudge)
