"""The network of TG-CIR. B images or texts, K tokens (global before local) of D dimensions, P positions of width W."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from spn4cir_core.backbones.base import ExportedInputs
from spn4cir_core.backbones.clip4cir.network import ClipNetwork
from spn4cir_core.backbones.clip_towers import pooled_text, text_tokens

OFF_MASK = 0.1
TEACHER_OUTPUTS = frozenset({"teacher_queries", "teacher_terms"})
"""Starting value of a mask outside its own part of the dimensions; inside it is 1."""


class TokenLearner(nn.Module):
    """Local tokens: each is the mean over positions of the features, weighted by a sigmoid of its own linear map."""

    def __init__(self, dim: int, tokens: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(dim, tokens)

    def forward(self, features_BPD: Tensor) -> Tensor:
        """(B, local tokens, D)."""
        weights_BPK = torch.sigmoid(self.weigh(features_BPD))
        return torch.einsum("bpk,bpd->bkd", weights_BPK, features_BPD) / features_BPD.shape[1]


class Teacher(nn.Module):
    """Shares of a token that knows the target: of the reference's that remains, and of the text's that replaces it."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.remain, self.replace = _share_map(dim), _share_map(dim)

    def forward(self, reference_BKD: Tensor, text_BKD: Tensor, target_BKD: Tensor) -> tuple[Tensor, Tensor]:
        """(B, K, 1) each."""
        return (
            torch.sigmoid(self.remain(torch.cat([reference_BKD, target_BKD], dim=-1))),
            torch.sigmoid(self.replace(torch.cat([text_BKD, target_BKD], dim=-1))),
        )


