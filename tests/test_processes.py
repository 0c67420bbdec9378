from spn4cir_core.processes import ALONE, Processes


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
