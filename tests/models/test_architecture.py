"""Profiles from configurations alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.cache import cache_folder
from workbench.errors import InputError, ModelNotFoundError, ProfileError, UnsupportedArchitectureError
from workbench.models import architectures, load_model, read_architecture

PUBLISHED = {
    "llama-3-8b": 8.03e9,
    "llama-3-70b": 70.6e9,
    "llama-3.2-1b": 1.24e9,
    "mixtral-8x7b": 46.7e9,
    "gemma-2-9b": 9.24e9,
    "qwen3-30b-a3b": 30.5e9,
}
"""Parameters, as the models' cards and reports say: see data/architectures/README.md."""
ACTIVE = {"mixtral-8x7b": 12.9e9, "qwen3-30b-a3b": 3.3e9}
TOY = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 99,
}


def test_every_architecture_has_a_published_size() -> None:
    assert set(architectures()) == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_those_published(name: str) -> None:
    profile = read_architecture(name)
    assert profile.name == name
    assert profile.params == pytest.approx(PUBLISHED[name], rel=0.02)
    if name in ACTIVE:
        outside = profile.params - sum(profile.block_params)
        assert outside + sum(profile.block_active_params) == pytest.approx(ACTIVE[name], rel=0.02)
    if name == "gemma-2-9b":
        assert profile.window[:2] == (4096, None)


def test_sources_of_one_model_agree(tmp_path: Path) -> None:
    profile = load_model("tiny").profile
    assert [read_architecture("tiny") for _ in range(2)] == [profile, profile]  # counted, and kept
    saved = tmp_path / "tiny.json"
    profile.save(saved)
    assert read_architecture(saved) == profile
    (tmp_path / "config.json").write_text(json.dumps(TOY))
    found = [read_architecture(source) for source in (TOY, tmp_path, tmp_path / "config.json")]
    assert len({profile.config_key for profile in found}) == 1
    assert [profile.name for profile in found] == ["llama", str(tmp_path), str(tmp_path / "config.json")]


def test_what_was_read_once_is_read_without_torch() -> None:
    first = read_architecture(TOY)
    script = (
        f"import sys; from workbench.models import read_architecture; p = read_architecture({TOY!r}); "
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules; print(p.params)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) == first.params


def test_a_damaged_copy_is_read_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    first = read_architecture(TOY)
    for file in (cache_folder() / "architectures").glob("*.json"):
        file.write_text(json.dumps({**first.to_dict(), "n_blocks": 77}))
    assert read_architecture(TOY) == first


@pytest.mark.parametrize(
    ("source", "kind", "why"),
    [
        ("llama-3-8bb", ModelNotFoundError, "Did you mean 'llama-3-8b'"),
        ("tinny", ModelNotFoundError, "Did you mean 'tiny'"),
        ("./nowhere", ModelNotFoundError, "no such file or folder"),
        ("nowhere.json", ModelNotFoundError, "no such file or folder"),
        ("an-org/no-model", ModelNotFoundError, "the hub has it not or cannot be reached"),
        ({"hidden_size": 64}, InputError, "says its model_type"),
        ({**TOY, "model_type": "lama"}, UnsupportedArchitectureError, "did you mean 'llama'"),
        ({"model_type": "t5"}, UnsupportedArchitectureError, "no causal language model"),
        ({**TOY, "hiden_size": 64}, InputError, "did you mean 'hidden_size'"),
        ({**TOY, "hidden_size": -64}, InputError, "above 0, got -64"),
        ({**TOY, "num_hidden_layers": 0}, InputError, "above 0, got 0"),
        ({**TOY, "num_hidden_layers": 2.5}, InputError, "above 0, got 2.5"),
        ({**TOY, "hidden_size": 66}, UnsupportedArchitectureError, "contradict each other"),
        ({**TOY, "rms_norm_eps": "small"}, UnsupportedArchitectureError, "contradict each other"),
        ({**TOY, "num_key_value_heads": 3}, UnsupportedArchitectureError, "cannot be split"),
        ({**TOY, "quantization_config": {"bits": 4}}, UnsupportedArchitectureError, "already quantized"),
    ],
)
def test_complaints(source: object, kind: type[Exception], why: str) -> None:
    with pytest.raises(kind) as caught:
        read_architecture(source, local_files_only=True)  # type: ignore[arg-type]
    assert why in str(caught.value)


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no config\.json"):
        read_architecture(tmp_path)
    path = tmp_path / "config.json"
    path.write_text("[]")
    with pytest.raises(InputError, match="a JSON object is needed"):
        read_architecture(tmp_path)
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read_architecture(path)
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"rtt_s": 1}))
    with pytest.raises(ProfileError, match="model profile"):
        read_architecture(other)


def test_a_profile_that_contradicts_itself(tmp_path: Path) -> None:
    data = load_model("tiny").profile.to_dict()
    (tmp_path / "tiny.json").write_text(json.dumps({**data, "n_blocks": data["n_blocks"] + 1}))
    with pytest.raises(ProfileError, match="do not fit"):
        read_architecture(tmp_path / "tiny.json")
