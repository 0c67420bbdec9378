from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from spn4cir_core.objectives.bank import Bank
from spn4cir_core.objectives.base import Batch
from spn4cir_core.objectives.in_batch import InBatch

NONE = torch.empty(0, 2, dtype=torch.int64)


def make_batch(rows: list[int], false_negatives: torch.Tensor = NONE, candidates: int = 9, dim: int = 6) -> Batch:
    torch.manual_seed(1)
    bank_ND = normalize(torch.randn(candidates, dim), dim=-1)
    queries_BD = normalize(torch.randn(len(rows), dim), dim=-1).requires_grad_(True)
    weights_B = torch.arange(1, len(rows) + 1, dtype=torch.float32)
    target_rows_B = torch.tensor(rows)
    return Batch(
        queries_BD=queries_BD,
        targets_BD=bank_ND[target_rows_B],
        reference_rows_B=target_rows_B,
        target_rows_B=target_rows_B,
        text_numbers_B=torch.arange(len(rows)),
        compose=lambda references_M, texts_M: queries_BD[texts_M],
        weights_B=weights_B,
        bank_ND=bank_ND,
        false_negatives_M2=false_negatives,
        temperature=torch.tensor(0.1),
        step=0,
    )


def written_out(batch: Batch, negatives_of: dict[int, list[int]], vectors: torch.Tensor) -> float:
    """The weighted mean of -log softmax, with the negatives of each query given by hand."""
    total = 0.0
    for position, negatives in negatives_of.items():
        scores = (vectors @ batch.queries_BD[position].detach() / 0.1).tolist()
        positive = (batch.targets_BD[position] @ batch.queries_BD[position].detach()).item() / 0.1
        denominator = math.exp(positive) + sum(math.exp(scores[negative]) for negative in negatives)
        total += batch.weights_B[position].item() * -math.log(math.exp(positive) / denominator)
    return total / batch.weights_B.sum().item()


def test_equal_targets_and_known_non_negatives_are_no_negatives() -> None:
    batch = make_batch([4, 7, 4, 2], torch.tensor([[1, 2], [3, 8], [0, 2]]))
    expected = written_out(batch, {0: [1], 1: [0, 2], 2: [1, 3], 3: [0, 1, 2]}, batch.targets_BD)
    assert InBatch().loss(batch).item() == pytest.approx(expected, rel=1e-5)


def test_the_bank_has_every_candidate_but_the_guarded_ones_as_negative() -> None:
    batch = make_batch([4, 7, 4, 2], torch.tensor([[1, 2], [3, 8], [0, 2]]))
    assert batch.bank_ND is not None
    left_out = {0: {4, 2}, 1: {7, 2}, 2: {4}, 3: {2, 8}}
    negatives = {position: [row for row in range(9) if row not in rows] for position, rows in left_out.items()}
    bank = written_out(batch, negatives, batch.bank_ND)
    assert Bank().loss(batch).item() == pytest.approx(bank, rel=1e-5)
    mixed = Bank(in_batch_weight=0.25).loss(batch).item()
    assert mixed == pytest.approx(0.75 * bank + 0.25 * InBatch().loss(batch).item(), rel=1e-5)


def test_both_directions_are_averaged() -> None:
    batch = make_batch([4, 7, 4, 2], torch.tensor([[1, 2], [3, 8], [0, 2]]))
    turned = replace(batch, queries_BD=batch.targets_BD, targets_BD=batch.queries_BD.detach())
    back = written_out(turned, {0: [1, 3], 1: [0, 2, 3], 2: [1, 3], 3: [2]}, turned.targets_BD)
    both = (InBatch().loss(batch).item() + back) / 2
    assert InBatch(direction="both").loss(batch).item() == pytest.approx(both, rel=1e-5)


def test_references_are_negatives_once_and_never_where_they_answer_the_query() -> None:
    plain = make_batch([4, 7, 4, 2], torch.tensor([[1, 2], [3, 8], [0, 2]]))
    assert plain.bank_ND is not None
    references = torch.tensor([8, 4, 8, 6])  # 4 is a target of the batch already, 8 stands twice and answers query 3
    batch = replace(plain, reference_rows_B=references, outputs={"reference_targets": plain.bank_ND[references]})
    among_targets = {0: [7], 1: [4, 4], 2: [7, 2], 3: [4, 7, 4]}
    among_references = {0: [8, 6], 1: [8, 6], 2: [8, 6], 3: [6]}
    negatives = {query: among_targets[query] + among_references[query] for query in among_targets}
    expected = written_out(batch, negatives, plain.bank_ND)
    assert InBatch(references=True).loss(batch).item() == pytest.approx(expected, rel=1e-5)
    assert InBatch(references=True).needs == {"reference_targets"} and not InBatch().needs