class TgCirNetwork(ClipNetwork):
    """Tokens of either modality, a learnt share per token, and their mean as the query.

    In stage 1 images and texts share masks and token learner; when stage 2 begins the text side gets its own copies,
    so that the target side can stay as the bank has it.
    """

    def __init__(
        self, described: dict[str, Any], *, preprocessing: str, global_tokens: int, local_tokens: int, teacher: bool
    ) -> None:
        super().__init__(described, preprocessing=preprocessing)
        config, dim = described["model_cfg"], self.dim
        self.masks = nn.Parameter(_own_parts(global_tokens, dim))
        self.tokenlearn = TokenLearner(dim, local_tokens)
        self.fc = nn.Linear(config["vision_cfg"]["width"], dim)
        self.text_fc = nn.Linear(config["text_cfg"]["width"], dim)
        self.s_remain_map = _share_map(dim)
        self.masks_text: nn.Parameter | None = None
        self.tokenlearn_text: TokenLearner | None = None
        self.teacher = Teacher(dim) if teacher else None

    @override
    def state(self) -> dict[str, Any]:
        return {**self.described, "query_encoder_is_apart": self.masks_text is not None}

    @override
    def untie_query_encoder(self) -> None:
        if self.masks_text is None:
            self.masks_text = nn.Parameter(self.masks.detach().clone())
            self.tokenlearn_text = copy.deepcopy(self.tokenlearn).requires_grad_(True)

    def image_features(self, images: Tensor) -> Tensor:
        """(B, K, D) tokens."""
        if images.is_floating_point():
            return images.to(self.masks.dtype)
        pooled_BD, states_BPW = _visual_tokens(self.clip.visual, self.pixels(images))
        return _tokens(pooled_BD, self.fc(states_BPW), self.masks, self.tokenlearn)

    @override
    def encode_target(self, images: Tensor) -> Tensor:
        return functional.normalize(self.image_features(images).mean(dim=1), dim=-1)

    @override
    def encode_query(self, images: Tensor | None, tokens: Tensor | None) -> Tensor:
        """(B, D) unit vectors of composed queries; of one modality where the other is None.

        Raises:
            ValueError: both modalities are missing.
        """
        if images is None and tokens is None:
            raise ValueError("a query needs images, texts, or both")
        reference_BKD = None if images is None else self.image_features(images)
        text_BKD = None if tokens is None else self._text_tokens(tokens)
        return functional.normalize(self._composed(reference_BKD, text_BKD).mean(dim=1), dim=-1)

    @property
    @override
    def output_names(self) -> frozenset[str]:
        return super().output_names | (frozenset() if self.teacher is None else TEACHER_OUTPUTS)

    @override
    def extra_outputs(
        self, names: frozenset[str], references: Tensor, tokens: Tensor, read_targets: Callable[[], Tensor]
    ) -> dict[str, Tensor]:
        """``teacher_queries``: (B, D) unit vectors of the queries that the teacher composes, which sees the target.
        ``teacher_terms``: (B, 3) squared distances: of the teacher's shares from a sum of one, of tokens from being
        orthogonal, of the student's share from the teacher's.

        The teacher's tokens are ``remain · reference + replace · text``. Orthogonality is that of the unit tokens of
        the reference, the text and the target: the mean square of their cosines, summed over the three. No gradient
        of the third distance reaches the teacher.
        """
        outputs = super().extra_outputs(names, references, tokens, read_targets)
        if self.teacher is None or not names & TEACHER_OUTPUTS:
            return outputs
        reference_BKD, text_BKD = self.image_features(references), self._text_tokens(tokens)
        target_BKD = self.image_features(read_targets())
        remain_BK1, replace_BK1 = self.teacher(reference_BKD, text_BKD, target_BKD)
        queries_BD = (remain_BK1 * reference_BKD + replace_BK1 * text_BKD).mean(dim=1)
        sums_B = (remain_BK1 + replace_BK1 - 1).square().mean(dim=(1, 2))
        orthogonality_B = sum(_overlaps(tokens_BKD) for tokens_BKD in (reference_BKD, text_BKD, target_BKD))
        distances_B = (self._shares(reference_BKD, text_BKD) - remain_BK1.detach()).square().mean(dim=(1, 2))
        terms_B3 = torch.stack([sums_B, torch.as_tensor(orthogonality_B), distances_B], dim=1)
        return outputs | {"teacher_queries": functional.normalize(queries_BD, dim=-1), "teacher_terms": terms_B3}

    @override
    def exported_inputs(self) -> ExportedInputs:
        inputs = super().exported_inputs()
        return replace(inputs, text=inputs.text | {"length": self._tokenizer.limit})

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """(B, limit): the token learner means over padding too, as published."""
        return self._tokenizer(texts, length=self._tokenizer.limit)

    def frozen_in_stage2(self) -> Sequence[nn.Module | nn.Parameter]:
        """The image side: visual tower, its projection, masks and token learner; and the teacher."""
        teacher = [] if self.teacher is None else [self.teacher]
        return [self.clip.visual, self.fc, self.masks, self.tokenlearn, *teacher]

    def _text_tokens(self, tokens_BP: Tensor) -> Tensor:
        states_BPW = text_tokens(self.clip, tokens_BP)
        masks = self.masks if self.masks_text is None else self.masks_text
        learner = self.tokenlearn if self.tokenlearn_text is None else self.tokenlearn_text
        return _tokens(pooled_text(self.clip, states_BPW, tokens_BP), self.text_fc(states_BPW), masks, learner)

    def _composed(self, reference_BKD: Tensor | None, text_BKD: Tensor | None) -> Tensor:
        if reference_BKD is None or text_BKD is None:
            alone_BKD = text_BKD if reference_BKD is None else reference_BKD
            assert alone_BKD is not None
            return alone_BKD
        share_BK1 = self._shares(reference_BKD, text_BKD)
        return share_BK1 * reference_BKD + (1 - share_BK1) * text_BKD

    def _shares(self, reference_BKD: Tensor, text_BKD: Tensor) -> Tensor:
        """(B, K, 1) share of each token that is the reference's."""
        return torch.sigmoid(self.s_remain_map(torch.cat([reference_BKD, text_BKD], dim=-1)))


def _share_map(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, 1))


def _overlaps(tokens_BKD: Tensor) -> Tensor:
    """(B,) mean squares of the entries in which the tokens' cosines differ from the identity."""
    units_BKD = functional.normalize(tokens_BKD, dim=-1)
    identity_KK = torch.eye(units_BKD.shape[1], device=units_BKD.device)
    return (units_BKD @ units_BKD.mT - identity_KK).square().mean(dim=(1, 2))


def _own_parts(tokens: int, dim: int) -> Tensor:
    """(tokens, dim): each row is 1 on its own part of the dimensions."""
    part = torch.arange(dim) // (dim // tokens)
    return torch.where(part == torch.arange(tokens)[:, None], 1.0, OFF_MASK)


def _tokens(pooled_BD: Tensor, features_BPD: Tensor, masks_KD: Tensor, learner: nn.Module) -> Tensor:
    masked_BKD = pooled_BD[:, None] * functional.relu(masks_KD)
    return torch.cat([masked_BKD, learner(features_BPD)], dim=1)


def _visual_tokens(visual: Any, pixels_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """(B, D) projected feature, and (B, P, W) last-layer tokens before the final norm, the class token first."""
    seen = visual.forward_intermediates(pixels_BCHW, indices=1, output_fmt="NLC", output_extra_tokens=True)
    return seen["image_features"], torch.cat(
        [seen["image_intermediates_prefix"][-1], seen["image_intermediates"][-1]], dim=1
    )
