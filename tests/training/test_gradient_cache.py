from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spn4cir_core.engine.processes import ALONE
from spn4cir_core.training.gradient_cache import Encode, GradientCache

CPU = torch.device("cpu")


def two_encoders(dtype: torch.dtype, dropout: float = 0.0) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 8)).to(dtype)
    return encoder, torch.randn(22, 6, dtype=dtype), torch.randn(22, 6, dtype=dtype)


def contrastive(queries: Tensor, targets: Tensor) -> Tensor:
    logits = nn.functional.normalize(queries, dim=-1) @ nn.functional.normalize(targets, dim=-1).T / 0.1
    return nn.functional.cross_entropy(logits, torch.arange(len(logits)))


def gradients(encoder: nn.Module) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in encoder.parameters() if parameter.grad is not None]


def cached(
    encoder: nn.Module, references: Tensor, targets: Tensor, chunk_size: int | None
) -> tuple[float, list[Tensor]]:
    encoder.zero_grad()
    torch.manual_seed(1)
    cache = GradientCache(ALONE, CPU, chunk_size)
    vectors = [
        cache.vectors(Encode(len(rows), lambda span, rows=rows: encoder(rows[span.start : span.stop])))
        for rows in (references, targets)
    ]
    loss = contrastive(vectors[0], vectors[1])
    loss.backward()
    cache.backward()
    return loss.item(), gradients(encoder)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("chunk_size", [None, 1, 5, 22, 100])
def test_gradients_in_chunks_are_those_of_the_plain_batch(
    dtype: torch.dtype, tolerance: float, chunk_size: int | None
) -> None:
    encoder, references, targets = two_encoders(dtype)
    loss = contrastive(encoder(references), encoder(targets))
    loss.backward()
    plain = gradients(encoder)
    value, ours = cached(encoder, references, targets, chunk_size)
    assert value == pytest.approx(loss.item(), rel=tolerance)
    for mine, theirs in zip(ours, plain, strict=True):
        assert (mine - theirs).norm() <= tolerance * theirs.norm()


@pytest.mark.parametrize("chunk_size", [1, 5, 22])
def test_the_second_pass_draws_the_dropout_of_the_first(chunk_size: int) -> None:
    encoder, references, targets = two_encoders(torch.float64, dropout=0.5)
    torch.manual_seed(1)
    chunks = [encoder(rows) for side in (references, targets) for rows in side.split(chunk_size)]
    count = len(chunks) // 2
    contrastive(torch.cat(chunks[:count]), torch.cat(chunks[count:])).backward()
    plain, after = gradients(encoder), torch.rand(1)
    _, ours = cached(encoder, references, targets, chunk_size)
    assert torch.equal(torch.rand(1), after), "and leaves the random numbers where one pass would"
    for mine, theirs in zip(ours, plain, strict=True):
        assert (mine - theirs).norm() <= 1e-12 * theirs.norm()


def test_at_most_a_chunk_is_embedded_at_once_and_constants_take_no_gradient() -> None:
    encoder, references, _ = two_encoders(torch.float32)
    spans: list[int] = []

    def encode(span: range) -> Tensor:
        spans.append(len(span))
        vectors: Tensor = encoder(references[span.start : span.stop])
        return vectors

    cache = GradientCache(ALONE, CPU, 8)
    constants = cache.constants(Encode(22, encode))
    assert spans == [8, 8, 6] and not constants.requires_grad
    torch.testing.assert_close(constants, encoder(references).detach())
    (cache.vectors(Encode(22, encode)) * 0).sum().backward()
    cache.backward()
    assert spans == [8, 8, 6] * 3


def test_vectors_that_the_objective_does_not_look_at_and_frozen_encoders_are_left_alone() -> None:
    encoder, references, targets = two_encoders(torch.float32)
    frozen = nn.Linear(6, 8).requires_grad_(False)
    for chunk_size in (None, 5):
        encoder.zero_grad()
        cache = GradientCache(ALONE, CPU, chunk_size)
        cache.vectors(Encode(22, lambda span: encoder(references[span.start : span.stop])))
        fixed = cache.vectors(Encode(22, lambda span: frozen(targets[span.start : span.stop])))
        fixed.sum().backward()
        cache.backward()
        assert not gradients(encoder) and not gradients(frozen)
