"""BERT tokens of modified texts for the BLIP backbones. B texts, L tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spn4cir_core.errors import InputError
from spn4cir_core.models.padding import padded

if TYPE_CHECKING:
    from torch import Tensor

PAD = "[PAD]"
NOT_WORDS = re.compile(r"[.!\"()*#:;~\s]+")


class BertTokens:
    """A tokenizer held as JSON, so that a checkpoint carries it."""

    def __init__(self, vocabulary: str, limit: int, embeddings: int | None = None) -> None:
        from tokenizers import Tokenizer

        self.vocabulary, self.limit = vocabulary, limit
        self._whole, self._cut = Tokenizer.from_str(vocabulary), Tokenizer.from_str(vocabulary)
        for tokenizer in (self._whole, self._cut):
            tokenizer.no_padding()
            tokenizer.no_truncation()
        self._cut.enable_truncation(limit)
        self.padding = self.id_of(PAD)
        if embeddings is not None and self._whole.get_vocab_size() > embeddings:
            raise InputError(
                f"the tokenizer of the backbone's model knows {self._whole.get_vocab_size()} tokens, its text encoder "
                f"has embeddings for {embeddings}; they do not belong together"
            )

    def id_of(self, token: str) -> int:
        """The id of a token that must be there.

        Raises:
            InputError: it is not.
        """
        number = self._whole.token_to_id(token)
        if number is None:
            raise InputError(f"the tokenizer of the backbone's model has no token {token!r}: it is no BERT tokenizer")
        return int(number)

    def ids(self, texts: Sequence[str]) -> Tensor:
        """(B, L) int64 ids, cut to the limit with the closing token kept, padded to the longest."""
        return padded([encoded.ids for encoded in self._cut.encode_batch(list(texts))], self.padding)

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text before it is cut, special ones included."""
        return [len(encoded.ids) for encoded in self._whole.encode_batch(list(texts))]

    def mask(self, tokens_BL: Tensor) -> Tensor:
        """(B, L) int64: 1 where there is a token."""
        return (tokens_BL != self.padding).long()


def without_punctuation(text: str, most: int | None = None) -> str:
    """Lower case, the punctuation that BLIP's text processor drops as spaces, at most so many words."""
    return " ".join(NOT_WORDS.sub(" ", text.lower()).split()[:most])
