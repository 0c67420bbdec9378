"""What every objective promises."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from spn4cir_core.engine.plugins import as_table
from spn4cir_core.errors import RecipeError
from spn4cir_core.objectives.base import OBJECTIVES, Objective
from spn4cir_core.objectives.negatives import AgainstNegatives
from tests.objectives.examples import CANDIDATES, Example, example

SETTINGS = {
    "negative_types": [{"per_query": None}, {"types": ["reference", "text"], "per_query": None}],
    "reference_negatives": [{"per_query": None}],
    "mixture": [{"parts": [{"kind": "focal", "weight": 0.5}, {"kind": "hinge"}]}],
    "hinge": [{}, {"keep": "sum", "margin": 0.5}],
    "hardness": [{}, {"beta": 2.0, "alpha": 0.5}],
    "positive_margin": [{}, {"rule": "absolute"}],
    "unime": [{}, {"top_k": 2}],
    "in_batch": [{}, {"direction": "both"}],
    "judged_labels": [{"reranker": {"kind": "tests.reranking.rerankers:ByColour"}}],
    "hard_mixing": [{}, {"hardest": 3, "mixtures": 4}],
}
ONE_STAGE = {
    **dict.fromkeys(("bank", "pull", "judged_labels", "explicit_negatives"), 2),
    **dict.fromkeys(("memory_queue", "prompt_alignment", "target_guided"), 1),
}
TARGETS_HELD = {"soft_labels", "hard_mixing", "target_guided"}
"""Objectives that read the targets' vectors without a gradient in a part that is no mere comparison."""
CASES = [
    pytest.param(stage, {"kind": kind, **settings}, id=f"{kind}-{number}-stage{stage}")
    for kind in sorted(OBJECTIVES.members)
    for number, settings in enumerate(SETTINGS.get(kind, [{}]))
    for stage in (1, 2)
    if ONE_STAGE.get(kind, stage) == stage
]


def loss_of(table: dict, case: Example, **changes: object) -> Tensor:
    objective: Objective = OBJECTIVES.build(table)
    return objective.loss(case.batch(**changes))


@pytest.mark.parametrize(("stage", "table"), CASES)
class TestContract:
    def test_the_gradient_is_that_of_finite_differences(self, stage: int, table: dict) -> None:
        case = example(stage)
        leaves = [case.references_BD, case.texts_BD]
        if stage == 1 and table["kind"] not in TARGETS_HELD:
            leaves.append(case.targets_BD)

        def loss(references_BD: Tensor, texts_BD: Tensor, targets_BD: Tensor = case.targets_BD) -> Tensor:
            moved = replace(case, references_BD=references_BD, texts_BD=texts_BD, targets_BD=targets_BD)
            return loss_of(table, moved)

        assert loss(*leaves).shape == ()
        assert torch.isfinite(loss(*leaves))
        leaves = [leaf.clone().requires_grad_(True) for leaf in leaves]
        assert torch.autograd.gradcheck(loss, leaves, fast_mode=True)

    def test_it_is_the_mean_of_the_triplets_losses_by_their_weights(self, stage: int, table: dict) -> None:
        case = example(stage)
        alone = [
            loss_of(table, case.weighing([float(i == position) for i in range(5)])).item() for position in range(5)
        ]
        weights = [2.0, 0.0, 1.0, 3.0, 0.5]
        mean = sum(w * loss for w, loss in zip(weights, alone, strict=True)) / sum(weights)
        assert loss_of(table, case.weighing(weights)).item() == pytest.approx(mean, rel=1e-9)

    def test_what_is_known_to_be_no_negative_moves_nothing(self, stage: int, table: dict) -> None:
        """For triplet 0 triplet 2 has a guarded target, a guarded reference and the same text."""
        case = example(stage).weighing([1.0, 0.0, 0.0, 0.0, 0.0])
        assert {(0, case.target_rows[2]), (0, case.reference_rows[2]), (2, case.target_rows[0])} <= {
            *case.false_negatives
        }
        elsewhere = normalize(torch.full((12,), 1.0, dtype=torch.float64) + case.bank_ND[0], dim=-1)
        moved = replace(
            case,
            **{name: getattr(case, name).clone() for name in ("references_BD", "texts_BD", "targets_BD", "bank_ND")},
            queue_QD=case.queue_QD.clone(),
        )
        moved.references_BD[2] = moved.texts_BD[2] = moved.targets_BD[2] = elsewhere
        moved.bank_ND[3] = moved.bank_ND[4] = elsewhere
        moved.queue_QD[:3] = elsewhere
        assert loss_of(table, moved).item() == pytest.approx(loss_of(table, case).item(), rel=1e-12)

    def test_the_order_of_the_batch_plays_no_part(self, stage: int, table: dict) -> None:
        case = example(stage)
        assert loss_of(table, case.permuted([3, 0, 4, 2, 1])).item() == pytest.approx(loss_of(table, case).item())

    @pytest.mark.parametrize("triplets", [1, 5])
    def test_without_any_negative_it_is_a_number(self, stage: int, table: dict, triplets: int) -> None:
        case = example(stage, triplets)
        case.texts_BD.requires_grad_(True)
        everything = [(position, row) for position in range(triplets) for row in range(CANDIDATES)]
        pairs = [(position, row) for position, row in everything if row != case.target_rows[position]]
        loss = loss_of(table, replace(case, false_negatives=tuple(pairs), text_numbers=(0,) * triplets))
        loss.backward()
        assert torch.isfinite(loss)
        assert case.texts_BD.grad is not None
        assert torch.isfinite(case.texts_BD.grad).all()

    def test_a_target_of_several_equal_tokens_is_a_target_of_one(self, stage: int, table: dict) -> None:
        case = example(stage)
        tokens = replace(
            case,
            **{name: getattr(case, name)[:, None, :].repeat(1, 3, 1) for name in ("targets_BD", "bank_ND", "queue_QD")},
        )
        assert loss_of(table, tokens).item() == pytest.approx(loss_of(table, case).item(), rel=1e-9)

    def test_a_step_down_the_gradient_brings_queries_nearer_to_their_targets(self, stage: int, table: dict) -> None:
        if table["kind"] == "wording_consistency":
            pytest.skip("compares two queries, wherever their target is")
        batch = example(stage).batch()
        queries_BD = batch.queries_BD.clone().requires_grad_(True)
        OBJECTIVES.build(table).loss(replace(batch, queries_BD=queries_BD)).backward()
        assert queries_BD.grad is not None
        wanted_BD = batch.output("start_queries") if table["kind"] == "pull" else batch.targets_BD
        assert (queries_BD.grad * wanted_BD).sum().item() < 0

    def test_its_table_gives_it_back(self, stage: int, table: dict) -> None:
        objective = OBJECTIVES.build(table)
        assert OBJECTIVES.build(as_table(objective)) == objective


