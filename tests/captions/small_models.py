"""Untrained models of a few hundred thousand parameters, saved as a real checkpoint is: model, processor, tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

VOCABULARY = """a an of the photo picture image showing what is shown answer question dress shirt red blue green circle
square small large and with in on beside table grass dog cat : ? ."""
SIDE_PX, PATCH_PX, QUERIES = 32, 16, 4
VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE_PX,
    "patch_size": PATCH_PX,
    "initializer_range": 0.3,  # the default of 1e-10 makes a model that does not see the picture
}

LONE_TOKENS = ("class_embedding", "image_newline")


def scatter(model: Any) -> None:
    """Large random weights, the same ones every time, so that the answers hang on picture and prompt."""
    import torch

    generator = torch.Generator().manual_seed(2)
    tables = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    tokens = [parameter for name, parameter in model.named_parameters() if name.endswith(LONE_TOKENS)]
    with torch.no_grad():
        for parameter in [*tables, *tokens]:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


def word_pieces() -> Any:
    from transformers import BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
    words = [*special, *dict.fromkeys(VOCABULARY.split())]
    tokenizer: Any = BertTokenizer(
        vocab={word: index for index, word in enumerate(words)}, extra_special_tokens=["[DEC]"]
    )
    assert tokenizer.unk_token_id not in tokenizer("a red dress")["input_ids"]
    return tokenizer


def image_processor() -> Any:
    from transformers import BlipImageProcessor

    return BlipImageProcessor(size={"height": SIDE_PX, "width": SIDE_PX})


def save_blip(folder: Path) -> None:
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipProcessor

    tokenizer = word_pieces()
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "encoder_hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "bos_token_id": tokenizer.convert_tokens_to_ids("[DEC]"),
        "eos_token_id": tokenizer.sep_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    model = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=VISION, projection_dim=16))
    scatter(model)
    model.save_pretrained(folder)
    BlipProcessor(image_processor(), tokenizer).save_pretrained(folder)


def words_with_image(beginning: str, ending: str, extra: Any) -> Any:
    """A word-level tokenizer with an image token; the template says where the special tokens stand."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
    vocabulary = {word: index for index, word in enumerate([*special, *dict.fromkeys(VOCABULARY.split())])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens = [(token, vocabulary[token]) for token in special]
    backend.post_processor = processors.TemplateProcessing(f"{beginning} $A {ending}".strip(), special_tokens=tokens)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=extra,
        model_input_names=["input_ids", "attention_mask"],
    )


def save_blip2(folder: Path, language: str) -> None:
    """``language`` is ``opt``, which repeats its prompt, or ``t5``, an encoder and decoder."""
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor, OPTConfig, T5Config

    tokenizer = words_with_image(*(("<s>", "") if language == "opt" else ("", "</s>")), ["<image>"])
    ids = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    text: Any = (
        OPTConfig(**ids, hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=2, word_embed_proj_dim=32)
        if language == "opt"
        else T5Config(
            **{**ids, "bos_token_id": tokenizer.eos_token_id},
            d_model=32,
            d_kv=16,
            d_ff=48,
            num_layers=2,
            num_heads=2,
            decoder_start_token_id=0,
        )
    )
    qformer = {
        "vocab_size": 50,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "encoder_hidden_size": 32,
    }
    config = Blip2Config(
        vision_config=VISION,
        qformer_config=qformer,
        text_config=text,
        num_query_tokens=QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = Blip2ForConditionalGeneration(config)
    scatter(model)
    model.save_pretrained(folder)
    Blip2Processor(image_processor(), tokenizer, num_query_tokens=QUERIES).save_pretrained(folder)


def save_llava_next(folder: Path) -> None:
    """A llava-next of 32 px tiles: pictures of different shapes give different numbers of image tokens.

    Its widths are multiples of 64, as bitsandbytes wants them on a CPU.
    """
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextImageProcessor,
        LlavaNextProcessor,
    )

    tokenizer = words_with_image("<s>", "", {"image_token": "<image>"})
    grids = [[SIDE_PX, 2 * SIDE_PX], [2 * SIDE_PX, SIDE_PX], [2 * SIDE_PX, 2 * SIDE_PX]]
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(**{**VISION, "hidden_size": 64, "intermediate_size": 128}, projection_dim=64),
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grids,
        image_seq_length=(SIDE_PX // PATCH_PX) ** 2,
    )
    model = LlavaNextForConditionalGeneration(config)
    scatter(model)
    model.save_pretrained(folder)
    square = {"height": SIDE_PX, "width": SIDE_PX}
    pictures = LlavaNextImageProcessor(
        size={"shortest_edge": SIDE_PX}, crop_size=square, image_grid_pinpoints=grids, do_pad=True
    )
    processor = LlavaNextProcessor(
        pictures,
        tokenizer,
        patch_size=PATCH_PX,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    processor.save_pretrained(folder)


SAVE = {
    "blip": save_blip,
    "blip2": lambda folder: save_blip2(folder, "opt"),
    "blip2-t5": lambda folder: save_blip2(folder, "t5"),
    "llava-next": save_llava_next,
}
