"""What Hypothesis draws: valid words of every kind."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

from workbench.plan import BITS, CLOUD, DEFAULT_FEATURE, EDGE, WIRE_CODECS, Partition, Placement, Plan, Stage
from workbench.profiles import LinkProfile, ModelProfile

__all__ = ["links", "model_profiles", "partitions", "placements", "plans"]


@st.composite
def partitions(draw: st.DrawFn, n_blocks: int | None = None, max_stages: int = 5) -> Partition:
    """Any valid partition over edge and cloud, empty first and last stages included."""
    n = n_blocks or draw(st.integers(1, 24))
    inner = draw(st.lists(st.integers(1, n - 1), unique=True, max_size=max_stages - 2)) if n > 1 else []
    edges = [
        0,
        *([0] if draw(st.booleans()) else []),
        *sorted(inner),
        *([n] if draw(st.booleans()) else []),
        n,
    ]
    first = draw(st.sampled_from([EDGE, CLOUD]))
    places = [first, CLOUD if first == EDGE else EDGE]
    last = len(edges) - 2
    stages = tuple(
        Stage(places[i % 2], a, b, embedding=i == 0, head=i == last, bits=draw(st.sampled_from(BITS)))
        for i, (a, b) in enumerate(pairwise(edges))
    )
    return Partition(n, stages)


@st.composite
def placements(draw: st.DrawFn, n_blocks: int | None = None) -> Placement:
    """Any placement."""
    return Placement(draw(partitions(n_blocks)), draw(st.sampled_from(WIRE_CODECS)))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Plans of one or several features."""
    n = draw(st.integers(1, 24))
    names = draw(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=2))
    features = {name: draw(placements(n)) for name in [DEFAULT_FEATURE, *names]}
    return Plan(draw(st.text(min_size=1, max_size=20)), features)


@st.composite
def model_profiles(draw: st.DrawFn, n_blocks: int | None = None) -> ModelProfile:
    """Models of any shape: grouped keys and values, experts, windows, tied or not."""
    n = n_blocks or draw(st.integers(1, 24))
    hidden, vocab = draw(st.integers(8, 8192)), draw(st.integers(16, 300_000))
    held = draw(st.lists(st.integers(1000, 10**9), min_size=n, max_size=n))
    share = draw(st.sampled_from([1.0, 0.25]))
    tied = draw(st.booleans())
    return ModelProfile(
        name="drawn",
        architecture="DrawnForCausalLM",
        n_blocks=n,
        hidden=hidden,
        vocab=vocab,
        max_positions=1 << 20,
        boundary_elements=(hidden,) * (n + 1),
        block_params=tuple(held),
        block_active_params=tuple(int(p * share) for p in held),
        block_quantizable=tuple(int(p * 0.9) for p in held),
        kv_elements=tuple(draw(st.lists(st.integers(0, 16384), min_size=n, max_size=n))),
        attention_width=(hidden,) * n,
        window=tuple(draw(st.lists(st.sampled_from([None, 16, 4096]), min_size=n, max_size=n))),
        embedding_params=hidden * vocab,
        head_params=0 if tied else hidden * vocab,
        tied=tied,
    )


def links() -> st.SearchStrategy[LinkProfile]:
    """Links from satellites to loopback."""
    rate = st.floats(1e4, 1e11)
    return st.builds(LinkProfile, rtt_s=st.floats(0, 2), uplink_bps=rate, downlink_bps=rate)
