"""Model profiles of known architectures, from their published configurations."""

from __future__ import annotations

from workbench.profiles import ModelProfile

__all__ = ["LLAMA_8B", "LLAMA_70B", "MIXTRAL_8X7B", "SMALL", "llama"]


def llama(
    name: str,
    blocks: int,
    hidden: int,
    ffn: int,
    heads: int,
    kv_heads: int,
    vocab: int,
    *,
    tied: bool = False,
    experts: tuple[int, int] = (1, 1),
    window: int | None = None,
) -> ModelProfile:
    """A Llama-shaped model; ``experts`` says how many there are and how many a token uses."""
    size = hidden // heads
    attention = 2 * hidden * heads * size + 2 * hidden * kv_heads * size
    held, used = (attention + n * 3 * hidden * ffn + 2 * hidden for n in experts)
    return ModelProfile(
        name=name,
        architecture="LlamaForCausalLM",
        n_blocks=blocks,
        hidden=hidden,
        vocab=vocab,
        max_positions=131_072,
        boundary_elements=(hidden,) * (blocks + 1),
        block_params=(held,) * blocks,
        block_active_params=(used,) * blocks,
        block_quantizable=(held - 2 * hidden,) * blocks,
        kv_elements=(2 * kv_heads * size,) * blocks,
        attention_width=(heads * size,) * blocks,
        window=(window,) * blocks,
        embedding_params=hidden * vocab,
        head_params=0 if tied else hidden * vocab + hidden,
        tied=tied,
    )


SMALL = llama("small", 8, 256, 704, 8, 2, 2048, tied=True)
LLAMA_8B = llama("llama-8b", 32, 4096, 14336, 32, 8, 128_256)
LLAMA_70B = llama("llama-70b", 80, 8192, 28672, 64, 8, 128_256)
MIXTRAL_8X7B = llama("mixtral-8x7b", 32, 4096, 14336, 32, 8, 32_000, experts=(8, 2))
