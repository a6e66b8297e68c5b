"""Problems that Hypothesis draws, small enough to look at every plan one by one."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from tests.cost.models import llama
from tests.strategies import links as drawn_links
from tests.strategies import model_profiles
from workbench import profiles
from workbench.planner import Choices, Pin, Problem, Request
from workbench.profiles import DeviceProfile

__all__ = ["EDGE_CLOUD", "MODEL", "devices", "problems", "request_of"]

MODEL = llama("m", 6, 512, 1408, 8, 4, 8000, tied=True)
EDGE_CLOUD = {"edge": profiles.device("raspberry-pi-5"), "cloud": profiles.device("h100-sxm")}
_NAMES = sorted(profiles.device_profiles())


@st.composite
def devices(draw: st.DrawFn) -> DeviceProfile:
    """Shipped devices, some with little memory, some that take their time to pack and sample."""
    device = profiles.device(draw(st.sampled_from(_NAMES)))
    return replace(
        device,
        memory_bytes=draw(st.sampled_from([device.memory_bytes, 10**7, 5 * 10**7, 10**9])),
        sample_s=draw(st.sampled_from([0.0, 1e-3])),
        message_overhead_s=draw(st.sampled_from([0.0, 2e-4])),
        stream_overhead_s=draw(st.sampled_from([0.0, 3e-4])),
        request_overhead_s=draw(st.sampled_from([0.0, 0.05])),
        encode_s=draw(st.sampled_from([0.0, 1e-4])),
        encode_s_per_element=draw(st.sampled_from([0.0, 1e-8])),
        tokenize_s_per_token=draw(st.sampled_from([0.0, 1e-5])),
    )


def request_of() -> st.SearchStrategy[Request]:
    return st.builds(Request, st.integers(1, 300), st.sampled_from([1, 2, 7, 40]), st.sampled_from([1, 3]))


@st.composite
def problems(
    draw: st.DrawFn, *, most_places: int = 2, u_shaped: bool | None = None, pins: bool = False
) -> Problem:
    """Any small problem: two places named edge and cloud, or a longer chain."""
    n = draw(st.integers(2, most_places))
    names = ["edge", "cloud"] if n == 2 else [f"tier{i}" for i in range(n)]
    model = draw(st.one_of(st.just(MODEL), model_profiles(draw(st.integers(1, 5)))))
    choices = Choices(
        bits={name: draw(st.sampled_from([(16,), (8, 4), (32, 16, 4)])) for name in names},
        wires=draw(st.sampled_from([("fp16",), ("int8", "fp32")])),
        u_shaped=draw(st.booleans()) if u_shaped is None else u_shaped,
    )
    return Problem(
        model,
        {name: draw(devices()) for name in names},
        tuple(draw(drawn_links()) for _ in range(n - 1)),
        request=draw(request_of()),
        aims=draw(
            st.sampled_from([{"total": 1.0}, {"ttft": 1.0}, {"tpot": 1.0}, {"ttft": 2.0, "tpot": 1.0}])
        ),
        pins=draw(_pins(names, model.n_blocks)) if pins else (),
        choices=choices,
    )


def _pins(names: list[str], n_blocks: int) -> st.SearchStrategy[tuple[Pin, ...]]:
    place = st.sampled_from(names)
    first = st.integers(0, n_blocks - 1)
    one = st.one_of(
        st.builds(Pin, st.sampled_from(["embedding", "head", "everything"]), place),
        st.builds(lambda p, a: Pin("blocks", p, a, a + 1), place, first),
    )
    return st.lists(one, max_size=2).map(tuple)
