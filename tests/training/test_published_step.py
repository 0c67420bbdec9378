"""Stage 2 by the packaged settings against the published steps, written out with torch and the models' libraries."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import as_module, load_checkpoint
from spn4cir_core.training.embed_candidates import open_references
from spn4cir_core.training.roles import STAGE2
from spn4cir_core.training.stages import CANDIDATE_BANK, STAGE1_CHECKPOINT, STAGE2_CHECKPOINT
from spn4cir_core.training.steps import Steps
from spn4cir_core.training.triplet_batches import TrainingTriplets, read_training_triplets
from tests.backbones.blip_models import QUERIES, tokenizer
from tests.backbones.small_backbones import WRITERS

World = Callable[..., tuple[Recipe, Store]]
Parameters = dict[str, nn.Parameter]
STEPS, BATCH, RATE = 3, 4, 1e-3


@dataclass(frozen=True)
class PublishedStep:
    """What the paper's code does in a step of stage 2."""

    query: Callable[[torch.Tensor, list[str]], torch.Tensor]
    """(B, D) unit vectors of reference features with texts."""
    parameters: Parameters
    """What its optimiser is given, by our names; what takes no part in the loss stays as it is."""


@dataclass(frozen=True)
class PublishedOptimiser:
    """AdamW's settings, and the temperature."""

    temperature: float
    learnt: bool
    decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)


OPTIMISERS = {
    "clip4cir": PublishedOptimiser(0.02, learnt=False),
    "tgcir": PublishedOptimiser(0.02, learnt=False),
    "blip4cir": PublishedOptimiser(0.03, learnt=True),
    "sprc": PublishedOptimiser(0.05, learnt=True, decay=0.05, betas=(0.9, 0.98)),
}
RECIPES = {"clip4cir": "fashioniq", **{kind: f"fashioniq_{kind}" for kind in ("tgcir", "blip4cir", "sprc")}}


def clip_tokens(network: Any, texts: list[str]) -> torch.Tensor:
    tokens = network.tokenize(texts)
    return functional.pad(tokens, (0, 77 - tokens.shape[1]))  # published texts are always 77 long


def clip4cir(network: Any, model: Path) -> PublishedStep:
    """Reference and text features are summed; all but the visual tower is trained."""

    def query(references_BD: torch.Tensor, texts: list[str]) -> torch.Tensor:
        return functional.normalize(references_BD + network.clip.encode_text(clip_tokens(network, texts)), dim=-1)

    return PublishedStep(query, without(network, "clip.visual."))


def tgcir(network: Any, model: Path) -> PublishedStep:
    """Token by token a share of the reference; masks and token learner of the texts are copies of the images'."""
    clip, masks, learner = network.clip, nn.Parameter(network.masks.detach().clone()), copy.deepcopy(network.tokenlearn)
    seen: list[torch.Tensor] = []
    clip.ln_final.register_forward_hook(lambda module, given, states: seen.append(states))

    def query(references_BKD: torch.Tensor, texts: list[str]) -> torch.Tensor:
        pooled_BD = clip.encode_text(clip_tokens(network, texts))
        features_BPD = network.text_fc(seen.pop())
        weights_BPK = torch.sigmoid(learner.weigh(features_BPD))
        locals_ = [(weights_BPK[..., k : k + 1] * features_BPD).mean(dim=1) for k in range(weights_BPK.shape[-1])]
        text_BKD = torch.stack([*(pooled_BD * torch.relu(mask) for mask in masks), *locals_], dim=1)
        share_BK1 = torch.sigmoid(network.s_remain_map(torch.cat([references_BKD, text_BKD], dim=-1)))
        return functional.normalize((share_BK1 * references_BKD + (1 - share_BK1) * text_BKD).mean(dim=1), dim=-1)

    own = {"masks_text": masks, **{f"tokenlearn_text.{name}": p for name, p in learner.named_parameters()}}
    return PublishedStep(query, own | without(network, "clip.visual.", "fc.", "masks", "tokenlearn."))


