from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from spn4cir_core.objectives.bank_softmax import bank_softmax_losses, softmax_parts

Case = tuple[Tensor, Tensor, Tensor, Tensor]


def make_case(rows: int = 5000, queries: int = 12, dim: int = 16, left_out: int = 40, seed: int = 0) -> Case:
    torch.manual_seed(seed)
    bank_ND = normalize(torch.randn(rows, dim, dtype=torch.float64), dim=-1)
    queries_BD = normalize(torch.randn(queries, dim, dtype=torch.float64), dim=-1)
    targets_B = torch.randint(rows, (queries,))
    pairs = torch.stack([torch.randint(queries, (left_out,)), torch.randint(rows, (left_out,))], dim=1).unique(dim=0)
    pairs = pairs[pairs[:, 1] != targets_B[pairs[:, 0]]]
    return queries_BD, bank_ND, targets_B, pairs


def make_token_case(rows: int = 700, tokens: int = 5) -> Case:
    queries_BD, bank_ND, targets_B, pairs = make_case(rows=rows * tokens)
    pairs = pairs[(pairs[:, 1] < rows)]
    targets_B %= rows
    pairs = pairs[pairs[:, 1] != targets_B[pairs[:, 0]]]
    return queries_BD, bank_ND.view(rows, tokens, -1), targets_B, pairs


def dense_losses(queries_BD: Tensor, bank_ND: Tensor, targets_B: Tensor, pairs: Tensor, tau: Tensor) -> Tensor:
    """The definition, one query at a time; a candidate's score is the highest of its tokens'."""
    losses = []
    for query in range(len(queries_BD)):
        remaining = [row for row in range(len(bank_ND)) if not ((pairs[:, 0] == query) & (pairs[:, 1] == row)).any()]
        scores = bank_ND @ queries_BD[query] / tau
        logits = scores if scores.ndim == 1 else scores.max(dim=1).values
        losses.append(torch.log(torch.exp(logits[remaining]).sum()) - logits[targets_B[query]])
    return torch.stack(losses)


def gradients(losses_of: object, case: Case, tau: float, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    queries_BD = case[0].detach().clone().to(dtype).requires_grad_(True)
    temperature = torch.tensor(tau, dtype=dtype, requires_grad=True)
    losses_B = losses_of(queries_BD, case[1].to(dtype), case[2], case[3], temperature)  # type: ignore[operator]
    (losses_B * torch.linspace(1, 2, len(losses_B), dtype=dtype)).sum().backward()
    assert queries_BD.grad is not None and temperature.grad is not None
    return losses_B.detach(), queries_BD.grad, temperature.grad


@pytest.mark.parametrize("tau", [0.01, 0.05, 1.0])
def test_losses_and_gradients_are_those_of_the_definition(tau: float) -> None:
    case = make_case()
    expected = gradients(dense_losses, case, tau, torch.float64)
    single = gradients(bank_softmax_losses, case, tau, torch.float32)
    for wanted, got in zip(expected, single, strict=True):
        assert ((got.double() - wanted).norm() / wanted.norm()).item() <= 1e-5
    for wanted, got in zip(expected, gradients(bank_softmax_losses, case, tau, torch.float64), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("tau", [0.01, 0.05])
def test_a_candidate_of_several_tokens_counts_with_the_nearest(tau: float) -> None:
    case = make_token_case()
    expected = gradients(dense_losses, case, tau, torch.float64)
    for wanted, got in zip(expected, gradients(bank_softmax_losses, case, tau, torch.float64), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


def test_blocks_hold_whole_candidates_and_do_not_change_the_sums() -> None:
    queries_BD, bank_NTD, _, pairs = make_token_case()
    whole = softmax_parts(queries_BD, bank_NTD, pairs, 0.05, block_rows=len(bank_NTD) * 5)
    for block_rows in (1, 12, 33):
        parts = softmax_parts(queries_BD, bank_NTD, pairs, 0.05, block_rows)
        torch.testing.assert_close(parts.mean_BD / parts.mass_B[:, None], whole.mean_BD / whole.mass_B[:, None])
        torch.testing.assert_close(parts.peak_B + parts.mass_B.log(), whole.peak_B + whole.mass_B.log())


def test_one_token_is_one_vector_to_the_last_bit() -> None:
    queries_BD, bank_ND, targets_B, pairs = (part.float() if part.is_floating_point() else part for part in make_case())
    plain = bank_softmax_losses(queries_BD, bank_ND, targets_B, pairs, torch.tensor(0.05))
    assert torch.equal(plain, bank_softmax_losses(queries_BD, bank_ND[:, None], targets_B, pairs, torch.tensor(0.05)))


def test_a_candidate_left_out_changes_nothing_wherever_it_stands() -> None:
    queries_BD, bank_ND, targets_B, pairs = make_case(left_out=200)
    before = bank_softmax_losses(queries_BD, bank_ND, targets_B, pairs, torch.tensor(0.05))
    query, row = pairs[0].tolist()
    moved_ND = bank_ND.clone()
    moved_ND[row] = queries_BD[query]
    after = bank_softmax_losses(queries_BD, moved_ND, targets_B, pairs, torch.tensor(0.05))
    assert after[query] == pytest.approx(before[query].item(), rel=1e-12)


def test_a_block_whose_every_row_is_left_out_gives_no_nan() -> None:
    queries_BD, bank_ND, _, _ = make_case(rows=30, queries=3)
    pairs = torch.tensor([(0, row) for row in range(20)])
    parts = softmax_parts(queries_BD, bank_ND, pairs, 0.05, block_rows=10)
    logits = bank_ND[20:] @ queries_BD[0] / 0.05
    assert (parts.peak_B[0] + parts.mass_B[0].log()).item() == pytest.approx(torch.logsumexp(logits, 0).item())
    assert torch.isfinite(parts.mean_BD).all()


def test_a_memory_mapped_float16_bank_gives_the_losses_of_its_rounded_rows(tmp_path: Path) -> None:
    queries_BD, bank_ND, targets_B, pairs = make_case()
    np.save(tmp_path / "bank.npy", bank_ND.numpy().astype(np.float16))
    mapped = torch.from_numpy(np.load(tmp_path / "bank.npy", mmap_mode="c"))
    tau = torch.tensor(0.05)
    got = bank_softmax_losses(queries_BD.float(), mapped, targets_B, pairs, tau)
    wanted = bank_softmax_losses(queries_BD, mapped.double(), targets_B, pairs, tau)
    torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-5)
