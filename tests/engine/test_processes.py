import pytest

from spn4cir_core.engine.processes import ALONE, Processes
from spn4cir_core.errors import LaunchError


def test_shares_are_disjoint_and_cover_all() -> None:
    items = list("abcdefg")
    shares = [Processes(rank, 3).share(items) for rank in range(3)]
    assert sorted(item for share in shares for item in share) == items
    assert [len(share) for share in shares] == [3, 2, 2]


def test_one_process_has_everything_and_waits_for_no_one() -> None:
    assert list(ALONE.share("abc")) == ["a", "b", "c"] and ALONE.first
    ALONE.wait()


def test_only_rank_0_writes() -> None:
    assert [Processes(rank, 2).first for rank in range(2)] == [True, False]


def test_without_a_launcher_a_process_is_alone() -> None:
    with Processes.started() as processes:
        assert processes is ALONE and processes.gather("a") == ["a"]


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(LaunchError, match="4 processes on a machine with 2 GPUs"), Processes.started():
        raise AssertionError("they were started")