def blip4cir(network: Any, model: Path) -> PublishedStep:
    """BLIP's text encoder attends to the reference's patches; nothing is frozen, but the loss reaches no vision."""
    from transformers import BlipForImageTextRetrieval

    retrieval: Any = BlipForImageTextRetrieval  # its methods are not typed
    blip = retrieval.from_pretrained(model).eval()
    words = tokenizer()
    words.add_tokens(["[DEC]", "[ENC]"])

    def query(references_BPW: torch.Tensor, texts: list[str]) -> torch.Tensor:
        read = words(texts, padding="longest", return_tensors="pt")
        read.input_ids[:, 0] = words.convert_tokens_to_ids("[ENC]")
        states = blip.text_encoder(read.input_ids, read.attention_mask, encoder_hidden_states=references_BPW)[0]
        return functional.normalize(blip.text_proj(states[:, 0]), dim=-1)

    return PublishedStep(query, dict(blip.named_parameters()))


def sprc(network: Any, model: Path) -> PublishedStep:
    """Prompts by the frozen Q-Former, read before the text by its copy, which alone is trained; padding is masked."""
    from transformers import Blip2ForImageTextRetrieval

    retrieval: Any = Blip2ForImageTextRetrieval
    blip = retrieval.from_pretrained(model).eval()
    parts = ("embeddings", "qformer", "text_projection")
    again = nn.ModuleDict({part: copy.deepcopy(getattr(blip, part)) for part in parts})

    def query(references_BPW: torch.Tensor, texts: list[str]) -> torch.Tensor:
        read = tokenizer()(texts, padding="longest", return_tensors="pt")
        mask = torch.cat([torch.ones(len(texts), QUERIES, dtype=torch.long), read.attention_mask], dim=1)
        with torch.no_grad():
            prompts = blip.qformer(
                blip.embeddings(read.input_ids, query_embeds=blip.query_tokens.expand(len(texts), -1, -1)),
                query_length=QUERIES,
                attention_mask=mask,
                encoder_hidden_states=blip.vision_model.post_layernorm(references_BPW),
            )[0][:, :QUERIES]
        both = again["embeddings"](read.input_ids, query_embeds=prompts)
        states = again["qformer"](both, query_length=0, attention_mask=mask)[0]
        return functional.normalize(again["text_projection"](states[:, QUERIES]), dim=-1)

    return PublishedStep(query, {f"query_former.{name}": p for name, p in again.named_parameters()})


PUBLISHED: dict[str, Callable[[Any, Path], PublishedStep]] = {
    "clip4cir": clip4cir,
    "tgcir": tgcir,
    "blip4cir": blip4cir,
    "sprc": sprc,
}


def without(network: nn.Module, *frozen: str) -> Parameters:
    return {name: p for name, p in network.named_parameters() if not name.startswith(frozen)}


def published_steps(
    step: PublishedStep,
    settings: PublishedOptimiser,
    references: torch.Tensor,
    bank: torch.Tensor,
    triplets: TrainingTriplets,
    seed: int,
) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
    """After each step the gradients, by our names, and the temperature: cross-entropy over the whole bank."""
    temperature = nn.Parameter(torch.tensor(settings.temperature), requires_grad=settings.learnt)
    optimiser = torch.optim.AdamW(
        [*step.parameters.values(), temperature], RATE, settings.betas, eps=1e-7, weight_decay=settings.decay
    )
    tokens_NTD = bank if bank.ndim == 3 else bank[:, None]
    for number in range(STEPS):
        batch = triplets.batch(seed, STAGE2.name, number, BATCH)
        query_BD = step.query(references[batch.references_B], batch.texts)
        scores_BN = torch.einsum("bd,ntd->bnt", query_BD, tokens_NTD).amax(dim=2)
        optimiser.zero_grad()
        functional.cross_entropy(scores_BN / temperature, torch.from_numpy(batch.targets_B)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        yield gradients(step.parameters), temperature.detach().clone()


def gradients(parameters: Parameters) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}


