"""Scenario files: what they may say, and how they complain."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import profiles
from workbench.errors import InputError, PlanError, PromptError
from workbench.models import read_architecture
from workbench.planner import AIMS, Exit, Limits, LossTable, Pin, Prices, Problem, plan
from workbench.planner.scenario import Scenario, read_scenario
from workbench.planner.scenario.units import EXAMPLES, UNITS, in_unit

EXAMPLE_FILES = sorted((profiles.DATA / "scenarios").glob("*.yaml"))
BASE = """\
model: tiny
devices:
  edge: raspberry-pi-5
  cloud: h100-sxm
link: lte
"""
FULL = (
    BASE
    + """\
title: all of it
request: {prompt_tokens: 20, new_tokens: 10, batch: 2}
objective: {tpot: 1, edge_energy: 0.5}
constraints:
  ttft: 2 s
  tpot_s: 0.5
  total: 1 min
  memory: {edge: 4 GB}
  busy_s: {cloud: 2}
  data: 2 GB/month
  battery: 10 Wh/month
  requests_per_month: 1000
  edge_energy: 20 J
  price_per_token: 0.01
  offline_quality: 80 %
placement:
  - {part: embedding, place: edge}
  - {blocks: [0, 2], place: edge}
choices: {bits: {edge: [8, 4]}, wires: [fp16, int8], u_shaped: true}
prices: {per_hour: {cloud: 2.5}, per_gb: 4}
exits: [{after: 4, quality: 90 %}]
link_kind: proxy
"""
)


def test_every_key_is_read() -> None:
    found = read_scenario(FULL)
    assert found.title == "all of it"
    assert list(found.devices) == ["edge", "cloud"]
    assert found.devices["edge"] == profiles.device("raspberry-pi-5")
    assert found.links == (profiles.link("lte"),)
    assert (found.request.prompt_tokens, found.request.new_tokens, found.request.batch) == (20, 10, 2)
    assert found.aims == {"tpot": 1, "edge_energy": 0.5}
    assert found.limits == Limits(
        ttft_s=2,
        tpot_s=0.5,
        total_s=60,
        memory_bytes={"edge": 4e9},
        busy_s={"cloud": 2},
        bytes_per_month=2e9,
        battery_j=36_000,
        requests_per_month=1000,
        edge_j=20,
        price_per_token=0.01,
        offline_quality=0.8,
    )
    assert found.pins == (Pin("embedding", "edge"), Pin("blocks", "edge", 0, 2))
    assert found.choices.bits == {"edge": (8, 4)}
    assert found.choices.wires == ("fp16", "int8")
    assert found.choices.u_shaped
    assert found.prices == Prices({"cloud": 2.5}, 4)
    assert found.exits == (Exit(4, 0.9),)
    assert found.link_kind == "proxy"


@pytest.mark.parametrize("text", [BASE, FULL, *(path.read_text() for path in EXAMPLE_FILES)])
def test_what_is_written_out_is_read_back(text: str) -> None:
    found = read_scenario(text)
    assert read_scenario(found.to_dict()) == found
    assert read_scenario(json.dumps(found.to_dict())) == found


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    data = {"model": "tiny", "devices": {"edge": "raspberry-pi-5", "cloud": "h100-sxm"}, "link": "lte"}
    (tmp_path / "a.json").write_text(json.dumps(data, indent="\t"))
    (tmp_path / "a.yaml").write_text(BASE)
    found = [read_scenario(tmp_path / name) for name in ("a.json", "a.yaml")]
    assert found == [read_scenario(data)] * 2


def test_a_front_is_a_list_and_the_best_is_best_at_its_first() -> None:
    found = read_scenario(BASE + "objective: [tpot, edge_energy]")
    assert found.aims == {"tpot": 1.0}
    assert found.front == ("tpot", "edge_energy")


@pytest.mark.parametrize("path", EXAMPLE_FILES, ids=lambda path: path.stem)
def test_examples_plan(path: Path) -> None:
    scenario = read_scenario(path)
    answer = plan(scenario.problem(read_architecture(scenario.model)))
    assert answer.verdict
    assert not answer.best.broken
    assert bool(answer.front) == bool(scenario.front)


def test_there_are_examples_of_each_kind() -> None:
    found = {path.stem: read_scenario(path) for path in EXAMPLE_FILES}
    assert any(len(scenario.devices) == 3 for scenario in found.values())
    assert any(scenario.pins for scenario in found.values())
    assert any(scenario.limits.bytes_per_month for scenario in found.values())
    assert any("70b" in str(scenario.model) for scenario in found.values())


# Devices, links, models and losses


def test_a_device_may_change_its_base() -> None:
    found = read_scenario(BASE, changes={"devices.edge": "{base: raspberry-pi-5, memory: 2 GB, active_w: 9}"})
    device, base = found.devices["edge"], profiles.device("raspberry-pi-5")
    assert device == replace(
        base,
        name="raspberry-pi-5-changed",
        title=f"{base.title}, changed",
        memory_bytes=2_000_000_000,
        active_w=9,
        sources={k: v for k, v in base.sources.items() if k not in ("memory_bytes", "active_w")},
    )


def test_kernels_were_measured_of_the_device_that_it_was() -> None:
    kernel = {"block_overhead_s": 1e-3, "bandwidth_bytes_per_s": 1e9, "flops": 1e10}
    base = profiles.DeviceProfile.from_dict(
        profiles.device("raspberry-pi-5").to_dict() | {"kernels": {"16": kernel}}
    )
    for text, kept in (("{base: mine, memory: 2 GB}", True), ("{base: mine, bandwidth: 9 GB/s}", False)):
        found = read_scenario(BASE, changes={"devices.edge": text}, device=lambda _: base)
        assert bool(found.devices["edge"].kernels) == kept


def test_a_device_may_be_spelt_out() -> None:
    speeds = "flops: {16: 1 TFLOP/s}, bandwidth: 20 GB/s, block_overhead: 1 ms"
    text = f"memory: 4 GB, {speeds}, idle: 1 W, active: 5 W"
    device = read_scenario(BASE, changes={"devices.edge": f"{{{text}}}"}).devices["edge"]
    assert (device.name, device.memory_bytes, device.bandwidth_bytes_per_s) == ("edge", 4e9, 20e9)
    assert device.flops == {16: 1e12}
    assert (device.block_overhead_s, device.idle_w, device.active_w) == (1e-3, 1, 5)


def test_a_link_may_change_its_base_or_be_spelt_out() -> None:
    link = read_scenario(BASE, changes={"link": "{base: lte, rtt: 80 ms, uplink: 2 Mbit/s}"}).links[0]
    assert (link.rtt_s, link.uplink_bps, link.downlink_bps) == (0.08, 2e6, profiles.link("lte").downlink_bps)
    link = read_scenario(
        BASE, changes={"link": "{rtt_s: 0.01, uplink: 1 Mbit/s, downlink: {loss: 0.02}, downlink_bps: 2e6}"}
    ).links[0]
    assert (link.rtt_s, link.uplink_bps, link.downlink_bps) == (0.01, 1e6, 2e6)
    assert (link.way("down").loss, link.way("up").loss) == (0.02, 0)


def test_files_are_relative_to_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "board.json").write_text(json.dumps(profiles.device("raspberry-pi-5").to_dict()))
    (tmp_path / "line.json").write_text(json.dumps({"rtt_s": 0.01, "uplink_bps": 1e6, "downlink_bps": 1e6}))
    losses = LossTable("mine", {8: (0.0,) * 8, 4: (0.1,) * 8}, {"int8": 0.0})
    (tmp_path / "losses.json").write_text(json.dumps(losses.to_dict()))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text(json.dumps(_LLAMA))
    text = "model: mine\ndevices: {edge: board.json, cloud: h100-sxm}\nlink: line.json\nlosses: losses.json\n"
    (tmp_path / "a.yaml").write_text(text)
    found = read_scenario(tmp_path / "a.yaml")
    assert found.devices["edge"] == profiles.device("raspberry-pi-5")
    assert (found.links[0].name, found.links[0].rtt_s) == ("line", 0.01)
    assert found.losses == losses
    assert found.model == str(tmp_path / "mine")
    assert isinstance(found.problem(read_architecture(found.model)), Problem)


_LLAMA = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 8, "num_attention_heads": 4}


def test_a_model_may_be_inline() -> None:
    found = read_scenario({**_base(), "model": _LLAMA})
    profile = read_architecture(found.model)
    assert (profile.n_blocks, profile.hidden) == (8, 64)


def test_a_device_that_only_a_measuring_host_knows_is_asked_for_by_name() -> None:
    asked: list[str] = []

    def device(name: str) -> profiles.DeviceProfile:
        asked.append(name)
        return profiles.device("raspberry-pi-5")

    read_scenario(BASE, changes={"devices.edge": "host"}, device=device)
    assert asked == ["host", "h100-sxm"]


def test_changes_set_and_add_by_path() -> None:
    found = read_scenario(
        BASE.replace("link: lte", "links: [lte]"),
        changes={
            "constraints.tpot": "200 ms",
            "links.0.rtt": "9 ms",
            "request.batch": "3",
            "devices.edge": "rtx-4090",
        },
    )
    assert found.limits.tpot_s == 0.2
    assert found.links[0].rtt_s == 0.009
    assert found.links[0].uplink_bps == profiles.link("lte").uplink_bps
    assert found.request.batch == 3
    assert found.devices["edge"] == profiles.device("rtx-4090")


# Complaints


@pytest.mark.parametrize(
    ("more", "where", "why"),
    [
        ("constraint: {}", ":6: constraint", "did you mean 'constraints'"),
        ("constraints:\n  tpot: 1 s\n  tttf: 1 s", ":8: constraints.tttf", "did you mean 'ttft'"),
        ("request: {prompt_token: 3}", "request.prompt_token", "did you mean 'prompt_tokens'"),
        ("choices: {wire: [int8]}", "choices.wire", "did you mean 'wires'"),
        ("prices: {per_gbyte: 3}", "prices.per_gbyte", "did you mean 'per_gb'"),
        ("prices: {per_hour: {cluod: 3}}", "prices.per_hour.cluod", "did you mean 'cloud'"),
        ("exits: [{aftr: 1, quality: 1}]", "exits.0.aftr", "did you mean 'after'"),
        ("placement: [{plce: edge}]", "placement.0.plce", "did you mean 'place'"),
        ("placement: [{part: embeding, place: edge}]", "placement.0.part", "did you mean 'embedding'"),
        ("placement: [{part: head, place: egde}]", "placement.0.place", "did you mean 'edge'"),
        ("objective: totl", "objective", "did you mean 'total'"),
        ("objective: {totl: 1}", "objective.totl", "did you mean 'total'"),
        ("objective: [total, tptt]", "objective.1", "did you mean 'tpot'"),
        ("constraints: {memory: {egde: 8 GB}}", "constraints.memory.egde", "did you mean 'edge'"),
        ("choices: {bits: {claud: [4]}}", "choices.bits.claud", "did you mean 'cloud'"),
        ("choices: {wires: [int9]}", "choices.wires.0", "did you mean 'int8'"),
        ("link_kind: nettem", "link_kind", "did you mean 'netem'"),
        ("model: tiny", ":6: model", "twice, first in line 1"),
        ("request:\n  batch: 1\n  batch: 2", ":8: request.batch", "twice, first in line 7"),
        ("links: [lte]", "links", "give one of them"),
        ("title: [1]", "title", "takes a text: got [1]"),
        ("constraints: fast", "constraints", "takes a mapping"),
        ("constraints: {memory: 8 GB}", "constraints.memory", "takes a mapping, as {edge: 8 GB}"),
        ("constraints: {ttft: [1]}", "constraints.ttft", "takes a number: got [1]"),
        (
            "constraints: {ttft: soon}",
            "constraints.ttft",
            "takes a number with a unit, as '40 ms': got 'soon'",
        ),
        ("constraints: {ttft: 1}", "constraints.ttft", "needs a unit, as '40 ms'"),
        ("constraints: {ttft: 40 MS}", "constraints.ttft", "did you mean 'ms'"),
        ("constraints: {ttft: 40 m/s}", "constraints.ttft", "has no unit 'm/s'"),
        ("constraints: {ttft_s: -1}", "constraints", "not negative, got -1"),
        ("constraints: {ttft: -1 s}", "constraints", "not negative, got -1"),
        ("constraints: {ttft_s: .inf}", "constraints.ttft_s", "takes a number"),
        ("constraints: {ttft_s: 1e999}", "constraints.ttft_s", "takes a number"),
        ("constraints: {ttft: 1 s, ttft_s: 1}", "constraints.ttft_s", "say it once"),
        ("constraints: {data: 2 GB/month}", "constraints", "needs requests_per_month"),
        ("constraints: {data: 2 GB/week}", "constraints.data", "has no unit 'GB/week'"),
        ("request: {prompt_tokens: 0}", "request.prompt_tokens", "at least 1: got 0"),
        ("request: {new_tokens: -3}", "request.new_tokens", "at least 1: got -3"),
        ("request: {batch: 1.5}", "request.batch", "a whole number"),
        ("request: {batch: true}", "request.batch", "a whole number"),
        ("objective: []", "objective", "at least one"),
        ("objective: {total: lots}", "objective.total", "takes a number"),
        ("placement: {part: head, place: edge}", "placement", "takes a list"),
        ("placement: [{part: head}]", "placement.0", "needs a place"),
        ("placement: [{place: edge}]", "placement.0", "needs a part"),
        (
            "placement: [{part: head, place: edge, blocks: [0, 1]}]",
            "placement.0.blocks",
            "head has no blocks",
        ),
        ("placement: [{place: edge, blocks: [4, 2]}]", "placement.0", "no range"),
        ("placement: [{place: edge, blocks: [4]}]", "placement.0.blocks", "takes two numbers"),
        ("choices: {bits: {edge: [5]}}", "choices.bits.edge", "some of 32, 16, 8, 4"),
        ("choices: {u_shaped: sometimes}", "choices.u_shaped", "true or false"),
        ("choices: {wires: []}", "choices", "needs a wire codec"),
        ("prices: {per_gb: -4}", "prices", "not negative"),
        ("exits: [{after: 3}]", "exits.0", "needs after and quality"),
        ("exits: [{after: 3, quality: 120 %}]", "exits.0", "from 0 to 1"),
        ("losses: nowhere.json", "losses", "cannot be read"),
        ("losses: {model: tiny}", "losses", "no table of losses"),
        ("title: *x", ":6", "undefined alias"),
        ("title: &x a\nlink_kind: *x", "link_kind", "write it out"),
        ("title: !!python/object:os.system x", "title", "means nothing here"),
        ("? [a, b]\n: c", ":6", "a key is a word"),
        ("a: b: c", ":6", "this is no YAML"),
    ],
)
def test_a_complaint_says_where_and_why(more: str, where: str, why: str) -> None:
    with pytest.raises(InputError) as caught:
        read_scenario(BASE + more)
    text = str(caught.value)
    assert text.startswith("scenario:")
    assert where in text.partition(": ")[0] + ": " + text.partition(": ")[2].partition(": ")[0]
    assert why in text


@pytest.mark.parametrize(
    ("changes", "where", "why"),
    [
        ({"devices.edge": "raspberry-pi-6"}, "devices.edge", "did you mean 'raspberry-pi-5'"),
        ({"devices.edge": "nowhere.json"}, "devices.edge", "cannot be read"),
        ({"devices.edge": "{base: rtx-409}"}, "devices.edge.base", "did you mean 'rtx-4090'"),
        ({"devices.edge": "{base: rtx-4090, memoy: 4 GB}"}, "devices.edge.memoy", "did you mean 'memory'"),
        ({"devices.edge": "{base: rtx-4090, memory: 0 GB}"}, "devices.edge", "must be above 0"),
        ({"devices.edge": "{base: rtx-4090, bandwidth: -1 GB/s}"}, "devices.edge", "must be above 0"),
        ({"devices.edge": "{base: rtx-4090, idle: -1 W}"}, "devices.edge", "not negative"),
        ({"devices.edge": "{base: rtx-4090, flops: {16: 0}}"}, "devices.edge", "must be above 0"),
        ({"devices.edge": "{memory: 4 GB}"}, "devices.edge", "lacks flops, bandwidth_bytes_per_s"),
        ({"devices.edge": "3"}, "devices.edge", "takes a text"),
        ({"devices": "{}"}, "devices", "names no device"),
        (
            {"devices.phone": "galaxy-s24"},
            "link",
            "3 devices (edge, cloud, phone) have 2 links between them: got 1",
        ),
        ({"link": "ltee"}, "link", "did you mean 'lte'"),
        ({"link": "{rtt: 3 ms}"}, "link", "lacks uplink_bps, downlink_bps"),
        ({"link.rtt": "-3 ms"}, "link", "not negative"),
        ({"link.uplink": "0 Mbit/s"}, "link", "must be above 0"),
        ({"link.uplink": "{losss: 0.1}"}, "link.uplink.losss", "did you mean 'loss'"),
        ({"link.jiter": "3 ms"}, "link.jiter", "did you mean 'jitter'"),
        ({"link": "[lte, lte]"}, "link", "1 links between them: got 2"),
        ({"links.3": "lte"}, "links", "give one of them"),
        ({"constraints.ttft": "[1"}, "change:1", "no YAML"),
        ({"model": "null"}, "scenario", "lacks model"),
    ],
)
def test_what_devices_and_links_cannot_be(changes: dict[str, str], where: str, why: str) -> None:
    with pytest.raises(InputError) as caught:
        read_scenario(BASE, changes=changes)
    assert where in str(caught.value)
    assert why in str(caught.value)


def test_a_place_of_a_list_has_to_be_there() -> None:
    with pytest.raises(InputError, match=r"links is a list of 1: '3' is no place in it"):
        read_scenario(BASE.replace("link: lte", "links: [lte]"), changes={"links.3": "lte"})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("# nothing\n", "is empty"),
        ("- a\n- b\n", "takes a mapping"),
        ("{}", "lacks model and devices"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ("model: tiny\ndevices: {edge: raspberry-pi-5, cloud: h100-sxm}\n", "1 links between them: got 0"),
        ("[" * 5000 + "\n", "nested too deeply"),
        ("model: tiny\n\tdevices: x\n", "cannot start any token"),
        ("---\na: 1\n---\nb: 2\n", "no YAML"),
    ],
)
def test_a_text_that_is_no_scenario(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_scenario(text)


def test_a_file_that_is_no_scenario(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with pytest.raises(InputError, match="cannot be read as a scenario"):
        read_scenario(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no text in UTF-8"):
        read_scenario(path)
    path.write_text("title: " + "x" * 1_000_000)
    with pytest.raises(InputError, match="longer than 1,000,000 bytes"):
        read_scenario(path)
    broken = tmp_path / "a.json"
    broken.write_text('{"model": ')
    with pytest.raises(InputError, match="is no JSON"):
        read_scenario(broken)


def test_a_mapping_holds_jsons_types_only() -> None:
    with pytest.raises(InputError, match="is none of JSON's types"):
        read_scenario({**_base(), "title": Path("x")})


def test_parts_that_contradict_the_model() -> None:
    tiny = read_architecture("tiny")
    with pytest.raises(PlanError, match="out of range"):
        read_scenario(BASE + "placement: [{place: edge, blocks: [0, 99]}]").problem(tiny)
    with pytest.raises(PromptError, match="positions"):
        read_scenario(BASE + "request: {prompt_tokens: 100000000}").problem(tiny)
    rows = {8: (0.0,) * 3, 4: (0.0,) * 3}
    short = LossTable("tiny", rows, {"int8": 0.0, "int4": 0.0})
    with pytest.raises(PlanError, match="losses are of 3 blocks"):
        read_scenario({**_base(), "losses": short.to_dict()}).problem(tiny)
    other = replace(short, model="another")
    with pytest.raises(InputError, match="losses are of model 'another'"):
        read_scenario({**_base(), "losses": other.to_dict()}).problem(tiny)
    with pytest.raises(InputError, match="never measured"):
        read_scenario(BASE + "objective: loss").problem(tiny)
    with pytest.raises(InputError, match="needs prices"):
        read_scenario(BASE + "objective: price").problem(tiny)


@given(st.text(max_size=200))
def test_any_text_is_a_scenario_or_an_input_error(text: str) -> None:
    with suppress(InputError):
        assert isinstance(read_scenario(text + "\n"), Scenario)


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["3 s", "edge"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*AIMS, "edge", "part"]), inner, max_size=3)
    ),
    max_leaves=8,
)
_parts = [
    "request",
    "objective",
    "constraints",
    "placement",
    "choices",
    "prices",
    "exits",
    "link",
    "devices",
    "losses",
]


@given(st.sampled_from(_parts), _values)
def test_any_value_in_any_place_is_taken_or_refused(key: str, value: object) -> None:
    with suppress(InputError):
        read_scenario({**_base(), key: value})


# Units


@pytest.mark.parametrize(
    ("text", "base", "value"),
    [
        ("40 ms", "s", 0.04),
        ("40ms", "s", 0.04),
        ("2 µs", "s", 2e-6),
        ("2 μs", "s", 2e-6),  # the Greek letter
        ("1.5 h", "s", 5400),
        ("8 GB", "B", 8e9),
        ("8 GiB", "B", 8 * 2**30),
        ("2 GB/month", "B/month", 2e9),
        ("12 Mbit/s", "bit/s", 12e6),
        ("1 kWh", "J", 3.6e6),
        ("5 %", "share", 0.05),
        ("1e6", "B", 1e6),
        ("-3", "", -3),
    ],
)
def test_units(text: str, base: str, value: float) -> None:
    assert in_unit(text, base) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("8 gb", "B"),
        ("8 Gb", "B"),
        ("8 MB", "s"),
        ("8 M", "B"),
        ("GB", "B"),
        ("8 GB RAM", "B"),
        ("8,5 GB", "B"),
        ("", "s"),
        ("1_000", "s"),
        ("٣ s", "s"),
        ("3 s", ""),
        ("nan", "s"),
        ("1e400 s", "s"),
        ("12 Mbps", "bit/s"),
        ("0x10", "B"),
    ],
)
def test_what_is_no_number_with_a_unit(text: str, base: str) -> None:
    with pytest.raises(ValueError, match="got"):
        in_unit(text, base)


@pytest.mark.parametrize("base", UNITS)
def test_every_unit_has_an_example_that_it_takes(base: str) -> None:
    assert in_unit(EXAMPLES[base], base, named=True) > 0


def _base() -> dict[str, object]:
    return {"model": "tiny", "devices": {"edge": "raspberry-pi-5", "cloud": "h100-sxm"}, "link": "lte"}


def test_paths_may_be_relative_to_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(BASE)
    assert read_scenario("a.yaml") == read_scenario(os.fspath(tmp_path / "a.yaml"))
