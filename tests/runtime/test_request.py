"""Every partition makes the very tokens that the unsplit model makes, and its trace adds up."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.cost import predict
from workbench.errors import CancelledRunError, InputError, PromptError, TransportError
from workbench.links import make_flow
from workbench.models import Model
from workbench.plan import CLOUD, DEFAULT_FEATURE, EDGE, Partition, Plan, Stage
from workbench.profiles import device, link
from workbench.runtime import Conditions, EdgeClient, Sampling
from workbench.runtime.cloud_link import CloudLink

EdgeOf = Callable[..., EdgeClient]
PROMPTS = ["def read(", "The file object is closed when", "a"]
N_NEW = 10
FULL_LENGTH = Sampling(ignore_eos=True)


def plan(partition: Partition, wire: str = "fp32") -> Plan:
    return Plan.of("tiny", partition, wire)


def partitions(n: int) -> list[Partition]:
    four = (
        Stage(EDGE, 0, 1, embedding=True, bits=32),
        Stage(CLOUD, 1, 3, bits=32),
        Stage(EDGE, 3, n - 1, bits=32),
        Stage(CLOUD, n - 1, n, head=True, bits=32),
    )
    return [
        Partition.unsplit(n, EDGE, 32),
        Partition.unsplit(n, CLOUD, 32),
        *(Partition.split(n, k, 32, 32) for k in (0, 3, n)),
        Partition.u_shaped(n, (1, n - 1), 32, 32),
        Partition.u_shaped(n, (0, n), 32, 32),
        Partition(n, four),
    ]


@pytest.fixture(scope="module")
def expected(model: Model) -> dict[str, list[int]]:
    """Greedy tokens of the unsplit model, by transformers' own generate."""
    reference, made = model.load_full(dtype=torch.float32), {}
    for prompt in PROMPTS:
        ids = torch.tensor([model.tokenizer(prompt)["input_ids"]])
        made[prompt] = reference.generate(ids, max_new_tokens=N_NEW, min_new_tokens=N_NEW, do_sample=False)[
            0, ids.shape[1] :
        ].tolist()
    return made


@pytest.mark.parametrize("index", range(8))
def test_greedy_tokens_are_those_of_the_unsplit_model(
    model: Model, edge_of: EdgeOf, expected: dict[str, list[int]], index: int
) -> None:
    edge = edge_of(plan(partitions(model.n_blocks)[index]))
    for prompt in PROMPTS:
        trace = edge.generate(prompt, max_new_tokens=N_NEW, sampling=FULL_LENGTH)
        if model.config.eos_token_id not in expected[prompt]:
            assert list(trace.token_ids) == expected[prompt]


@pytest.mark.parametrize("index", range(8))
def test_a_padded_batch_makes_each_row_as_if_alone(model: Model, edge_of: EdgeOf, index: int) -> None:
    edge = edge_of(plan(partitions(model.n_blocks)[index]))
    together = edge.generate(PROMPTS, max_new_tokens=N_NEW)
    alone = [edge.generate(prompt, max_new_tokens=N_NEW).text for prompt in PROMPTS]
    assert together.batch == len(PROMPTS)
    assert list(together.texts) == alone


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunk=st.integers(1, 9), at=st.integers(0, 8))
def test_a_prompt_in_chunks_makes_the_same_tokens(model: Model, edge_of: EdgeOf, chunk: int, at: int) -> None:
    edge = edge_of(plan(Partition.split(model.n_blocks, min(at, model.n_blocks), 32, 32)))
    whole = edge.generate(PROMPTS[1], max_new_tokens=4)
    pieces = edge.generate(PROMPTS[1], max_new_tokens=4, prefill_chunk=chunk)
    assert pieces.token_ids == whole.token_ids


def test_sampling_is_the_same_wherever_the_head_is(model: Model, edge_of: EdgeOf) -> None:
    sampling = Sampling(do_sample=True, temperature=0.9, top_k=30, top_p=0.95, seed=7)
    texts = {
        edge_of(plan(p)).generate(PROMPTS[0], max_new_tokens=N_NEW, sampling=sampling).text
        for p in partitions(model.n_blocks)
    }
    assert len(texts) == 1


