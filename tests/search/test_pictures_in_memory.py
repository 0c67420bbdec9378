from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from spn4cir_core.search.pictures_in_memory import PicturesInMemory


def test_pictures_wait_until_those_before_are_gone() -> None:
    memory, order = PicturesInMemory(100), list[str]()
    half, larger = Image.new("RGB", (10, 5)), Image.new("RGB", (1000, 10))

    def hold_the_larger() -> None:
        with memory.holding([larger]):
            order.append("in")

    with ThreadPoolExecutor(1) as pool:
        with memory.holding([half]), memory.holding([half]), memory.holding([]):
            waiting = pool.submit(hold_the_larger)
            order.append("both out")
        waiting.result(60)
    assert order == ["both out", "in"]
    with memory.holding([half, half]):
        assert memory._pixels == 100
    assert memory._pixels == 0
