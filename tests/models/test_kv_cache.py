"""A stage's cache knows its length everywhere, holds its own layers only, and can go back."""

from __future__ import annotations

import functools
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.toys import chunked, split, stages_of, through, tokens, toy, unsplit
from workbench.errors import InputError
from workbench.models.slice import StageModel
from workbench.plan import Partition

N = 4


def test_every_stage_knows_the_length() -> None:
    stages = stages_of(toy("llama"), Partition.split(N, 2))
    caches = [stage.new_cache(2) for stage in stages]
    ids = tokens(2, 9)
    for part, _ in chunked(ids, (5, 3, 1)):
        through(stages, part, caches)
    assert [cache.length for cache in caches] == [9, 9]
    assert [cache.past.get_seq_length() for cache in caches] == [9, 9]


def test_stages_hold_their_own_keys_and_values_only() -> None:
    ids, model = tokens(2, 9), toy("llama")
    stages = stages_of(model, Partition.split(N, 1))
    caches = [stage.new_cache(2) for stage in stages]
    through(stages, ids, caches)
    per_block = 2 * 2 * 2 * 9 * 8 * 4  # keys and values, sequences, heads, tokens, head size, bytes
    assert [cache.n_bytes for cache in caches] == [per_block, 3 * per_block]


@functools.cache
def _split_and_whole(family: str) -> tuple[list[StageModel], list[StageModel]]:
    model = toy(family)
    return stages_of(model, Partition.split(N, 2)), stages_of(model, Partition.unsplit(N, "edge"))


@settings(max_examples=12)
@given(
    before=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    back=st.integers(0, 16),
    after=st.lists(st.integers(1, 3), min_size=1, max_size=2),
    family=st.sampled_from(["llama", "mistral", "gemma3n_text"]),
)
def test_going_back_is_exact(before: list[int], back: int, after: list[int], family: str) -> None:
    """After a rewind the logits are those of the unsplit model that crops its cache as much."""
    n_before = sum(before)
    back = min(back, n_before - 1)
    ids, fresh = tokens(1, n_before), tokens(1, sum(after), seed=1)
    stages, whole = _split_and_whole(family)
    caches = [stage.new_cache() for stage in stages]
    one = [whole[0].new_cache()]
    for part, _ in chunked(ids, before):
        assert torch.equal(through(stages, part, caches), through(whole, part, one))
    for held in (*caches, *one):
        held.rewind(back)
        assert held.length == n_before - back
    for part, _ in chunked(fresh, after):
        assert torch.equal(through(stages, part, caches), through(whole, part, one))


def test_going_back_equals_never_having_been_there() -> None:
    """Past a sliding window too: the window is 6 tokens."""
    for family in ("llama", "mistral"):
        model, ids, fresh = toy(family), tokens(1, 14), tokens(1, 3, seed=1)
        stages = stages_of(model, Partition.split(N, 2))
        caches = [stage.new_cache() for stage in stages]
        for part, _ in chunked(ids, (10, 4)):
            through(stages, part, caches)
        for cache in caches:
            cache.rewind(4)
        truth = unsplit(model, torch.cat([ids[:, :10], fresh], dim=1), (10, 3))
        assert torch.equal(through(stages, fresh, caches), truth[:, 10:])


def test_recurrent_states_go_back_to_where_a_forward_began() -> None:
    model, ids, fresh = toy("jamba"), tokens(1, 14), tokens(1, 3, seed=1)
    stages = stages_of(model, Partition.split(N, 2))
    caches = [stage.new_cache() for stage in stages]
    for part, _ in chunked(ids, (8, 2, 3, 1)):
        through(stages, part, caches)
    for cache in caches:
        with pytest.raises(InputError, match=r"at \[0, 8, 10, 13\]"):
            cache.rewind(2)
        cache.rewind(4)
    truth = unsplit(model, torch.cat([ids[:, :10], fresh], dim=1), (8, 2, 3))
    assert torch.equal(through(stages, fresh, caches), truth[:, 10:])


def test_what_is_kept_for_going_back_is_bounded() -> None:
    stage = stages_of(toy("jamba"), Partition.unsplit(N, "edge"))[0]
    cache = stage.new_cache(max_rewind=3)
    sizes = []
    for part, _ in chunked(tokens(1, 30), [1] * 30):
        stage.forward(part, cache=cache)
        sizes.append(cache.n_bytes)
    grown = [later - earlier for earlier, later in pairwise(sizes[8:])]
    assert len(set(grown)) == 1  # keys and values of one token, nothing else
    with pytest.raises(InputError, match="kept where"):
        cache.rewind(4)
    cache.rewind(3)


def test_a_sliding_window_forgets() -> None:
    stage = stages_of(toy("mistral"), Partition.unsplit(N, "edge"))[0]
    cache = stage.new_cache(max_rewind=2)
    stage.forward(tokens(1, 20), cache=cache)
    with pytest.raises(InputError, match="larger max_rewind"):
        cache.rewind(3)
    cache.rewind(2)
    assert cache.length == 18


@pytest.mark.parametrize("n_tokens", [-1, 8])
def test_cannot_go_back_further_than_the_beginning(n_tokens: int) -> None:
    stage = stages_of(toy("llama"), Partition.unsplit(N, "edge"))[0]
    cache = stage.new_cache()
    stage.forward(tokens(1, 7), cache=cache)
    with pytest.raises(InputError, match="the cache holds 7"):
        cache.rewind(n_tokens)
    assert cache.length == 7


@pytest.mark.parametrize("family", ["recurrent_gemma", "rwkv", "minimax"])
def test_two_sequences_at_once_do_not_mix(family: str) -> None:
    """Also where an architecture has a cache of its own kind, or keeps state in its modules."""
    stages = stages_of(toy(family), Partition.split(N, 2))
    first, second = tokens(1, 8), tokens(1, 8, seed=1)
    alone = [split(stages, ids, (5, 1, 1, 1)) for ids in (first, second)]
    caches = [[stage.new_cache() for stage in stages] for _ in range(2)]
    mixed: list[list[torch.Tensor]] = [[], []]
    for parts in zip(chunked(first, (5, 1, 1, 1)), chunked(second, (5, 1, 1, 1)), strict=True):
        for i, (part, _) in enumerate(parts):
            mixed[i].append(through(stages, part, caches[i]))
    for i in range(2):
        assert torch.equal(torch.cat(mixed[i], dim=1), alone[i])
