"""Train the small LLaVA that ships as ``builtin:shapes``.

    OMP_WAIT_POLICY=PASSIVE python -m examples.train_shapes_llava.train --out DIR

LLaVA's own recipe in small: the vision tower learns to name what each cell holds, is frozen, and the
projector and the language model learn to caption. No scene of the built-in corpus's evaluation part is
trained on; accuracy is measured through the captioner itself, after the cast to bfloat16, on scenes of
neither.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from examples.train_shapes_llava.tiny_llava import IMAGE_PX, PATCHES, build_model, build_processor
from spn4cir_core.captions.base import ToCaption
from spn4cir_core.captions.prompts import PUBLISHED, request
from spn4cir_core.captions.vlm import Llava
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.images.shape_scenes import COLOURS, SHAPES, SIZES, Scene, caption, draw_scene, random_scene
from spn4cir_core.images.shapes import Shapes

if TYPE_CHECKING:
    import torch

PROMPT = request(PUBLISHED, "", 10)
WORDS = [["", *SIZES], ["", *COLOURS], ["", *SHAPES]]
"""What the tower names per cell: size, colour, shape, each with "" for an empty cell."""
IGNORED = -100
CARD = """# A LLaVA for the built-in shapes

A `LlavaForConditionalGeneration` of {parameters:,} parameters (bfloat16, {size_mb:.2f} MB) that captions the pictures
of the built-in corpus: size, colour and shape of each object, in grid order, without places, e.g.
`{example}`. It
learnt one prompt, `{prompt}`, and knows nothing but 48 px scenes of the generator
`spn4cir_core/images/shape_scenes.py`.

- **Accuracy:** {exact} of {tested} unseen scenes captioned exactly (order and all), measured after the cast, greedy,
  through the `llava` captioner.
- **Data:** {scenes:,} generated scenes, none of them in the evaluation part of the default `shapes` corpus
  ({purged:,} scenes kept out) or among the tested ones.
- **Recipe:** vision tower on per-cell attributes ({tower_steps} steps of 128, AdamW 2e-3), then frozen; projector and
  language model on captions ({steps} steps of 64, AdamW 3e-3, cosine). {minutes:.1f} minutes on {threads} CPU threads.
