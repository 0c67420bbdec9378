from __future__ import annotations

import numpy as np
import pytest
import torch

from spn4cir_core.backbones.residual.network import EIGENVALUE_POWER, LEAST_DEVIATION, Levels
from spn4cir_core.backbones.residual.settings import Residual
from spn4cir_core.models.lite0 import LEVEL_FEATURES
from spn4cir_core.models.precision import FloatFormat
from spn4cir_core.models.products import products_in
from tests.backbones.small_backbones import write_residual


@pytest.fixture
def inputs() -> np.ndarray:
    """Features of 40 pictures, of very different sizes from level to level."""
    rng = np.random.default_rng(0)
    return np.concatenate(
        [rng.normal(3 * level, 10.0**level, (40, features)) for level, features in enumerate(LEVEL_FEATURES)], axis=1
    ).astype(np.float32)


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory) -> Residual:
    return Residual.model_validate(
        {key: value for key, value in write_residual(tmp_path_factory.mktemp("none")).items() if key != "kind"}
    )


def test_every_level_is_centred_and_counts_the_same(inputs: np.ndarray) -> None:
    levels = Levels([8, 8, 8, 8])
    levels.measure(inputs)
    vectors_ND = levels(torch.from_numpy(inputs))
    assert vectors_ND.shape == (40, 32)
    torch.testing.assert_close(vectors_ND.mean(0), torch.zeros(32), atol=1e-4, rtol=0)
    norms = [part.square().sum(1).mean().sqrt().item() for part in vectors_ND.split(8, dim=1)]
    assert norms == pytest.approx([1.0] * 4, rel=1e-3)
    correlations = np.corrcoef(vectors_ND[:, :8].numpy().T)
    assert np.abs(correlations - np.eye(8)).max() < 1e-3, "principal components are uncorrelated"


def test_before_the_first_step_a_query_is_the_reference_and_targets_are_the_frozen_features(
    inputs: np.ndarray, settings: Residual
) -> None:
    network = settings.build([], 0)
    network.expect_images(inputs)
    assert isinstance(network, torch.nn.Module)
    network.eval()
    rows = torch.from_numpy(inputs)
    with torch.no_grad():
        targets_ND = network.encode_target(rows)
        queries_ND = network.encode_query(rows, network.tokenize(["make it red"] * len(rows)))
    assert (queries_ND * targets_ND).sum(1).min() > 0.99
    frozen_ND = torch.nn.functional.normalize(network.levels(rows), dim=-1)  # type: ignore[operator]
    torch.testing.assert_close(targets_ND, frozen_ND)


def test_components_stand_for_the_features_that_they_were_made_of(inputs: np.ndarray, settings: Residual) -> None:
    network = settings.build([], 0)
    network.expect_images(inputs)
    rows = torch.from_numpy(inputs)
    components = network.image_features(rows)
    assert (
        components is not None and components.shape == (len(inputs), network.dim) and network.keeps_features_in_stage1
    )
    tokens = network.tokenize(["make it red"] * len(rows))
    assert isinstance(network, torch.nn.Module)
    network.eval()
    with torch.no_grad():
        assert torch.equal(network.encode_target(components), network.encode_target(rows))
        assert torch.equal(network.encode_query(components, tokens), network.encode_query(rows, tokens))


def test_components_are_those_of_a_whole_decomposition(inputs: np.ndarray) -> None:
    levels = Levels([5] * 4)
    levels.measure(inputs)
    for level, part in enumerate(np.split(inputs.astype(np.float64), np.cumsum(LEVEL_FEATURES)[:-1], axis=1)):
        standard = (part - part.mean(0)) / (part.std(0) + LEAST_DEVIATION)
        values, directions = np.linalg.eigh(standard @ standard.T / len(part))  # few rows: their products are smaller
        scores = directions[:, :-6:-1] * np.sqrt(len(part) * values[:-6:-1]) * values[:-6:-1] ** EIGENVALUE_POWER
        scores /= np.sqrt((scores**2).sum(1).mean())
        own = levels(torch.from_numpy(inputs))[:, 5 * level : 5 * level + 5].numpy()
        np.testing.assert_allclose(np.abs(own), np.abs(scores), rtol=2e-2, atol=2e-3)


def test_few_pictures_leave_few_components_and_a_checkpoint_knows_how_many(settings: Residual) -> None:
    few = np.random.default_rng(1).normal(size=(4, sum(LEVEL_FEATURES))).astype(np.float16)
    network = settings.build([], 0)
    network.expect_images(few)
    assert network.state()["level_dims"] == [3, 3, 3, 3] and network.dim == 12
    assert isinstance(network, torch.nn.Module)
    restored = settings.restore(network.state())
    assert isinstance(restored, torch.nn.Module)
    restored.load_state_dict(network.state_dict())
    with torch.no_grad():
        rows = torch.from_numpy(few)
        torch.testing.assert_close(restored.encode_target(rows), network.encode_target(rows))


