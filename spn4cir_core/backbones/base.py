"""Base classes of backbones: the settings in the recipe, and the network that they build."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from spn4cir_core.engine.plugins import Plugin, Room
from spn4cir_core.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from spn4cir_core.embeddings.base import ImageEncoder
    from spn4cir_core.models.text_features import TextEncoder


REFERENCE_TARGETS = "reference_targets"
"""Output of every backbone: (B, D) target vectors of the reference images."""


Pixels = Literal["managed", "published"]
"""``managed``: upright, colour profiles converted to sRGB, transparency over white, 16 bit scaled to 8. ``published``:
as Pillow opens the file, made RGB after the transform. RGB and grey pictures without all that are the same in both."""


@dataclass(frozen=True)
class ExportedEncoder:
    """A model of sentence-transformers that pictures and texts pass first; an exported network reads its vectors.

    ``network`` takes (B, D) unit vectors in place of images and of tokens.
    """

    network: Network
    dim: int
    settings: dict[str, Any]
    """``prompt`` of pictures, ``query_prompt``, ``dimensions``, ``together``; ``target`` and ``query``: the folder of
    the model that reads them."""
    save: Callable[[Path], None]
    """Writes these folders into the one it is given."""


@dataclass(frozen=True)
class ExportedInputs:
    """How pictures and texts become what an exported network reads, in words that its loader understands."""

    picture: dict[str, Any]
    """``fit``: ``squeeze``, ``square``, ``clip``, ``target_pad`` or, for an encoder, ``whole``; ``px``."""
    text: dict[str, Any]
    """``tokenizer``: ``words`` with their ``vocabulary``, ``bert`` with its ``limit`` (of BLIP-2 also ``most_words`` of
    a text), or ``clip`` with its ``text_cfg``."""
    tokenizer: str = ""
    """Content of the ``tokenizer.json`` of ``bert``."""
    trunk: Callable[[Tensor], Tensor] | None = None
    """From (B, 3, px, px) uint8 pixels to image inputs, where a network reads features of a frozen trunk."""
    encoder: ExportedEncoder | None = None
    """Where pictures and texts pass a model of a library; ``text`` is then empty."""


class Backbone(Plugin):
    """Settings of a query encoder and a target encoder that share an embedding space."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of settings and of any weights read from outside the store."""

    def inputs_fingerprint(self) -> str:
        """Hash of all that decides :meth:`Network.read_images`; image inputs are stored and shared under it."""
        return self.fingerprint()

    def restoring_fingerprint(self) -> str:
        """Hash of settings and of the outside weights that :meth:`restore` reads; a checkpoint is good while it stays.

        A backbone whose checkpoints hold all of its weights gives the hash of its settings alone.
        """
        return self.fingerprint()

    @property
    def reads_stored_pixels(self) -> bool:
        """Whether :meth:`Network.read_images` gets pictures as they are stored, in any mode and as they lie."""
        return False

    @property
    def inputs_encoder(self) -> ImageEncoder | None:
        """An image encoder whose unit vectors are the network's image inputs; None: the network reads pictures itself.

        They are shared with ``image_embeddings``: where both name the same encoder, pictures pass it once.
        """
        return None

    def bare_fingerprint(self) -> str:
        """Hash of all that :meth:`build_bare` reads: where a published file is put in, no other weights are needed."""
        return self.fingerprint()

    def text_tokenizer(self) -> tuple[str, int]:
        """A tokenizer as ``modified_texts.tokenizer`` names it, and most tokens of a text, known before it is built.

        What ``modified_texts.tokenizer = "backbone"`` stands for.
        """
        return "words", 77

    @abstractmethod
    def build(self, texts: Sequence[str], seed: int) -> Network:
        """A network with its starting weights; ``texts`` (all training texts) may give it its vocabulary."""

    def build_bare(self, texts: Sequence[str], seed: int) -> Network:
        """A network shaped as :meth:`build`'s whose outside weights need not be there: a published file is put in."""
        return self.build(texts, seed)

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> Network:
        """A network shaped as the one whose :meth:`Network.state` this is; weights are loaded by the caller."""