- **Command:** `{command}`
- **Licence:** as this package (MIT); no outside data or weights.
"""


@dataclass(frozen=True)
class Data:
    """Pictures (N, 3, 48, 48) as the model takes them, cell labels (N, 9, 3), tokens and labels (N, L)."""

    pixels: torch.Tensor
    cells: torch.Tensor
    tokens: torch.Tensor
    labels: torch.Tensor


def draw_scenes(name: str, count: int, kept_out: Collection[Scene]) -> list[Scene]:
    """Distinct random scenes, none of them kept out; the name seeds them."""
    rng = Random(name)
    distinct: dict[Scene, None] = {}
    while len(distinct) < count:
        scene = random_scene(rng)
        if scene not in kept_out:
            distinct[scene] = None
    return list(distinct)


def prepare(scenes: list[Scene], processor: Any) -> Data:
    """Render and tokenise."""
    import torch

    pictures = [draw_scene(scene, IMAGE_PX) for scene in scenes]
    pixels = torch.cat(
        [
            processor.image_processor(pictures[start : start + 512], return_tensors="pt")["pixel_values"]
            for start in range(0, len(pictures), 512)
        ]
    )
    content = [{"type": "image"}, {"type": "text", "text": PROMPT}]
    chat = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    question = processor.tokenizer(chat.replace("<image>", "<image>" * PATCHES))["input_ids"]
    answers = [processor.tokenizer(f" {caption(scene)}</s>")["input_ids"] for scene in scenes]
    longest = max(map(len, answers))
    pad = processor.tokenizer.pad_token_id
    tokens = [question + answer + [pad] * (longest - len(answer)) for answer in answers]
    labels = [[IGNORED] * len(question) + answer + [IGNORED] * (longest - len(answer)) for answer in answers]
    return Data(pixels, torch.tensor([_cells(scene) for scene in scenes]), torch.tensor(tokens), torch.tensor(labels))


def train_tower(model: Any, data: Data, steps: int, seed: int) -> None:
    """Teach the vision tower, by a linear head on the layer LLaVA reads, what each cell holds."""
    import torch

    tower = model.model.vision_tower
    head = torch.nn.Linear(tower.config.hidden_size, sum(map(len, WORDS)))

    def loss(rows: torch.Tensor) -> torch.Tensor:
        patches = tower(data.pixels[rows], output_hidden_states=True).hidden_states[-2][:, 1:]
        parts = head(patches).split([len(words) for words in WORDS], dim=-1)
        named = [
            torch.nn.functional.cross_entropy(part.flatten(0, 1), data.cells[rows][..., index].flatten())
            for index, part in enumerate(parts)
        ]
        return torch.stack(named).sum()

    _optimise("vision tower", loss, [*tower.parameters(), *head.parameters()], 2e-3, len(data.pixels), 128, steps, seed)


def train_captions(model: Any, data: Data, steps: int, seed: int) -> None:
    """Freeze the vision tower; train projector and language model to caption."""
    model.model.vision_tower.requires_grad_(False)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def loss(rows: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = model(
            input_ids=data.tokens[rows], pixel_values=data.pixels[rows], labels=data.labels[rows]
        ).loss
        return answer

    _optimise("captions", loss, trained, 3e-3, len(data.pixels), 64, steps, seed)


def count_exact(folder: Path, scenes: Sequence[Scene]) -> int:
    """How many scenes the saved model captions exactly, through the captioner."""
    answer = Llava(model=str(folder)).start(ImageFiles(folder))
    exact = 0
    for start in range(0, len(scenes), 64):
        part = scenes[start : start + 64]
        chat = [ToCaption(str(index), "", "", "") for index in range(len(part))]
        captions = answer(chat, [draw_scene(scene, IMAGE_PX) for scene in part])
        exact += sum(got == caption(scene) for got, scene in zip(captions, part, strict=True))
    return exact


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, cast to bfloat16, save, measure, and write the model card."""
    import torch

    options = _options(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    started = time.monotonic()
    _, unseen = Shapes().draw()
    tested = draw_scenes(f"tiny llava {options.seed} test", options.tested, unseen.names)
    kept_out = {*unseen.names, *tested}
    scenes = draw_scenes(f"tiny llava {options.seed}", options.scenes, kept_out)
    processor = build_processor([f"USER: \n{PROMPT} ASSISTANT: {caption(scene)}" for scene in scenes[:2000]])
    model = build_model(processor)
    data = prepare(scenes, processor)
    train_tower(model, data, options.tower_steps, options.seed)
    train_captions(model, data, options.steps, options.seed)
    minutes = (time.monotonic() - started) / 60
    model.to(torch.bfloat16).save_pretrained(options.out)
    processor.save_pretrained(options.out)
    size_mb = (options.out / "model.safetensors").stat().st_size / 1e6
    card = CARD.format(
        **{key: value for key, value in vars(options).items() if key not in ("out", "seed", "tested", "scenes")},
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        size_mb=size_mb,
        example=caption(scenes[0]),
        prompt=PROMPT,
        exact=count_exact(options.out, tested),
        tested=len(tested),
        scenes=len(scenes),
        purged=len(unseen.names),
        minutes=minutes,
        command=_command(options),
    )
    (options.out / "README.md").write_text(card, encoding="utf-8")
    print(card)


def _optimise(
    label: str,
    loss_of: Callable[[torch.Tensor], torch.Tensor],
    parameters: list[torch.nn.Parameter],
    rate: float,
    rows: int,
    batch: int,
    steps: int,
    seed: int,
) -> None:
    """AdamW with warm-up over the first twentieth and a cosine to 0, on batches of random rows."""
    import torch

    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    warmup = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min((step + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * step / steps)),
    )
    shuffle = torch.Generator().manual_seed(seed)
    for step in range(steps):
        loss = loss_of(torch.randint(rows, (batch,), generator=shuffle))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 99 or step + 1 == steps:
            print(f"{label}: step {step + 1} of {steps}, loss {loss.item():.4f}", file=sys.stderr, flush=True)


def _cells(scene: Scene) -> list[list[int]]:
    things = {thing.cell: thing for thing in scene}
    looks = [
        (things[cell].size, things[cell].colour, things[cell].shape) if cell in things else ("", "", "")
        for cell in range(PATCHES)
    ]
    return [[words.index(word) for words, word in zip(WORDS, look, strict=True)] for look in looks]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the small LLaVA that ships as builtin:shapes.")
    parser.add_argument("--out", type=Path, required=True, help="folder for model, processor and model card")
    parser.add_argument("--scenes", type=int, default=20_000, help="training scenes")
    parser.add_argument("--tested", type=int, default=1000, help="unseen scenes to measure accuracy on")
    parser.add_argument("--tower-steps", type=int, default=800)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args(arguments)


def _command(options: argparse.Namespace) -> str:
    given = [
        f"--{key.replace('_', '-')} {shlex.quote(str(value))}" for key, value in vars(options).items() if key != "out"
    ]
    return " ".join(["python -m examples.train_shapes_llava.train --out DIR", *given])


if __name__ == "__main__":
    main()