CHOOSING = [case for case in CASES if issubclass(OBJECTIVES.member(case.values[1]["kind"]), AgainstNegatives)]


@pytest.mark.parametrize(("stage", "table"), CHOOSING)
def test_keeping_all_of_the_nearest_is_keeping_all(stage: int, table: dict) -> None:
    case = example(stage)
    pool = 5 if stage == 1 else CANDIDATES
    selected, whole = (loss_of({**table, "top_k": count}, case).item() for count in (pool - 1, None))
    assert selected == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize(
    ("stage", "table", "message"),
    [
        (1, {"kind": "bank"}, "only stage 2 has; use 'in_batch'"),
        (1, {"kind": "nearest", "over": "bank"}, "'nearest' with over = 'bank' needs a candidate bank"),
        (1, {"kind": "pull"}, "reads the output 'start_queries', and the batch has prompt_distances, "),
        (1, {"kind": "guide", "by": "start_queries"}, "reads the output 'start_queries'"),
        (1, {"kind": "soft_labels", "by": "start_queries"}, "reads the output 'start_queries'"),
        (
            1,
            {"kind": "judged_labels", **SETTINGS["judged_labels"][0]},
            "needs a candidate bank, which only stage 2 has",
        ),
        (1, {"kind": "explicit_negatives"}, "needs a candidate bank, which only stage 2 has"),
        (2, {"kind": "memory_queue"}, "is for stage 1"),
    ],
)
def test_a_stage_that_cannot_serve_an_objective_says_so(stage: int, table: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        loss_of(table, example(stage))


@pytest.mark.parametrize("seed", range(3))
def test_what_is_no_negative_is_found_as_a_loop_finds_it(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    targets, rows = (torch.randint(0, 9, (size,), generator=random) for size in (6, 14))
    pairs = torch.stack([torch.randint(0, most, (20,), generator=random) for most in (6, 12)], dim=1)
    guarded = {tuple(pair) for pair in pairs.tolist()}
    expected = [
        [row == own or (position, row) in guarded for row in rows.tolist()] for position, own in enumerate(targets)
    ]
    result = example(1).batch(target_rows_B=targets, false_negatives_M2=pairs).is_excluded(rows)
    assert result.tolist() == expected and torch.equal(result, torch.tensor(expected))
