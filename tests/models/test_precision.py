"""What ``auto`` comes to, by the flags of processors as the system lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from spn4cir_core.models import precision
from spn4cir_core.models.precision import precision_of


@pytest.mark.parametrize(
    ("processor", "wanted"),
    [
        ("processor : 0\nflags : fpu avx512_bf16 sse\n", "bfloat16"),
        ("flags\t\t: fpu amx_bf16\n", "bfloat16"),
        ("flags : fpu avx512f avx2 not_avx512_bf16_at_all\n", "float32"),
        ("BogoMIPS : 50.00\n", "float32"),
        (None, "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_has_it(
    processor: str | None, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpuinfo"
    if processor is not None:
        file.write_text(processor)
    monkeypatch.setattr(precision, "PROCESSOR", file)
    precision.has_bfloat16.cache_clear()
    try:
        assert precision_of("auto") == wanted
        assert [precision_of(setting) for setting in ("float32", "bfloat16")] == ["float32", "bfloat16"]
    finally:
        precision.has_bfloat16.cache_clear()
