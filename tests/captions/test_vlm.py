from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from spn4cir_core.captions.base import REFUSED, ToCaption
from spn4cir_core.captions.vlm import Llava, Vlm
from spn4cir_core.errors import InputError
from spn4cir_core.images.shape_scenes import caption, draw_scene, random_scene
from spn4cir_core.models.local_model import Answers
from tests.captions import small_models
from tests.captions.conftest import Pictures

BUILTIN = Llava(model="builtin:shapes")


def test_the_builtin_model_reads_unseen_scenes(pictures: Pictures) -> None:
    rng = Random("scenes that no training drew")
    scenes = [random_scene(rng) for _ in range(100)]
    images = [ToCaption(str(number), "", "", "") for number in range(len(scenes))]
    answers = BUILTIN.start(pictures.files)(images, [draw_scene(scene, 48) for scene in scenes])
    exact = sum(answer == caption(scene) for answer, scene in zip(answers, scenes, strict=True))
    assert exact >= 97, f"{exact} of 100"


def test_prompts_of_different_lengths_do_not_disturb_each_other(pictures: Pictures) -> None:
    categories = ["", "dress", "", "very long name of a category of pictures", ""]
    images = [replace(image, category=name) for image, name in zip(pictures.images, categories, strict=False)]
    opened = pictures.open()[: len(images)]
    answer = BUILTIN.start(pictures.files)
    alone = [answer([image], [picture])[0] for image, picture in zip(images, opened, strict=True)]
    assert answer(images, opened) == alone
    assert alone[0] == pictures.captions[0]


def test_prompt_holds_category_and_words() -> None:
    prompt = Llava(model="x", words=5).prompt(ToCaption("a", "a", "", "dress"))
    assert prompt == "Please briefly describe the dress in 5 words."


def test_settings_that_decide_the_answer_change_the_fingerprint(pictures: Pictures) -> None:
    marks = [
        made.fingerprint(pictures.files)
        for made in (BUILTIN, Llava(model="builtin:shapes", dtype="bfloat16"), Llava(model="owner/name"))
    ]
    assert len(set(marks)) == 3
    assert Llava(model="builtin:shapes", words=5).fingerprint(pictures.files) == marks[0], "words are in the prompt"