def made(recipe: Recipe, store: Store) -> tuple[Artifact, Artifact, Artifact]:
    return tuple(stage.run(recipe, store)[0] for stage in (STAGE1_CHECKPOINT, CANDIDATE_BANK, STAGE2_CHECKPOINT))  # type: ignore[return-value]


def packaged_stage2(kind: str) -> dict[str, Any]:
    """Stage 2 of the packaged recipe, but so short and in so many digits that a CPU can follow it."""
    recipe = load_recipe(RECIPES[kind], {"images": {"reader": {"folder": "pictures"}}})
    small = {"steps": STEPS, "batch_size": BATCH, "learning_rate": RATE, "precision": "float32", "device": "cpu"}
    return {**recipe.stage2_checkpoint.model_dump(), **small}


def seen_by_the_loss(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Without the biases of attention's keys: the softmax is blind to them, and AdamW magnifies their rounding."""
    seen = {name: tensor for name, tensor in tensors.items() if not name.endswith(".key.bias")}
    for name in seen:
        if name.endswith("in_proj_bias"):
            queries, _, values = seen[name].chunk(3)
            seen[name] = torch.cat([queries, values])
    return seen


def apart(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> tuple[float, float]:
    """Norm of all differences, norm of all values."""
    squares = [((ours[name] - value).square().sum(), value.square().sum()) for name, value in theirs.items()]
    difference, whole = torch.tensor(squares, dtype=torch.float64).sum(0).sqrt().tolist()
    return difference, whole


@pytest.mark.parametrize("kind", PUBLISHED)
def test_gradients_weights_and_temperature_are_those_of_the_published_steps(
    kind: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = WRITERS[kind](tmp_path / "weights") | ({"dropout": 0.0} if kind == "sprc" else {})
    taken: list[dict[str, torch.Tensor]] = []
    take = Steps.take

    def watched(self: Steps, *args: Any) -> dict[str, Any]:
        line = take(self, *args)
        taken.append(gradients(dict(as_module(self.training.network).named_parameters())))
        return line

    monkeypatch.setattr(Steps, "take", watched)
    recipe, store = world(stage1={"backbone": table, "steps": 0}, stage2=packaged_stage2(kind))
    stage1, bank, stage2 = made(recipe, store)
    vectors, references = np.load(bank.file("bank.npy")), open_references(bank)
    assert references is not None
    triplets = read_training_triplets(store.current(recipe.name, "triplets"))  # type: ignore[arg-type]
    step, settings = PUBLISHED[kind](load_checkpoint(stage1).network, tmp_path / "weights"), OPTIMISERS[kind]
    start = {name: p.detach().clone() for name, p in step.parameters.items()}
    tensors = torch.from_numpy(np.array(references)), torch.from_numpy(vectors)
    steps = list(published_steps(step, settings, *tensors, triplets, recipe.seed))

    assert taken[0].keys() == steps[0][0].keys(), "the same tensors are trained"
    difference, whole = apart(taken[0], steps[0][0])
    assert difference <= 1e-5 * whole > 0
    trained = load_checkpoint(stage2)
    ours = seen_by_the_loss(as_module(trained.network).state_dict())
    theirs = seen_by_the_loss({name: p.detach() for name, p in step.parameters.items()})
    moved, _ = apart(seen_by_the_loss(start), theirs)
    difference, _ = apart({name: ours.get(name, value) for name, value in theirs.items()}, theirs)
    assert difference <= 1e-3 * moved > 0
    temperature = float(steps[-1][1])
    assert abs(trained.temperature - temperature) <= 1e-6
    assert (abs(temperature - settings.temperature) > 1e-3) == settings.learnt
