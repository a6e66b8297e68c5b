"""Rules: conditions, their order, and clashes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.routing.plans import SITUATION, mixed_plan
from workbench.errors import InputError, UnknownNameError
from workbench.routing import Request, Rule, Rules, language_of

TEXTS = st.text(alphabet="abx :,\n", max_size=24)
RULES = st.builds(
    Rule,
    st.sampled_from(["copy", "translate"]),
    keywords=st.lists(st.sampled_from(["a", "b", "ab"]), max_size=2),
    prefix=st.sampled_from([None, "a", "ab", "x"]),
    regex=st.sampled_from([None, "x+", "a:"]),
    min_length=st.sampled_from([0, 2, 9]),
    max_length=st.sampled_from([None, 9, 30]),
)


def _feature(rules: Rules, text: str) -> str:
    return rules.route(Request(text), mixed_plan(), SITUATION).feature


@pytest.mark.parametrize(
    ("rule", "yes", "no"),
    [
        (Rule("copy", keywords=["repeat", "again"]), "Say it AGAIN, please", "against"),
        (Rule("copy", prefix="Copy:"), "  copy: a b", "please copy: a"),
        (Rule("copy", regex=r"\d\s*\+"), "what is 3 + 4", "what is 3"),
        (Rule("copy", min_length=3, max_length=4), "abcd", "ab"),
        (Rule("copy", language="de"), "Wie ist das Wetter und wo bist du", "What is the weather like"),
        (Rule("copy", data=["contact"]), "write to jo@example.com", "write to me"),
        (Rule("copy", keywords=["a"], max_length=5), "a b", "a b c d e"),
    ],
)
def test_a_rule_asks_for_all_that_it_gives(rule: Rule, yes: str, no: str) -> None:
    assert rule.matches(yes)
    assert not rule.matches(no)


def test_the_first_wins_and_what_none_matches_is_the_stated_default() -> None:
    rules = Rules([Rule("copy", keywords=["x", "y"]), Rule("translate", prefix="to")], default="arithmetic")
    assert [_feature(rules, text) for text in ("to x", "to z", "z")] == ["copy", "translate", "arithmetic"]
    assert (
        rules.route(Request("z"), mixed_plan(), SITUATION).reason
        == "no rule matches: the default, arithmetic"
    )


def test_the_greatest_priority_wins_wherever_it_stands() -> None:
    rules = Rules([Rule("copy", keywords=["x"], priority=1), Rule("translate", prefix="to", priority=2)])
    assert _feature(rules, "to x") == "translate"


def test_two_of_a_priority_that_match_one_text_clash_when_it_comes() -> None:
    rules = Rules([Rule("copy", regex="x", priority=1), Rule("translate", min_length=5, priority=1)])
    assert _feature(rules, "x") == "copy"
    with pytest.raises(InputError, match="matches two rules of priority 1"):
        _feature(rules, "xxxxxx")


@pytest.mark.parametrize(
    "pair",
    [
        [Rule("copy", prefix="a"), Rule("translate", prefix="A")],
        [Rule("copy", prefix="a"), Rule("translate", prefix="ab")],
        [Rule("copy", keywords=["a", "b"]), Rule("translate", keywords=["b"], min_length=4)],
        [Rule("copy", max_length=9), Rule("translate", max_length=9, language="en")],
        [Rule("copy", keywords=["a", "b"], priority=1), Rule("translate", keywords=["b", "c"], priority=1)],
        [Rule("copy", prefix="ab", priority=3), Rule("translate", prefix="a", priority=3)],
        [Rule("copy", prefix="ab", priority=3), Rule("translate", prefix="a", priority=4)],
    ],
)
def test_clashes_that_the_rules_alone_show_are_refused_at_once(pair: list[Rule]) -> None:
    with pytest.raises(InputError, match="clash"):
        Rules(pair)


@given(st.lists(RULES, min_size=1, max_size=4), TEXTS)
def test_what_one_rule_is_said_to_cover_it_matches(rules: list[Rule], text: str) -> None:
    """What ``covers`` claims holds for every text."""
    for one in rules:
        for other in rules:
            if one.covers(other) and other.matches(text):
                assert one.matches(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rule("copy"),
        lambda: Rule("copy", keywords="word"),
        lambda: Rule("copy", keywords=[" "]),
        lambda: Rule("copy", prefix=""),
        lambda: Rule("copy", regex="("),
        lambda: Rule("copy", min_length=5, max_length=4),
        lambda: Rule("copy", min_length=-1),
        lambda: Rule("copy", language="nl"),
        lambda: Rule("copy", data=["secret"]),
        lambda: Rules([]),
        lambda: Rules([Rule("copy", prefix="a", priority=1), Rule("copy", prefix="b")]),
    ],
)
def test_rules_that_cannot_be(make: object) -> None:
    with pytest.raises(InputError):
        make()  # type: ignore[operator]


def test_a_feature_that_the_plan_lacks_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'translate'"):
        _feature(Rules([Rule("translation", prefix="a")]), "abc")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What is the capital of this country?", "en"),
        ("Was ist die Hauptstadt von diesem Land?", "de"),
        ("Quelle est la capitale de ce pays et pour qui?", "fr"),
        ("¿Cuál es la capital de este país y por qué?", "es"),
        ("def read(path):\n    return open(path).read()", "code"),
        ("for (int i = 0; i < n; i++) {\n  sum += a[i];\n}", "code"),
        ("Привет, как дела?", None),
        ("copy: a b c d =", None),
        ("", None),
    ],
)
def test_languages(text: str, language: str | None) -> None:
    assert language_of(text) == language