class Network(ABC):
    """Mixed into a ``torch.nn.Module``. B images or texts per batch, D embedding dimensions.

    ``images`` tensors hold what :meth:`read_images` returned, batched. Passing None for one modality of
    :meth:`encode_query` gives that network's single-modality query (the image-only and text-only baselines).
    """

    dim: int
    target_tokens: int = 1
    """T: vectors that a target has. Above one, :meth:`encode_target` gives (B, T, D), and a query's score with a
    target is the highest cosine with any of its vectors."""
    features_dtype: Literal["float16", "float32"] = "float16"
    """What stage 1 keeps :meth:`image_features` in, where it freezes what they are made by."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """JSON values needed, with the weights, to rebuild this network (a vocabulary, say)."""

    @abstractmethod
    def read_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Fixed-shape inputs (B, …) of upright RGB images, made once per image and cached.

        May run a trunk that no stage trains. Row i must not depend on the other images.
        """

    def exported_inputs(self) -> ExportedInputs:
        """How an exported network reads pictures and texts.

        Raises:
            InputError: it cannot be exported.
        """
        raise InputError(f"{type(self).__name__} does not say how it reads pictures and texts: it cannot be exported")

    def expect_texts(self, texts: Sequence[str]) -> None:  # noqa: B027
        """Called with every text of the training, in a fixed order; a frozen text trunk runs over them once here.

        After a kill training calls this again with the same texts, so what it prepares must depend on them alone.
        """

    @property
    def sentence_encoder(self) -> TextEncoder | None:
        """A frozen encoder that every text passes; its vectors are stored per text and given back. None: there is none.

        Whoever is about to encode texts calls :func:`~spn4cir_core.training.text_features.remember_texts` first.
        """
        return None

    def remember_texts(self, texts: Sequence[str], vectors_TF: np.ndarray) -> None:  # noqa: B027
        """Take the (T, F) vectors of T texts by :attr:`sentence_encoder`, made where they were needed first."""

    def expect_images(self, inputs: np.ndarray) -> None:  # noqa: B027
        """Called before stage 1 with the (N, …) image inputs of the candidate set, in a fixed order, for statistics.

        What it measures belongs to the weights or to :meth:`state`, so that a checkpoint holds it.
        """

    def untie_query_encoder(self) -> None:  # noqa: B027
        """Called once, before stage 2: give the query encoder its own copy of what it shares with the target's.

        :meth:`state` must record it. A network that shares nothing, or freezes what is shared, does nothing.
        """

    def image_features(self, images: Tensor) -> Tensor | None:
        """(B, …) float features of image inputs by towers that stage 2 freezes; None where none is worth keeping.

        :meth:`encode_target` and :meth:`encode_query` take them in place of the inputs, which are then of another
        dtype (uint8 pixels, say) or width. The candidate bank keeps them, one row per image, so that stage 2 reads no
        picture and runs no frozen tower.
        """
        return None

    @property
    def keeps_features_in_stage1(self) -> bool:
        """Whether stage 1, too, freezes all that :meth:`image_features` runs: it can then run before the first step."""
        return False

    def target_follows(self) -> Sequence[tuple[nn.Parameter, nn.Parameter]]:
        """Pairs (target encoder's, query encoder's) of parameters that were one before :meth:`untie_query_encoder`.

        For a target encoder that moves slowly after the query's in stage 2; empty where there is nothing to follow.
        """
        return ()

    def checkpoint_activations(self) -> None:
        """Called before training where memory is short: compute activations again in the backward pass.

        Gradients stay as they are. By default every part made by transformers, open_clip or timm does so; where
        there is none, nothing changes.
        """
        from torch import nn

        parts: Any = self.modules() if isinstance(self, nn.Module) else ()
        for part in parts:
            if getattr(part, "supports_gradient_checkpointing", False):
                part.gradient_checkpointing_enable({"use_reentrant": False})
            elif hasattr(part, "set_grad_checkpointing"):
                part.set_grad_checkpointing(True)

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """(B, L) int64 token ids, cut to the network's limit."""

    @abstractmethod
    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens each text has before it is cut, special tokens included."""

    def has_word(self, word: str) -> bool:
        """Whether the vocabulary has a word whole: an encoder of word pieces makes one token of it."""
        without, with_word = self.token_counts(["", word])
        return with_word - without <= 1

    @property
    @abstractmethod
    def token_limit(self) -> int:
        """Most tokens a text may have before it is cut."""

    @abstractmethod
    def encode_target(self, images: Tensor) -> Tensor:
        """(B, D) unit vectors of candidate images; (B, T, D) where ``target_tokens`` is above one."""

    @abstractmethod
    def encode_query(self, images: Tensor | None, tokens: Tensor | None) -> Tensor:
        """(B, D) unit vectors of composed queries."""

    def encode_queries(self, images: Tensor, rows_M: Tensor, tokens: Tensor) -> Tensor:
        """(M, D) as :meth:`encode_query` of the image at each of M rows, which repeat, with as many texts.

        A network overrides it whose part that reads an image alone costs enough to run once for all its texts.
        """
        return self.encode_query(images[rows_M], tokens)

    @property
    def output_names(self) -> frozenset[str]:
        """Names of the outputs of :meth:`extra_outputs`; an objective asks for them by name in ``needs``."""
        return frozenset({REFERENCE_TARGETS})

    def extra_outputs(
        self, names: frozenset[str], references: Tensor, tokens: Tensor, read_targets: Callable[[], Tensor]
    ) -> dict[str, Tensor]:
        """Further vectors and terms of B triplets, with gradients, in one pass.

        Args:
            names: at least one of :attr:`output_names`; others may be left out of the result.
            references: (B, …) images.
            tokens: (B, L) of the modified texts.
            read_targets: gives the (B, …) images of the targets, for outputs that look at them.

        Returns:
            A (B,) or (B, F) float tensor for each name.
        """
        return {REFERENCE_TARGETS: self.encode_target(references)} if REFERENCE_TARGETS in names else {}

    def frozen_in_stage1(self) -> Sequence[nn.Module | nn.Parameter]:
        """What stage 1 must not change; nothing by default."""
        return ()

    @abstractmethod
    def frozen_in_stage2(self) -> Sequence[nn.Module | nn.Parameter]:
        """What stage 2 must not change: at least all that :meth:`encode_target` uses."""


BACKBONES = Room(
    "backbone",
    {
        "small": "spn4cir_core.backbones.small.settings:Small",
        "heads": "spn4cir_core.backbones.heads.settings:Heads",
        "clip4cir": "spn4cir_core.backbones.clip4cir.settings:Clip4Cir",
        "tgcir": "spn4cir_core.backbones.tgcir.settings:TgCir",
        "blip4cir": "spn4cir_core.backbones.blip4cir.settings:Blip4Cir",
        "sprc": "spn4cir_core.backbones.sprc.settings:Sprc",
        "residual": "spn4cir_core.backbones.residual.settings:Residual",
        "frozen": "spn4cir_core.backbones.frozen.settings:Frozen",
        "lora": "spn4cir_core.backbones.lora.settings:Lora",
    },
)


COMPOSERS = Room(
    "composer",
    {
        "sum": "spn4cir_core.backbones.composers:Sum",
        "gated_residual": "spn4cir_core.backbones.composers:GatedResidual",
        "combiner": "spn4cir_core.backbones.composers:Combiner",
        "cross_attention": "spn4cir_core.backbones.composers:CrossAttention",
    },
)