def test_a_stop_string_ends_the_text_and_later_requests_are_clean(model: Model, edge_of: EdgeOf) -> None:
    for partition in partitions(model.n_blocks)[:3]:
        edge = edge_of(plan(partition))
        free = edge.generate(PROMPTS[1], max_new_tokens=N_NEW)
        stop = free.text[len(free.text) // 2 :][:2]
        stopped = edge.generate(PROMPTS[1], max_new_tokens=N_NEW, sampling=Sampling(stop=(stop,)))
        assert free.text.startswith(stopped.text)
        assert stop in stopped.text
        assert stopped.n_tokens < free.n_tokens
        assert edge.generate(PROMPTS[1], max_new_tokens=N_NEW).text == free.text


def test_streamed_pieces_join_to_the_text(model: Model, edge_of: EdgeOf) -> None:
    pieces: list[str] = []
    edge = edge_of(plan(Partition.split(model.n_blocks, 3)))
    trace = edge.generate(PROMPTS[0], max_new_tokens=N_NEW, on_token=pieces.append)
    assert "".join(pieces) == trace.text


@pytest.mark.parametrize("index", range(8))
def test_a_wall_trace_adds_up(model: Model, edge_of: EdgeOf, index: int) -> None:
    partition = partitions(model.n_blocks)[index]
    trace = edge_of(plan(partition)).generate(PROMPTS[0], max_new_tokens=4, sampling=FULL_LENGTH)
    assert (trace.clock, trace.label, trace.n_tokens) == ("wall", "measured", 4)
    assert list(trace.token_times_s) == sorted(trace.token_times_s)
    assert set(trace.memory_bytes) == {EDGE} | set(partition.places)
    # one thread of control: spans may not overlap, except that a streaming cloud runs ahead
    spans = sorted(trace.spans, key=lambda span: span.start_s)
    if partition.places != (CLOUD,):
        for before, after in pairwise(spans):
            assert before.end_s <= after.start_s + 1e-4
    assert sum(span.n_bytes for span in spans) == trace.bytes_up + trace.bytes_down
    assert (trace.bytes_up > 0) == (CLOUD in partition.places)


def test_a_virtual_trace_is_the_prediction_where_the_models_are_the_same(
    model: Model, edge_of: EdgeOf
) -> None:
    edge_device, cloud_device, lte = device("raspberry-pi-5"), device("h100-sxm"), link("lte")
    for partition in (Partition.split(model.n_blocks, 3), Partition.unsplit(model.n_blocks, CLOUD)):
        edge = edge_of(plan(partition, "int8"), device=edge_device, cloud_device=cloud_device)
        flows = {way: make_flow("simulated", lte, way) for way in ("up", "down")}
        run = edge.generate(
            PROMPTS[0],
            max_new_tokens=6,
            sampling=FULL_LENGTH,
            conditions=Conditions("virtual", flows),
        )
        predicted = predict(
            plan(partition, "int8"), model.profile, {EDGE: edge_device, CLOUD: cloud_device}, lte,
            prompt_tokens=run.prompt_tokens, new_tokens=6, secure=False,
        )  # fmt: skip
        assert (run.clock, run.label) == ("virtual", "modelled")
        assert (run.bytes_up, run.bytes_down) == (predicted.bytes_up, predicted.bytes_down)
        assert run.ttft_s == pytest.approx(predicted.ttft_s, rel=1e-3)
        assert run.tpot_s == pytest.approx(predicted.tpot_s, rel=1e-3)


@pytest.mark.parametrize(
    ("prompts", "settings_", "message"),
    [
        ("", {}, "no token"),
        ([], {}, "no prompt"),
        ("word " * 3000, {}, "shorten the prompt"),
        ("word", {"max_new_tokens": 0}, "at least 1"),
        ("word", {"max_new_tokens": 10**6}, "positions"),
    ],
)
def test_an_impossible_prompt_is_refused(
    model: Model, edge_of: EdgeOf, prompts: object, settings_: dict, message: str
) -> None:
    with pytest.raises(PromptError, match=message):
        edge_of(plan(Partition.unsplit(model.n_blocks, EDGE))).generate(prompts, **settings_)


def test_cancel_ends_a_run_and_the_next_one_works(model: Model, edge_of: EdgeOf) -> None:
    for partition in partitions(model.n_blocks)[:4]:
        edge = edge_of(plan(partition))
        with pytest.raises(CancelledRunError):
            edge.generate(PROMPTS[0], max_new_tokens=200, on_token=lambda _, edge=edge: edge.cancel())
        assert edge.generate(PROMPTS[0], max_new_tokens=3).n_tokens == 3


def test_a_plan_that_needs_the_cloud_says_so(model: Model) -> None:
    with pytest.raises(TransportError, match="needs the cloud"):
        EdgeClient(model, plan(Partition.split(model.n_blocks, 2))).generate("a")


def test_a_cloud_with_other_weights_refuses(model: Model, edge_of: EdgeOf) -> None:
    edge = edge_of(plan(Partition.split(model.n_blocks, 2)))
    with pytest.raises(InputError, match="load the same files on both sides"):
        CloudLink(edge.cloud.transport, {edge.plan.model: "0" * 32}, edge.plan, [DEFAULT_FEATURE])


def test_what_a_failed_request_left_behind_is_thrown_away(model: Model, edge_of: EdgeOf) -> None:
    edge = edge_of(plan(Partition.unsplit(model.n_blocks, CLOUD)))
    right = edge.generate(PROMPTS[0], max_new_tokens=4).token_ids

    def breaks(_: str) -> None:
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            edge.generate("another text, that goes on", max_new_tokens=50, on_token=breaks)
        assert edge.generate(PROMPTS[0], max_new_tokens=4).token_ids == right
