"""Stage 2 by the published settings against the published steps, written out with torch alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import load_checkpoint
from spn4cir_core.training.embed_candidates import open_references
from spn4cir_core.training.roles import STAGE2
from spn4cir_core.training.stages import CANDIDATE_BANK, STAGE1_CHECKPOINT, STAGE2_CHECKPOINT
from spn4cir_core.training.triplet_batches import TrainingTriplets, read_training_triplets
from tests.backbones.small_backbones import WRITERS

World = Callable[..., tuple[Recipe, Store]]
STEPS, BATCH, RATE, DECAY, BETAS, TEMPERATURE = 4, 4, 1e-3, 0.05, (0.9, 0.98), 0.03
PUBLISHED = {
    "steps": STEPS,
    "batch_size": BATCH,
    "learning_rate": RATE,
    "weight_decay": DECAY,
    "decayed": "all",
    "adam_betas": BETAS,
    "adam_epsilon": 1e-7,
    "temperature": TEMPERATURE,
    "learn_temperature": True,
    "learnt_temperature": "value",
    "warmup_share": 0.0,
    "rate_schedule": "constant",
    "clip_norm": 1e9,
}


def made(recipe: Recipe, store: Store) -> tuple[Artifact, Artifact, Artifact]:
    return tuple(stage.run(recipe, store)[0] for stage in (STAGE1_CHECKPOINT, CANDIDATE_BANK, STAGE2_CHECKPOINT))  # type: ignore[return-value]


def published_steps(
    stage1: Artifact, references_ND: np.ndarray, bank_ND: np.ndarray, triplets: TrainingTriplets, seed: int
) -> tuple[dict[str, torch.Tensor], float]:
    """CLIP4CIR's second stage: text tower and temperature, one AdamW over all of them, softmax over the whole bank."""
    network: Any = load_checkpoint(stage1).network
    clip = network.clip
    clip.visual.requires_grad_(False)
    temperature = torch.nn.Parameter(torch.tensor(TEMPERATURE))
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW([*trained, temperature], lr=RATE, betas=BETAS, eps=1e-7, weight_decay=DECAY)
    bank, references = torch.from_numpy(np.array(bank_ND)), torch.from_numpy(np.array(references_ND))
    for step in range(STEPS):
        batch = triplets.batch(seed, STAGE2.name, step, BATCH)
        tokens = network.tokenize(batch.texts)
        text = clip.encode_text(functional.pad(tokens, (0, 77 - tokens.shape[1])))  # published texts are always 77 long
        query = functional.normalize(references[batch.references_B] + text, dim=-1)
        loss = functional.cross_entropy(query @ bank.T / temperature, torch.from_numpy(batch.targets_B))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.state_dict(), float(temperature.detach())


def test_the_trained_weights_and_the_temperature_are_the_published_ones(world: World, tmp_path: Path) -> None:
    table = WRITERS["clip4cir"](tmp_path / "weights")
    recipe, store = world(stage1={"backbone": table, "steps": 0}, stage2=PUBLISHED)
    stage1, bank, stage2 = made(recipe, store)
    vectors, references = np.load(bank.file("bank.npy")), open_references(bank)
    assert references is not None
    triplets = read_training_triplets(store.current(recipe.name, "triplets"))  # type: ignore[arg-type]
    wanted, temperature = published_steps(stage1, references, vectors, triplets, recipe.seed)
    trained, start = load_checkpoint(stage2), load_checkpoint(stage1).network.state_dict()  # type: ignore[attr-defined]
    weights = trained.network.state_dict()  # type: ignore[attr-defined]
    assert abs(trained.temperature - temperature) <= 1e-3 * abs(temperature - TEMPERATURE) > 0
    moved = torch.sqrt(sum(((wanted[name] - start[name]) ** 2).sum() for name in wanted))  # type: ignore[arg-type]
    apart = torch.sqrt(sum(((wanted[name] - weights[name]) ** 2).sum() for name in wanted))  # type: ignore[arg-type]
    assert moved > 0.01 and apart <= 5e-3 * moved  # AdamW magnifies the rounding of gradients near zero
