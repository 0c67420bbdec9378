from __future__ import annotations

import torch
from torch.nn.functional import normalize

from spn4cir_core.objectives.similarity import nearest_tokens, similarities


def test_one_vector_a_candidate_is_the_plain_product() -> None:
    queries_BD, candidates_ND = torch.randn(3, 5), torch.randn(4, 5)
    torch.testing.assert_close(similarities(queries_BD, candidates_ND), queries_BD @ candidates_ND.T)


def test_several_vectors_a_candidate_count_by_the_nearest() -> None:
    torch.manual_seed(0)
    queries_BD = normalize(torch.randn(3, 5), dim=-1)
    tokens_NTD = normalize(torch.randn(4, 6, 5), dim=-1).requires_grad_(True)
    result = similarities(queries_BD, tokens_NTD)
    for query in range(3):
        for candidate in range(4):
            cosines = [float(token @ queries_BD[query]) for token in tokens_NTD[candidate].detach()]
            assert abs(result[query, candidate].item() - max(cosines)) < 1e-6
    result[0, 1].backward()  # type: ignore[no-untyped-call]
    assert tokens_NTD.grad is not None
    touched = tokens_NTD.grad.abs().sum(dim=2).nonzero().tolist()
    assert touched == [[1, int((tokens_NTD[1] @ queries_BD[0]).argmax())]]


def test_the_nearest_token_of_each_own_target() -> None:
    torch.manual_seed(0)
    queries_BD, targets_BTD = torch.randn(3, 5), torch.randn(3, 6, 5)
    for query, result in enumerate(nearest_tokens(queries_BD, targets_BTD)):
        assert torch.equal(result, max(targets_BTD[query], key=lambda token: float(token @ queries_BD[query])))
    assert torch.equal(nearest_tokens(queries_BD, targets_BTD[:, 0]), targets_BTD[:, 0])
