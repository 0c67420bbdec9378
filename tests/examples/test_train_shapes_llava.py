from __future__ import annotations

from pathlib import Path

from examples.train_shapes_llava.train import PROMPT, draw_scenes, main
from spn4cir_core.captions.vlm import Llava
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.images.shapes import Shapes
from spn4cir_core.models.model_source import BUILTIN
from tests.captions.conftest import Pictures


def test_scenes_kept_out_are_not_drawn() -> None:
    drawn = draw_scenes("any name", 300, ())
    others = draw_scenes("any name", 300, set(drawn[:100]))
    assert len(set(others)) == 300
    assert not set(others) & set(drawn[:100])
    assert others[:200] == drawn[100:], "the same draws, without those kept out"


def test_a_short_training_writes_a_model_that_captions_and_the_same_one_again(
    tmp_path: Path, pictures: Pictures
) -> None:
    short = ["--scenes", "64", "--tested", "4", "--tower-steps", "2", "--steps", "2", "--threads", "1"]
    for name in ("one", "two"):
        main(["--out", str(tmp_path / name), *short])
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]
    card = (tmp_path / "one" / "README.md").read_text(encoding="utf-8")
    assert "of 4 unseen scenes" in card and PROMPT in card
    answers = Llava(model=str(tmp_path / "one"), max_new_tokens=4).start(ImageFiles(tmp_path))
    assert len(answers(pictures.images[:2], pictures.open()[:2])) == 2


def test_the_shipped_model_is_small_and_safe_and_says_how_good_it_is() -> None:
    folder = BUILTIN["builtin:shapes"]
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".jinja", ".safetensors", ".md"}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3_000_000
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "unseen scenes captioned exactly" in card and PROMPT in card
    assert Shapes().draw()[1].names, "the default corpus has an evaluation part to keep out"
