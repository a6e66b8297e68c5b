"""A model that is measured in no time, with a tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from workbench.models import Model, load_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Model:
    folder = tmp_path_factory.mktemp("toy")
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = LlamaConfig(vocab_size=2048, num_hidden_layers=4, max_position_embeddings=256, **sizes)
    LlamaForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((repository / "data" / "models" / "tiny" / name).read_bytes())
    return load_model(folder)
