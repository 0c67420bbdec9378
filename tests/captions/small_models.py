"""Untrained models of a few hundred thousand parameters, saved as a real checkpoint is: model, processor, tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
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


def words_with_image(beginning: str, ending: str, extra: Any, more: Sequence[str] = ()) -> Any:
    """A word-level tokenizer with an image token; the template says where the special tokens stand.

    ``more`` are further special tokens.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
    vocabulary = {word: index for index, word in enumerate([*special, *dict.fromkeys(VOCABULARY.split())])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    if more:
        backend.add_special_tokens(list(more))
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


TEXT: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 512,
}
CHAT = (
    "{% for message in messages %}{% for part in message.content %}{{ IMAGE if part.type == 'image' else part.text }} "
    "{% endfor %}{% endfor %}answer :"
)


def ids_of(tokenizer: Any) -> dict[str, Any]:
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    return {"vocab_size": len(tokenizer), **ids}


def save(model: Any, processor: Any, image_token: str, folder: Path) -> None:
    scatter(model)
    model.save_pretrained(folder)
    processor.chat_template = CHAT.replace("IMAGE", f"'{image_token}'")
    processor.save_pretrained(folder)


def save_gemma3(folder: Path) -> None:
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessor,
        Gemma3Processor,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    named = {"image_token": "<image>", "boi_token": "<boi>", "eoi_token": "<eoi>"}
    tokenizer = words_with_image("<s>", "", named, ["<boi>", "<eoi>"])
    patches = (SIDE_PX // PATCH_PX) ** 2
    text = Gemma3TextConfig(**TEXT, **ids_of(tokenizer), sliding_window=64, layer_types=["full_attention"] * 2)
    config = Gemma3Config(
        text_config=text,
        vision_config=SiglipVisionConfig(**{key: VISION[key] for key in VISION if key != "initializer_range"}),
        mm_tokens_per_image=patches,
        tie_word_embeddings=False,  # else a model of random weights repeats its last token
        boi_token_index=tokenizer.convert_tokens_to_ids("<boi>"),
        eoi_token_index=tokenizer.convert_tokens_to_ids("<eoi>"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    pictures = Gemma3ImageProcessor(size={"height": SIDE_PX, "width": SIDE_PX})
    processor = Gemma3Processor(pictures, tokenizer, image_seq_length=patches)
    model = Gemma3ForConditionalGeneration(config)
    save(model, processor, "<boi>", folder)


def save_idefics3(folder: Path) -> None:
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
        LlamaConfig,
    )

    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    special = ["<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *tiles]
    tokenizer = words_with_image("<s>", "", {"image_token": "<image>"}, special)
    sequence = (SIDE_PX // PATCH_PX // 2) ** 2
    pictures = Idefics3ImageProcessor(
        size={"longest_edge": 2 * SIDE_PX}, max_image_size={"longest_edge": SIDE_PX}, do_image_splitting=False
    )
    processor = Idefics3Processor(pictures, tokenizer, image_seq_len=sequence)
    config = Idefics3Config(
        text_config=LlamaConfig(**TEXT, **ids_of(tokenizer)),
        vision_config=VISION,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    save(Idefics3ForConditionalGeneration(config), processor, "<image>", folder)


def save_qwen2_5_vl(folder: Path) -> None:
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    special = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    tokenizer = words_with_image("<s>", "", [], special)
    image, video, start, end = tokenizer.convert_tokens_to_ids(special)
    rotary = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 10_000.0}
    config = Qwen2_5_VLConfig(
        text_config={**TEXT, **ids_of(tokenizer), "rope_parameters": rotary},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": TEXT["hidden_size"],
            "patch_size": 8,
            "window_size": 32,
            "fullatt_block_indexes": [1],
        },
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    sizes: dict[str, Any] = {"patch_size": 8, "min_pixels": 32 * 32, "max_pixels": 64 * 64}
    processor = Qwen2_5_VLProcessor(Qwen2VLImageProcessor(**sizes), tokenizer, Qwen2VLVideoProcessor(**sizes))
    chat_image = "<|vision_start|><|image_pad|><|vision_end|>"
    save(Qwen2_5_VLForConditionalGeneration(config), processor, chat_image, folder)


def save_qwen3_vl(folder: Path) -> None:
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    special = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    tokenizer = words_with_image("<s>", "", [], special)
    image, video, start, end = tokenizer.convert_tokens_to_ids(special)
    rotary = {"rope_type": "default", "mrope_section": [6, 5, 5], "rope_theta": 10_000.0, "mrope_interleaved": True}
    config = Qwen3VLConfig(
        text_config={**TEXT, **ids_of(tokenizer), "rope_parameters": rotary},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": TEXT["hidden_size"],
            "patch_size": 8,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    sizes: dict[str, Any] = {"patch_size": 8, "size": {"shortest_edge": 32 * 32, "longest_edge": 64 * 64}}
    processor = Qwen3VLProcessor(Qwen2VLImageProcessor(**sizes), tokenizer, Qwen3VLVideoProcessor(**sizes))
    chat_image = "<|vision_start|><|image_pad|><|vision_end|>"
    save(Qwen3VLForConditionalGeneration(config), processor, chat_image, folder)


def save_internvl(folder: Path) -> None:
    from transformers import (
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVideoProcessor,
        InternVLVisionConfig,
        Qwen2Config,
    )

    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = words_with_image("<s>", "", named, list(named.values()))
    square = {"height": SIDE_PX, "width": SIDE_PX}
    config = InternVLConfig(
        text_config=Qwen2Config(**{key: TEXT[key] for key in TEXT if key != "head_dim"}, **ids_of(tokenizer)),
        vision_config=InternVLVisionConfig(**{**VISION, "image_size": [SIDE_PX] * 2, "patch_size": [8, 8]}),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    pictures = GotOcr2ImageProcessor(size=square, crop_to_patches=True, min_patches=1, max_patches=4)
    processor = InternVLProcessor(pictures, tokenizer, InternVLVideoProcessor(size=square), image_seq_length=4)
    save(InternVLForConditionalGeneration(config), processor, "<IMG_CONTEXT>", folder)


def save_llava_onevision(folder: Path) -> None:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
        Qwen2Config,
        SiglipVisionConfig,
    )

    tokenizer = words_with_image("<s>", "", {"image_token": "<image>", "video_token": "<video>"}, ["<video>"])
    grids = [[SIDE_PX, SIDE_PX], [SIDE_PX, 2 * SIDE_PX], [2 * SIDE_PX, SIDE_PX], [2 * SIDE_PX, 2 * SIDE_PX]]
    vision = SiglipVisionConfig(**{key: VISION[key] for key in VISION if key != "initializer_range"})
    config = LlavaOnevisionConfig(
        text_config=Qwen2Config(**{key: TEXT[key] for key in TEXT if key != "head_dim"}, **ids_of(tokenizer)),
        vision_config=vision,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grids,
    )
    square = {"height": SIDE_PX, "width": SIDE_PX}
    processor = LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size=square, image_grid_pinpoints=grids),
        tokenizer,
        LlavaOnevisionVideoProcessor(size=square),
        num_image_tokens=(SIDE_PX // PATCH_PX) ** 2,
        vision_feature_select_strategy="full",
    )
    save(LlavaOnevisionForConditionalGeneration(config), processor, "<image>", folder)


def save_florence2(folder: Path) -> None:
    from transformers import (
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
    )

    tokenizer = words_with_image("", "", {"image_token": "<image>"})
    ids = ids_of(tokenizer)
    text = {
        **ids,
        "model_type": "bart",
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "max_position_embeddings": 128,
        "decoder_start_token_id": ids["eos_token_id"],
        "forced_eos_token_id": ids["eos_token_id"],
    }
    vision = {
        "depths": [1, 1],
        "patch_size": [7, 3],
        "patch_stride": [4, 2],
        "patch_padding": [3, 1],
        "patch_prenorm": [False, True],
        "embed_dim": [16, 32],
        "num_heads": [2, 2],
        "num_groups": [2, 2],
        "window_size": 4,
        "projection_dim": 32,
        "max_temporal_embeddings": 4,
        "max_position_embeddings": 10,
    }
    config = Florence2Config(
        text_config=text, vision_config=vision, image_token_id=4, is_encoder_decoder=True, tie_word_embeddings=False
    )
    square = {"height": SIDE_PX, "width": SIDE_PX}
    pictures = CLIPImageProcessor(size=square, do_center_crop=False)
    pictures.image_seq_length = 17
    model = Florence2ForConditionalGeneration(config)
    scatter(model)
    model.save_pretrained(folder)
    Florence2Processor(pictures, tokenizer).save_pretrained(folder)


SAVE = {
    "blip": save_blip,
    "blip2": lambda folder: save_blip2(folder, "opt"),
    "blip2-t5": lambda folder: save_blip2(folder, "t5"),
    "florence2": save_florence2,
    "gemma3": save_gemma3,
    "idefics3": save_idefics3,
    "internvl": save_internvl,
    "llava-next": save_llava_next,
    "llava-onevision": save_llava_onevision,
    "qwen2.5-vl": save_qwen2_5_vl,
    "qwen3-vl": save_qwen3_vl,
}
