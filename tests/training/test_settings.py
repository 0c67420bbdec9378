from __future__ import annotations

from pathlib import Path

import pytest

from spn4cir_core.models import precision
from spn4cir_core.recipe import load_recipe
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.training.settings import deciding_settings


@pytest.mark.parametrize(("flags", "chosen"), [("avx2 amx_bf16", "bfloat16"), ("avx2", "float32")])
def test_the_fingerprint_holds_what_products_come_to_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, chosen: str
) -> None:
    processor = tmp_path / "cpuinfo"
    processor.write_text(f"processor : 0\nflags : {flags}\n")
    monkeypatch.setattr(precision, "PROCESSOR", processor)
    precision.has_bfloat16.cache_clear()
    try:
        stage1 = load_recipe("demo").stage1_checkpoint
        auto, own = (
            fingerprint(deciding_settings(stage1.model_copy(update={"products": products})))
            for products in ("auto", chosen)
        )
        assert auto == own
        assert (auto == fingerprint(deciding_settings(stage1))) == (chosen == "float32")
    finally:
        precision.has_bfloat16.cache_clear()
