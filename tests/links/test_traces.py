"""Traces as data: what they say, how they are read, and what is wrong with one that cannot be."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import ProfileError, UnknownNameError
from workbench.links import synthetic
from workbench.links.traces import LinkStep, LinkTrace, link_trace, link_traces
from workbench.profiles import DATA, LinkProfile, Source, link_profiles

BASE = LinkProfile(0.05, 5e6, 20e6, loss=0.01, jitter_s=0.002, name="base", title="Base")
LARGEST_BYTES = 300_000

some = st.none() | st.floats(0, 1e9)
steps = st.lists(
    st.builds(
        LinkStep, st.floats(0, 1e4), some, some, st.none() | st.floats(0, 2), st.none() | st.floats(0, 0.5)
    ),
    min_size=1,
    max_size=20,
    unique_by=lambda step: step.at_s,
).map(lambda made: tuple(sorted(made, key=lambda step: step.at_s)))


def _trace(*made: LinkStep, duration_s: float = 100.0) -> LinkTrace:
    return LinkTrace("test", made, duration_s)


def _file(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text, encoding="utf-8")
    return path


# ---- what they say


def test_what_is_not_said_stays() -> None:
    trace = _trace(LinkStep(1.0, uplink_bps=1e6), LinkStep(2.0, rtt_s=0.2, loss=0.05))
    assert trace.profile_at(BASE, 0.5) == BASE
    first, second = trace.profile_at(BASE, 1.0), trace.profile_at(BASE, 99.0)
    assert (first.uplink_bps, first.downlink_bps, first.rtt_s, first.loss) == (1e6, 20e6, 0.05, 0.01)
    assert (second.uplink_bps, second.downlink_bps, second.rtt_s, second.loss) == (5e6, 20e6, 0.2, 0.05)
    assert (second.name, second.jitter_s) == ("base", 0.002)


def test_a_trace_may_begin_again() -> None:
    trace = _trace(LinkStep(1.0, uplink_bps=1e6), duration_s=4.0)
    rates = [trace.profile_at(BASE, at_s, loop=True).uplink_bps for at_s in (0.5, 3.5, 4.5, 5.5)]
    assert rates == [5e6, 1e6, 5e6, 1e6]
    assert trace.profile_at(BASE, 4.5).uplink_bps == 1e6


@given(steps)
def test_rows_for_a_helper_are_the_profiles_way_by_way(made: tuple[LinkStep, ...]) -> None:
    trace = LinkTrace("test", made, made[-1].at_s + 1)
    rows, profiles = trace.shapes(BASE), trace.profiles(BASE)
    assert rows[0][0] == 0.0
    assert (
        [at_s for at_s, _ in rows] == [at_s for at_s, _, _ in profiles] == sorted({at_s for at_s, _ in rows})
    )
    for (at_s, shape), (_, profile, out) in zip(rows, profiles, strict=True):
        assert profile == trace.profile_at(BASE, at_s)
        for way in ("up", "down"):
            assert shape[way] == (None if way in out else asdict(profile.way(way)))
    assert json.loads(json.dumps(rows)) == [list(row) for row in rows]


def test_an_outage_is_a_rate_of_zero_or_a_loss_of_one() -> None:
    trace = _trace(
        LinkStep(0.0, uplink_bps=0.0), LinkStep(1.0, downlink_bps=0.0), LinkStep(2.0, loss=1.0), LinkStep(3.0)
    )
    assert [sorted(out) for _, _, out in trace.profiles(BASE)] == [["up"], ["down"], ["down", "up"], []]
    assert all(profile == BASE for _, profile, _ in trace.profiles(BASE))


def test_an_outage_has_a_beginning_and_an_end() -> None:
    trace = LinkTrace.outage(1.5, 0.5)
    assert [(at_s, sorted(out)) for at_s, _, out in trace.profiles(BASE)] == [
        (0.0, []),
        (1.5, ["down", "up"]),
        (2.0, []),
    ]
    assert trace.delivered_bytes(BASE, "up", 0.0, 3.0) == pytest.approx(2.5 * 5e6 / 8)
    for wrong in ((0.0, 0.0), (0.0, -1.0), (-1.0, 1.0)):
        with pytest.raises(ProfileError):
            LinkTrace.outage(*wrong)


def test_what_a_direction_has_of_its_own_goes_along() -> None:
    lopsided = LinkProfile(
        0.05, 5e6, 20e6, uplink={"delay_s": 0.04, "loss": 0.02}, downlink={"loss_burst": 3.0}
    )
    profile = _trace(LinkStep(0.0, rtt_s=0.1, loss=0.2)).profile_at(lopsided, 0.0)
    assert profile.way("up").delay_s == pytest.approx(0.08)
    assert profile.way("down").delay_s == pytest.approx(0.02)
    assert (profile.way("up").loss, profile.way("down").loss) == (0.2, 0.2)
    assert profile.way("down").loss_burst == 3.0
    kept = _trace(LinkStep(0.0, uplink_bps=1e6)).profile_at(lopsided, 0.0)
    assert kept.way("up").loss == 0.02
    assert kept.way("down").delay_s == pytest.approx(0.01)


def test_a_trace_that_a_profile_cannot_take_names_the_step() -> None:
    bursts = LinkProfile(0.05, 5e6, 20e6, loss_burst=1.5)
    with pytest.raises(ProfileError, match="'test' at 3 s"):
        _trace(LinkStep(0.0), LinkStep(3.0, loss=0.9)).profiles(bursts)


@given(steps, st.floats(0, 2e4), st.floats(0, 2e4), st.booleans())
def test_what_is_delivered_adds_up(made: tuple[LinkStep, ...], one: float, other: float, loop: bool) -> None:
    trace = LinkTrace("test", made, made[-1].at_s + 5000)
    middle, end = sorted((one, other))
    whole = trace.delivered_bytes(BASE, "down", 0.0, end, loop=loop)
    parts = [trace.delivered_bytes(BASE, "down", *ends, loop=loop) for ends in ((0.0, middle), (middle, end))]
    assert sum(parts) == pytest.approx(whole, rel=1e-9, abs=1e-3)


def test_what_is_delivered_is_the_area_below_the_rate() -> None:
    trace = _trace(
        LinkStep(1.0, uplink_bps=8e6), LinkStep(2.0, uplink_bps=0.0), LinkStep(3.0), duration_s=4.0
    )
    assert trace.delivered_bytes(BASE, "up", 0.5, 2.5) == pytest.approx(0.5 * 5e6 / 8 + 1e6)
    assert trace.delivered_bytes(BASE, "up", 0.0, 8.0, loop=True) == pytest.approx(2 * (2 * 5e6 / 8 + 1e6))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: LinkTrace("x", (), 1.0), "empty"),
        (lambda: _trace(LinkStep(1.0), LinkStep(1.0)), "backwards"),
        (lambda: _trace(LinkStep(1.0), duration_s=0.5), "duration_s"),
        (lambda: _trace(LinkStep(0.0), duration_s=0.0), "duration_s"),
        (lambda: _trace(LinkStep(0.0), duration_s=float("nan")), "duration_s"),
        (lambda: LinkStep(-1.0), "at_s"),
        (lambda: LinkStep(0.0, uplink_bps=-1.0), "uplink_bps"),
        (lambda: LinkStep(0.0, loss=1.5), "0 to 1"),
        (lambda: LinkStep(0.0, rtt_s=float("nan")), "rtt_s"),
        (lambda: LinkStep(0.0, downlink_bps=float("inf")), "downlink_bps"),
    ],
)
def test_what_cannot_be_is_refused(made: object, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        made()  # type: ignore[operator]


def test_a_label_is_one_of_the_known() -> None:
    with pytest.raises(UnknownNameError, match="label"):
        LinkTrace("x", (LinkStep(0.0),), 1.0, label="guessed")  # type: ignore[arg-type]


# ---- CSV


@given(steps)
def test_a_table_is_read_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, made: tuple[LinkStep, ...]
) -> None:
    path = tmp_path_factory.mktemp("traces") / "walk.csv"
    source = Source("a walk", "measured", "https://example.org")
    trace = LinkTrace("walk", made, made[-1].at_s + 1, "A walk – there", "measured", {"rtt_s": source})
    trace.to_csv(path)
    if any(value is not None for step in made for value in list(asdict(step).values())[1:]):
        assert LinkTrace.from_csv(path) == trace
    else:
        with pytest.raises(ProfileError, match="names the columns"):
            LinkTrace.from_csv(path)


def test_any_columns_in_any_order_will_do(tmp_path: Path) -> None:
    path = _file(
        tmp_path, "\ufeff# a comment\nrtt_ms, time_s,downlink_mbps\n\n50,0,8\n# more\n,0.5,\n20,1.5,0\n"
    )
    trace = LinkTrace.from_csv(path)
    assert trace.steps == (
        LinkStep(0.0, downlink_bps=8e6, rtt_s=0.05),
        LinkStep(0.5),
        LinkStep(1.5, downlink_bps=0.0, rtt_s=0.02),
    )
    assert (trace.name, trace.title, trace.label, trace.duration_s) == ("trace", "trace", "measured", 2.5)
    assert LinkTrace.from_csv(path, duration_s=7.0).duration_s == 7.0


HEAD = "time_s,uplink_bps,loss\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# only words\n", "is empty"),
        (HEAD, "is empty"),
        ("uplink_bps,loss\n1,0\n", r":1: the first line names the columns, time_s"),
        ("time_s\n0\n", r":1: the first line names the columns"),
        ("time_s,speed\n0,1\n", r":1: .*uplink_bps.*'speed'"),
        ("0,5e6,0\n1,5e6,0\n", r":1: the first line names the columns"),
        ("time_s,uplink_bps,uplink_mbps\n0,1,1\n", r":1: a column is there twice"),
        (HEAD + "0,1,0\n2,1,0\n1,1,0\n", r":4: time runs backwards, from 2 s to 1 s: sort"),
        (HEAD + "0,1,0\n0,1,0\n", r":3: time runs backwards"),
        (HEAD + "0,fast,0\n", r":2: uplink_bps is no number: 'fast'; leave it empty"),
        (HEAD + "0,-1,0\n", r":2: uplink_bps must be finite and not negative, got -1"),
        (HEAD + "0,nan,0\n", r":2: uplink_bps must be finite and not negative, got nan"),
        (HEAD + "0,inf,0\n", r":2: uplink_bps must be finite"),
        (HEAD + "-1,1,0\n", r":2: time_s must be finite and not negative"),
        (HEAD + "0,1,2\n", r":2: loss is a share from 0 to 1, got 2.0: write 2 % as 0.02"),
        (HEAD + ",1,0\n", r":2: time_s is empty"),
        (HEAD + "0,1\n", r":2: 3 columns were named, this line has 2"),
        (HEAD + "1700000000,1,0\n", r":2: time_s counts from the start of the trace.*subtract"),
        (HEAD + "0,1,0\n", "has one row.*give duration_s"),
    ],
)
def test_a_wrong_table_says_where_and_how(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message) as raised:
        LinkTrace.from_csv(_file(tmp_path, text))
    assert "trace.csv" in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"nowhere\.csv cannot be read"):
        LinkTrace.from_csv(tmp_path / "nowhere.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfileError, match=r"binary\.csv cannot be read"):
        LinkTrace.from_csv(tmp_path / "binary.csv")


@pytest.mark.parametrize("about", ["[]", "{", '{"colour": "red"}', '{"sources": {"a": {"speed": 1}}}'])
def test_what_is_beside_a_table_has_to_describe_it(tmp_path: Path, about: str) -> None:
    path = _file(tmp_path, HEAD + "0,1,0\n1,1,0\n")
    path.with_suffix(".json").write_text(about)
    with pytest.raises(ProfileError, match=r"trace\.json does not describe a trace"):
        LinkTrace.from_csv(path)


# ---- Mahimahi


def test_packets_become_rates(tmp_path: Path) -> None:
    """One packet a millisecond is 12 Mbit/s on its line, of which an application gets 1448 of 1500 bytes."""
    path = tmp_path / "12Mbps"
    path.write_text("".join(f"{ms}\n" for ms in range(1, 1001)))
    trace = LinkTrace.from_mahimahi(downlink=path)
    assert trace.steps == (LinkStep(0.0, downlink_bps=1448 * 8e3),)
    assert (trace.name, trace.duration_s) == ("12Mbps", 1.0)
    assert trace.delivered_bytes(BASE, "down", 0.0, 10.0, loop=True) == pytest.approx(10_000 * 1448)


def test_bins_without_a_packet_are_outages(tmp_path: Path) -> None:
    (tmp_path / "gap").write_text("10\n20\n20\n250\n")
    trace = LinkTrace.from_mahimahi(uplink=tmp_path / "gap")
    assert [step.at_s for step in trace.steps] == [0.0, 0.1, 0.2]
    assert [step.uplink_bps for step in trace.steps] == pytest.approx([3 * 14480 * 8, 0.0, 2 * 14480 * 8])
    assert trace.delivered_bytes(BASE, "up", 0.0, 0.25) == pytest.approx(4 * 1448)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=100).filter(any), st.floats(0.001, 3))
def test_no_packet_is_lost_in_the_bins(
    tmp_path_factory: pytest.TempPathFactory, moments: list[int], bin_s: float
) -> None:
    path = tmp_path_factory.mktemp("mahimahi") / "some"
    path.write_text("\n".join(map(str, sorted(moments))))
    trace = LinkTrace.from_mahimahi(uplink=path, bin_s=bin_s)
    delivered = trace.delivered_bytes(BASE, "up", 0.0, trace.duration_s)
    assert delivered == pytest.approx(len(moments) * 1448, rel=1e-6)


def test_the_shorter_direction_begins_again_within_the_longer_one(tmp_path: Path) -> None:
    (tmp_path / "up").write_text("100\n")
    (tmp_path / "down").write_text("50\n400\n")
    trace = LinkTrace.from_mahimahi(tmp_path / "up", tmp_path / "down")
    assert trace.duration_s == 0.4
    assert trace.name == "up and down"
    assert trace.delivered_bytes(BASE, "up", 0.0, 0.4) == pytest.approx(4 * 1448)
    assert trace.delivered_bytes(BASE, "down", 0.0, 0.4) == pytest.approx(2 * 1448)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("0\n", "is empty"),
        ("5\n3\n", r":2: time runs backwards, from 5 ms to 3 ms"),
        ("5\n6.5\n", r":2: a line is a whole number of milliseconds, got '6.5'"),
        ("-5\n", r":1: a line is a whole number of milliseconds"),
    ],
)
def test_a_wrong_delivery_trace_says_where(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "wrong").write_text(text)
    with pytest.raises(ProfileError, match=message):
        LinkTrace.from_mahimahi(uplink=tmp_path / "wrong")


def test_a_delivery_trace_is_of_some_direction(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="uplink, the downlink or both"):
        LinkTrace.from_mahimahi()
    (tmp_path / "one").write_text("5\n")
    with pytest.raises(ProfileError, match="bin_s"):
        LinkTrace.from_mahimahi(tmp_path / "one", bin_s=0.0)


# ---- the shipped ones


def test_an_unknown_trace_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'starlink'"):
        link_trace("starlnk")


@pytest.mark.parametrize("name", sorted(link_traces()))
def test_a_shipped_trace_says_where_it_comes_from(name: str) -> None:
    trace = link_trace(name)
    assert trace.name == name
    assert trace.title
    assert trace.sources
    assert all(source.text for source in trace.sources.values())
    if trace.label != "measured":
        assert "synthetic" in trace.title
    assert (DATA / "traces" / f"{name}.csv").stat().st_size < LARGEST_BYTES
    for base in link_profiles().values():
        assert len(trace.profiles(base)) == len(trace.steps)


def test_there_are_some_and_the_generator_still_gives_them(tmp_path: Path) -> None:
    synthetic.main(["--out", str(tmp_path)])
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(made) >= 6
    for name, content in made.items():
        assert (DATA / "traces" / name).read_bytes() == content, (
            f"run python -m workbench.links.synthetic: {name}"
        )


def test_another_seed_gives_others(tmp_path: Path) -> None:
    for one, other in zip(synthetic.traces(), synthetic.traces(2), strict=True):
        assert one.name == other.name
        assert one.steps != other.steps


def test_they_are_what_they_say() -> None:
    drive, sky, walk = (link_trace(name) for name in ("lte-drive", "starlink", "wifi-walk"))
    assert any(step.is_outage("up") and step.is_outage("down") for step in drive.steps)
    for slot in range(12, 297, 15):  # a change at 12, 27, 42 … s
        assert sky.at(slot + 0.05).loss > 10 * sky.at(slot + 7.0).loss  # type: ignore[operator]
        assert sky.at(slot + 0.05).rtt_s > sky.at(slot + 0.2).rtt_s  # type: ignore[operator]
    near, far = walk.at(0.0), walk.at(walk.duration_s / 2)
    assert near.downlink_bps > 5 * (far.downlink_bps or 0.0)  # type: ignore[operator]
    assert near.rtt_s < far.rtt_s  # type: ignore[operator]