def test_a_batch_too_large_for_memory_is_halved(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    generate, sizes = Answers._generate, []

    def small_memory(self: Answers, prompts: Any, pictures: list[Image.Image], **more: Any) -> list[str]:
        sizes.append(len(pictures))
        if len(pictures) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return generate(self, prompts, pictures, **more)

    monkeypatch.setattr(Answers, "_generate", small_memory)
    answers = BUILTIN.start(pictures.files)(pictures.images, pictures.open())
    assert answers == pictures.captions
    assert sizes == [9, 4, 2, 2, 5, 2, 3, 1, 2]


def test_one_picture_too_large_for_memory_is_an_error(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def no_memory(*args: Any, **more: Any) -> list[str]:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(Answers, "_generate", no_memory)
    with pytest.raises(InputError, match="one picture does not fit"):
        BUILTIN.start(pictures.files)(pictures.images, pictures.open())


def test_an_architecture_that_does_not_answer_about_pictures_is_named(tmp_path: Path, pictures: Pictures) -> None:
    from transformers import BertConfig

    BertConfig().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(InputError, match=r"is a 'bert' model, which does not answer .* kind 'vlm' takes llava, "):
        Llava(model=str(tmp_path)).start(pictures.files)


def test_an_architecture_that_cannot_chat_is_named() -> None:
    git = SimpleNamespace(config=SimpleNamespace(model_type="git"))
    with pytest.raises(InputError, match="is a 'git' model without a chat template; kind 'vlm' takes llava, "):
        Llava(model="some/git").prepare(SimpleNamespace(chat_template=None), git)


def test_an_empty_answer_is_asked_for_once_more_alone(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, dict[str, Any]]] = []

    def dumb(self: Answers, prompts: Any, pictures: list[Image.Image], **more: Any) -> list[str]:
        calls.append((len(pictures), more))
        return ["something" if more or number else "" for number in range(len(pictures))]

    monkeypatch.setattr(Answers, "_generate", dumb)
    assert BUILTIN.start(pictures.files)(pictures.images[:3], pictures.open()[:3]) == ["something"] * 3
    assert calls == [(3, {}), (1, {"min_new_tokens": 3})]


def test_missing_folder_is_refused_before_any_library_is_asked(pictures: Pictures) -> None:
    with pytest.raises(InputError, match="does not exist"):
        Llava(model="./models/none").fingerprint(pictures.files)


def test_hub_id_without_network_is_one_clear_error(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"cannot load the model nobody-at-all/no-model .*taken for a hub id"):
        Llava(model="nobody-at-all/no-model").start(pictures.files)


FAMILIES = [
    *("gemma3", "idefics3", "internvl", "llava-next", "llava-onevision", "qwen2.5-vl", "qwen3-vl"),
]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_answers_as_each_picture_alone(
    family: str, small_model: Callable[[str], Path], pictures: Pictures
) -> None:
    shapes = [(48, 48), (30, 90), (90, 30), (64, 33), (48, 48)]
    opened = [picture.resize(shape) for picture, shape in zip(pictures.open(), shapes, strict=False)]
    images = [
        replace(image, category=category)
        for image, category in zip(pictures.images, ["", "dress", "", "small red dress", ""], strict=False)
    ]
    answer = Vlm(model=str(small_model(family)), max_new_tokens=16).start(pictures.files)
    together = list(answer(images, opened))
    assert len(set(together)) > 2, "the pictures differ and the captions do not"
    assert [answer([image], [picture])[0] for image, picture in zip(images, opened, strict=True)] == together


def changed_copy(folder: Path, to: Path, file: str, **values: Any) -> Path:
    """The model folder with other values in one of its JSON files."""
    shutil.copytree(folder, to)
    read = json.loads((to / file).read_text())
    (to / file).write_text(json.dumps({**read, **values}))
    return to


def test_generation_settings_of_a_checkpoint_neither_change_an_answer_nor_warn(
    small_model: Callable[[str], Path], pictures: Pictures, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = small_model("llava-onevision")
    leaking = {"repetition_penalty": 5.0, "no_repeat_ngram_size": 1, "temperature": 0.7, "top_k": 20, "do_sample": True}
    other = changed_copy(folder, tmp_path / "leaking", "generation_config.json", **leaking)
    images, opened = pictures.images[:3], pictures.open()[:3]
    transformers_log = logging.getLogger("transformers")
    transformers_log.addHandler(caplog.handler)
    try:
        answers = [Vlm(model=str(model), max_new_tokens=12).start(pictures.files) for model in (folder, other)]
        caplog.clear()
        plain, leaked = (answer(images, opened) for answer in answers)
    finally:
        transformers_log.removeHandler(caplog.handler)
    assert plain == leaked
    assert any(len(set(str(text).split())) < len(str(text).split()) for text in plain), "no answer repeats a word"
    assert not caplog.records


@pytest.mark.parametrize("special", [True, False])
def test_thoughts_are_no_part_of_an_answer(special: bool) -> None:
    tokenizer = small_models.words_with_image("<s>", "", [], ["</think>"] if special else [])
    if not special:
        tokenizer.add_tokens(["</think>"])
    vlm, answers = Vlm(model="some/thinker"), object.__new__(Answers)
    answers.processor = SimpleNamespace(tokenizer=tokenizer)
    thought, caption = tokenizer.encode("large red"), tokenizer.encode("a blue dress", add_special_tokens=False)
    end = tokenizer.convert_tokens_to_ids("</think>")
    ended = [*thought, end, *caption, tokenizer.eos_token_id]
    assert vlm.answer(answers._decoded("answer : <think>\n", ended)) == "a blue dress"
    assert vlm.answer(answers._decoded("answer :", ended)) == "a blue dress"
    assert vlm.answer(answers._decoded("answer : <think>\n", thought)) == "", "the thought never ends"
    assert vlm.answer(answers._decoded("answer :", caption)) == "a blue dress"


def test_a_model_that_may_think_is_requested_not_to() -> None:
    requests: list[dict[str, Any]] = []

    def template(turns: Any, **options: Any) -> str:
        requests.append(options)
        return "chat"

    for text in ("{% if enable_thinking %}<think>{% endif %}", "{{ messages }}"):
        Vlm(model="x").text(SimpleNamespace(chat_template=text, apply_chat_template=template), "describe")
    assert requests == [{"add_generation_prompt": True, "enable_thinking": False}, {"add_generation_prompt": True}]


def test_a_template_with_a_start_token_gets_no_second_one(
    small_model: Callable[[str], Path], pictures: Pictures
) -> None:
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(small_model("gemma3"))
    vlm, picture = Vlm(model="x"), pictures.open()[:1]
    for text in ("a <boi> dress", "<s> a <boi> dress"):
        ids = vlm.inputs(processor, [text], picture)["input_ids"][0].tolist()
        assert ids.count(processor.tokenizer.bos_token_id) == 1


def test_a_checkpoint_that_needs_its_own_code_is_one_sentence(tmp_path: Path, pictures: Pictures) -> None:
    code = {"AutoConfig": "configuration_own.OwnConfig"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": code}))
    (tmp_path / "configuration_own.py").write_text("raise SystemExit('code of a checkpoint ran')")
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(InputError, match=r"needs code from its own repository, which is never run here; take a"):
        Vlm(model=str(tmp_path)).start(pictures.files)


def test_llava_is_the_same_captioner(small_model: Callable[[str], Path], pictures: Pictures) -> None:
    images, opened = pictures.images[:2], pictures.open()[:2]
    one, other = (kind(model="builtin:shapes").start(pictures.files)(images, opened) for kind in (Llava, Vlm))
    assert one == other == pictures.captions[:2]


def test_a_picture_that_the_processor_refuses_gets_no_caption_and_the_others_do(
    small_model: Callable[[str], Path], pictures: Pictures, caplog: pytest.LogCaptureFixture
) -> None:
    answer: Any = Llava(model=str(small_model("qwen2.5-vl")), max_new_tokens=6).start(pictures.files)
    opened = pictures.open()[:4]
    right = answer(pictures.images[:4], opened)
    opened[2] = Image.new("RGB", (2, 450))
    assert answer(pictures.images[:4], opened) == [*right[:2], None, right[3]]
    assert answer.counts == {REFUSED: 1}
    assert "2.png: the model's processor refuses this picture: absolute aspect ratio" in caplog.text


def test_a_processor_that_refuses_every_picture_is_an_error(
    small_model: Callable[[str], Path], pictures: Pictures
) -> None:
    answer = Llava(model=str(small_model("qwen2.5-vl")), max_new_tokens=6).start(pictures.files)
    with pytest.raises(InputError, match="refuses every picture: absolute aspect ratio"):
        answer(pictures.images[:2], [Image.new("RGB", (2, 450)), Image.new("RGB", (450, 2))])


def test_a_package_that_a_processor_lacks_is_one_sentence(
    small_model: Callable[[str], Path], pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoProcessor

    def lacking(*given: Any, **more: Any) -> Any:
        raise ImportError("Package `num2words` is required to run SmolVLM processor.\nInstall it with `pip install x`.")

    monkeypatch.setattr(AutoProcessor, "from_pretrained", lacking)
    with pytest.raises(InputError, match=r"needs a package more: Package `num2words` .* processor\. Install it with"):
        Llava(model=str(small_model("qwen2.5-vl"))).start(pictures.files)
