"""Sampling equals transformers' own; streamed text equals the text decoded at once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from workbench.errors import InputError
from workbench.runtime.decoding import Sampler, Sampling, TextStream


@pytest.fixture(scope="module")
def toy() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def ours(model: LlamaForCausalLM, ids: torch.Tensor, sampling: Sampling, n: int) -> list[int]:
    sampler = Sampler(sampling)
    with torch.inference_mode():
        for _ in range(n):
            ids = torch.cat([ids, sampler(model(ids, logits_to_keep=1).logits[:, -1])[:, None]], dim=1)
    return ids[0, -n:].tolist()


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(do_sample=True, seed=3),
        Sampling(do_sample=True, temperature=0.7, top_k=9, seed=4),
        Sampling(do_sample=True, temperature=1.5, top_k=40, top_p=0.8, seed=5),
    ],
)
def test_tokens_equal_transformers_generate(toy: LlamaForCausalLM, sampling: Sampling) -> None:
    ids = torch.tensor([[5, 9, 33]])
    torch.manual_seed(sampling.seed)
    filters = {"temperature": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p}
    theirs = toy.generate(
        ids, max_new_tokens=12, do_sample=sampling.do_sample, use_cache=False, eos_token_id=None,
        pad_token_id=0, **(filters if sampling.do_sample else {}),
    )  # fmt: skip
    assert ours(toy, ids, sampling, 12) == theirs[0, 3:].tolist()


@pytest.mark.parametrize(
    "wrong", [{"temperature": 0.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}, {"stop": ("",)}]
)
def test_impossible_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Sampling(**wrong)


def test_settings_round_trip() -> None:
    sampling = Sampling(do_sample=True, top_p=0.9, stop=("\n", "end"))
    assert Sampling.from_dict(sampling.to_dict()) == sampling
    with pytest.raises(InputError, match="top_k"):
        Sampling.from_dict({"top_k": "many"})


class ByteTokenizer:
    """One token per byte: a character may need several."""

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        return bytes(ids).decode(errors="replace")


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40).filter(lambda t: "\ufffd" not in t))
def test_streamed_pieces_join_to_the_text(text: str) -> None:
    stream = TextStream(ByteTokenizer())
    pieces = [stream.push(byte) for byte in text.encode()]
    assert "".join(pieces) == stream.text == text


def test_stop_string_is_seen_across_tokens() -> None:
    stream = TextStream(ByteTokenizer(), stop=("end",))
    seen = []
    for byte in b"the end.":
        stream.push(byte)
        seen.append(stream.stopped)
    assert seen == [False] * 6 + [True] * 2
