"""SmolVLM's own processor, which needs a package that transformers does not bring along."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from spn4cir_core.captions.vlm import Llava
from spn4cir_core.errors import InputError
from tests.captions.conftest import Pictures


def test_without_its_package_it_is_one_sentence_with_the_pip_install(
    small_model: Callable[[str], Path], pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smolvlm = pytest.importorskip("transformers.models.smolvlm.processing_smolvlm")
    folder = tmp_path / "smolvlm"
    shutil.copytree(small_model("idefics3"), folder)
    for file in folder.glob("*.json"):
        file.write_text(file.read_text().replace("Idefics3", "SmolVLM").replace("idefics3", "smolvlm"))
    video = {"video_processor_type": "SmolVLMVideoProcessor", "processor_class": "SmolVLMProcessor"}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video))
    assert json.loads((folder / "config.json").read_text())["model_type"] == "smolvlm"
    monkeypatch.setattr(smolvlm, "num2words", None)
    with pytest.raises(InputError, match=r"smolvlm needs a package more: .*`pip install num2words`") as caught:
        Llava(model=str(folder)).start(pictures.files)
    assert "\n" not in str(caught.value)
