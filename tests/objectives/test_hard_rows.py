from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from spn4cir_core.objectives.hard_rows import hard_rows, vectors_at


def make_case(tokens: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    pool = normalize(torch.randn(60, tokens, 8, dtype=torch.float64), dim=-1)
    queries_BD = normalize(torch.randn(4, 8, dtype=torch.float64), dim=-1)
    left_out = torch.stack([torch.randint(4, (50,)), torch.randint(60, (50,))], dim=1)
    return queries_BD, pool[:, 0] if tokens == 1 else pool, left_out


def slow_rows(queries_BD: Tensor, pool: Tensor, count: int, left_out: set[tuple[int, int]]) -> list[list[int]]:
    tokens = pool[:, None] if pool.ndim == 2 else pool
    result = []
    for position, query in enumerate(queries_BD.numpy()):
        scores = {row: max(float(query @ token) for token in tokens[row].numpy()) for row in range(len(pool))}
        allowed = [row for row in scores if (position, row) not in left_out]
        result.append(sorted(allowed, key=lambda row: -scores[row])[:count])
    return result


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize(("count", "block_rows"), [(5, 7), (5, 60), (40, 16), (1, 1)])
def test_blocks_find_what_sorting_everything_finds(tokens: int, count: int, block_rows: int) -> None:
    queries_BD, pool, left_out = make_case(tokens)
    rows_BK, live_BK = hard_rows(queries_BD, pool, count, left_out, block_rows=block_rows)
    assert live_BK.all()
    assert rows_BK.tolist() == slow_rows(queries_BD, pool, count, {tuple(pair) for pair in left_out.tolist()})


def test_what_is_refused_by_score_or_by_vector_is_not_taken() -> None:
    queries_BD, pool, left_out = make_case()
    refused = {(q, row) for q in range(4) for row in range(60) if queries_BD[q] @ pool[row] > 0.3 or pool[row, 0] < 0}
    rows_BK, live_BK = hard_rows(
        queries_BD, pool, 6, left_out, lambda scores, block: (scores > 0.3) | (block[:, 0] < 0), block_rows=11
    )
    assert live_BK.all()
    assert rows_BK.tolist() == slow_rows(queries_BD, pool, 6, refused | {tuple(pair) for pair in left_out.tolist()})


def test_fewer_negatives_than_asked_for_stand_first_and_the_rest_is_marked() -> None:
    queries_BD, pool, _ = make_case()
    all_but_two = torch.tensor([(0, row) for row in range(60) if row not in (17, 31)])
    rows_BK, live_BK = hard_rows(queries_BD, pool, 5, all_but_two, block_rows=8)
    assert live_BK[0].tolist() == [True, True, False, False, False]
    assert set(rows_BK[0, :2].tolist()) == {17, 31}
    assert live_BK[1:].all()
    assert hard_rows(queries_BD, pool, 99, all_but_two)[0].shape == (4, 60)


@pytest.mark.parametrize("tokens", [1, 20])
def test_vectors_are_the_nearest_tokens_and_pass_gradients(tokens: int) -> None:
    queries_BD, pool, _ = make_case(tokens)
    pool.requires_grad_(True)
    rows_BK = torch.randint(60, (4, 11))
    vectors_BKD = vectors_at(queries_BD, pool, rows_BK)
    for query, rows, vectors in zip(queries_BD, rows_BK.tolist(), vectors_BKD, strict=True):
        for row, vector in zip(rows, vectors, strict=True):
            choices = pool[row].reshape(tokens, 8)
            assert torch.equal(vector, max(choices, key=lambda token, query=query: float(token.detach() @ query)))
    vectors_BKD.sum().backward()
    assert pool.grad is not None
    assert pool.grad.sum().item() == pytest.approx(4 * 11 * 8)


def test_a_memory_mapped_bank_is_read_block_by_block(tmp_path: Path) -> None:
    queries_BD, pool, left_out = make_case()
    np.save(tmp_path / "bank.npy", pool.numpy().astype(np.float32))
    mapped = torch.from_numpy(np.load(tmp_path / "bank.npy", mmap_mode="c"))
    expected = hard_rows(queries_BD, pool.float().double(), 9, left_out)
    assert torch.equal(hard_rows(queries_BD, mapped, 9, left_out, block_rows=13)[0], expected[0])
    assert vectors_at(queries_BD, mapped, expected[0]).dtype == torch.float64