def test_starting_weights_after_few_pictures_follow_the_seed_alone(settings: Residual) -> None:
    few = np.random.default_rng(1).normal(size=(4, sum(LEVEL_FEATURES))).astype(np.float16)

    def weights(seed: int, drawn_before: int) -> dict[str, torch.Tensor]:
        torch.rand(drawn_before)
        network = settings.build([], seed)
        torch.rand(drawn_before)
        network.expect_images(few)
        assert isinstance(network, torch.nn.Module)
        return dict(network.change.state_dict())  # type: ignore[operator,union-attr]

    one, other, of_another_seed = weights(0, 1), weights(0, 7), weights(1, 1)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(not torch.equal(one[name], of_another_seed[name]) for name in one)


def test_equal_pictures_give_equal_components(inputs: np.ndarray) -> None:
    one, other = Levels([4] * 4), Levels([4] * 4)
    one.measure(inputs)
    other.measure(inputs.copy())
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), other.buffers(), strict=True))


def test_components_vectors_and_gradients_do_not_depend_on_the_number_of_threads(settings: Residual) -> None:
    """Of batch sizes for which a library's products do depend on it."""
    rng = np.random.default_rng(0)
    many = (rng.normal(size=(300, sum(LEVEL_FEATURES))) * rng.uniform(0.1, 3, sum(LEVEL_FEATURES))).astype(np.float16)

    def made(threads: int, number: FloatFormat) -> list[bytes]:
        torch.set_num_threads(threads)
        network = settings.build([], 0)
        network.expect_images(many)
        assert isinstance(network, torch.nn.Module)
        network.eval()
        tokens = network.tokenize([f"make it {word}" for word in ("red", "blue")] * 64)
        with products_in(number):
            images = torch.from_numpy(many[:128])
            queries_BD = network.encode_query(images, tokens)
            (queries_BD * network.encode_target(images)).sum(1).exp().mean().backward()
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        tensors = [*network.state_dict().values(), queries_BD.detach(), *gradients]
        with torch.inference_mode():
            tensors.append(network.encode_target(torch.from_numpy(many[:64])))
        return [tensor.numpy().tobytes() for tensor in tensors]

    before = torch.get_num_threads()
    formats: list[FloatFormat] = ["float32", "bfloat16"]
    try:
        for number in formats:
            assert made(1, number) == made(2, number) == made(4, number)
    finally:
        torch.set_num_threads(before)


def test_components_of_few_pictures_do_not_depend_on_the_number_of_threads() -> None:
    rng, before = np.random.default_rng(0), torch.get_num_threads()
    few = rng.normal(size=(97, sum(LEVEL_FEATURES))).astype(np.float16)

    def measured(threads: int, pictures: int) -> list[bytes]:
        torch.set_num_threads(threads)
        levels = Levels([256] * 4)
        levels.measure(few[:pictures])
        return [buffer.numpy().tobytes() for buffer in levels.buffers()]

    try:
        for pictures in (30, 48, 60, 97):
            assert measured(1, pictures) == measured(2, pictures), pictures
    finally:
        torch.set_num_threads(before)


def test_texts_that_share_an_image_give_the_queries_and_gradients_of_each_pair_apart(
    inputs: np.ndarray, settings: Residual
) -> None:
    network = settings.build([], 0)
    network.expect_images(inputs)
    assert isinstance(network, torch.nn.Module)
    network.eval()
    torch.manual_seed(0)
    for parameter in network.parameters():  # away from the start, where a text changes almost nothing
        torch.nn.init.normal_(parameter, std=0.05)
    rows_M = torch.tensor([2, 0, 0, 1, 2, 2])
    images = torch.from_numpy(inputs[:3])
    tokens = network.tokenize(["is red", "is blue", "is red", "without a hat", "with a hat", "is red"])
    gradients = []
    queries = []
    for vectors_MD in (
        network.encode_queries(images, rows_M, tokens),
        network.encode_query(images[rows_M], tokens),
    ):
        network.zero_grad()
        vectors_MD[:, ::3].sum().backward()
        queries.append(vectors_MD.detach())
        gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    torch.testing.assert_close(*queries)
    assert len(gradients[0]) == len(gradients[1]) > 5
    for shared, apart in zip(*gradients, strict=True):
        torch.testing.assert_close(shared, apart, rtol=1e-4, atol=1e-5)
