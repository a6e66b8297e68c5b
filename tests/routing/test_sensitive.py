"""What a text holds is found in every disguise that is listed, and seldom where there is nothing."""

from __future__ import annotations

import base64
import html
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.plan import DATA_CLASSES
from workbench.routing import find_sensitive, shipped_pool
from workbench.routing.sensitive.numbers import is_card, is_iban
from workbench.routing.workload import held_out_prose

SECRETS = {
    "contact": (
        "john.doe@example.com",
        "+49 170 1234567",
        "(415) 555-0123",
        "030 12345678",
        "call me at 5550123",
        "12 Baker Street",
        "Hauptstrasse 12",
        "12 rue de la Paix",
        "8.8.4.4",
        "2001:4860:4860::8888",
    ),
    "number": (
        "4111 1111 1111 1111",
        "5500-0000-0000-0004",
        "DE89 3704 0044 0532 0130 00",
        "GB82WEST12345698765432",
        "078-05-1120",
        "passport C01234567",
    ),
    "name": (
        "Mrs. Miller",
        "my name is Zork",
        "Katharina",
        "Ich heiße Zork",
        "je m'appelle Zork",
        "Herr Schmidt",
    ),
    "health": ("insulin", "chemotherapy", "blood pressure", "diagnosed with", "schwanger", "diabetes"),
}
PAIRS = [(data_class, secret) for data_class, secrets in SECRETS.items() for secret in secrets]
WORDS = [
    (c, s)
    for c, s in PAIRS
    if s in ("john.doe@example.com", "Katharina", "insulin", "chemotherapy", "diabetes")
]
DOUBLES = {"a": "а", "e": "е", "o": "о", "c": "с", "p": "р", "x": "х", "i": "і", "s": "ѕ", "j": "ј", "h": "һ"}
LEET = {"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"}
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f\u180e\u2063\ufe0f\u3164"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
BORING = st.text(alphabet="qwxz ,;\n", max_size=12).map(lambda s: s + " ")


def _classes(text: str) -> set[str]:
    return {finding.data_class for finding in find_sensitive(text)}


@pytest.mark.parametrize(("data_class", "secret"), PAIRS)
@given(before=BORING, after=BORING)
def test_what_is_there_is_found_where_it_is(data_class: str, secret: str, before: str, after: str) -> None:
    text = f"{before}{secret} {after}"
    found = [f for f in find_sensitive(text) if f.data_class == data_class]
    assert found
    assert all(f.text == text[f.start : f.stop] for f in found)
    assert any(len(before) <= f.start < len(before) + len(secret) for f in found)


# --- slipping by -----------------------------------------------------------------------------------


@given(st.sampled_from(PAIRS), st.randoms(use_true_random=False))
def test_case_is_no_disguise(pair: tuple[str, str], rng: object) -> None:
    secret = "".join(rng.choice((c.lower(), c.upper())) for c in pair[1])  # type: ignore[attr-defined]
    assert pair[0] in _classes(secret)


@given(st.sampled_from(PAIRS), st.data())
def test_wide_and_look_alike_letters_are_no_disguise(pair: tuple[str, str], data: st.DataObject) -> None:
    def dressed(c: str) -> str:
        forms = [c]
        if "!" <= c <= "~":
            forms.append(chr(ord(c) + 0xFEE0))
        if c in DOUBLES:
            forms.append(DOUBLES[c])
        if c.isascii() and c.isdigit():
            forms += [chr(0x1D7CE + int(c)), chr(0x660 + int(c))]
        if c.isascii() and c.islower():
            forms.append(chr(0x1D41A + ord(c) - 97))
        return data.draw(st.sampled_from(forms))

    assert pair[0] in _classes("".join(map(dressed, pair[1])))


@given(st.sampled_from(PAIRS), st.data())
def test_what_does_not_show_is_no_disguise(pair: tuple[str, str], data: st.DataObject) -> None:
    gaps = st.text(alphabet=INVISIBLE, max_size=2)
    assert pair[0] in _classes("".join(c + data.draw(gaps) for c in pair[1]))


@given(st.sampled_from(WORDS), st.sampled_from([" ", "  ", "\n", "\u00a0"]))
def test_letters_that_stand_apart_are_no_disguise(pair: tuple[str, str], gap: str) -> None:
    assert pair[0] in _classes(gap.join(pair[1]))


@given(st.sampled_from(WORDS[1:]), st.sampled_from([".", "-", "_", "*", "|", " . ", "/"]))
def test_letters_between_dots_are_no_disguise(pair: tuple[str, str], gap: str) -> None:
    assert pair[0] in _classes(gap.join(pair[1]))


def test_a_whole_sentence_that_stands_apart_is_no_disguise() -> None:
    assert _classes(" ".join("mynameiskatharina")) == {"name"}
    assert "health" in _classes(" ".join("ihavediabetes"))


@pytest.mark.parametrize(
    "text",
    [
        "john at example dot com",
        "john AT example DOT com",
        "john [at] example [dot] com",
        "john(at)example.com",
        "john {at} mail . example . org",
        "john @ example . com",
        "j o h n at e x a m p l e dot c o m",
        "john.doe arroba example punto es",
        "john_at_example_dot_com",
        "john ＠ example。com",
    ],
)
def test_at_and_dot_in_words_are_no_disguise(text: str) -> None:
    assert "contact" in _classes(text)


@given(st.data())
def test_digits_in_words_are_no_disguise(data: st.DataObject) -> None:
    spelled = [data.draw(st.sampled_from([d, DIGITS[int(d)]])) for d in "4111111111111111"]
    assert "number" in _classes(" ".join(spelled))


def test_a_telephone_number_in_words_is_no_disguise() -> None:
    assert "contact" in _classes("five five five zero one two three four")
    assert "contact" in _classes("Null eins sieben null, eins zwei drei vier fünf sechs sieben")


@given(st.sampled_from([p for p in WORDS if "@" not in p[1]]), st.data())
def test_digits_for_letters_are_no_disguise(pair: tuple[str, str], data: st.DataObject) -> None:
    text = "".join(data.draw(st.sampled_from([c, LEET.get(c.lower(), c)])) for c in pair[1])
    assert pair[0] in _classes(text)


@given(st.sampled_from(PAIRS), st.sampled_from(["entity", "hex", "named"]))
def test_entities_are_no_disguise(pair: tuple[str, str], how: str) -> None:
    form = {"entity": lambda c: f"&#{ord(c)};", "hex": lambda c: f"&#x{ord(c):x};", "named": html.escape}[how]
    assert pair[0] in _classes("".join(map(form, pair[1])))


@given(st.sampled_from(PAIRS), st.integers(1, 3), st.booleans())
def test_percent_signs_are_no_disguise(pair: tuple[str, str], rounds: int, all_of_it: bool) -> None:
    text = pair[1]
    for _ in range(rounds):
        text = "".join(f"%{b:02x}" for b in text.encode()) if all_of_it and len(text) < 300 else quote(text)
    assert pair[0] in _classes(text)


@given(st.sampled_from([p for p in PAIRS if len(p[1]) >= 9]), st.booleans(), st.booleans())
def test_base64_is_no_disguise(pair: tuple[str, str], padded: bool, twice: bool) -> None:
    text = base64.urlsafe_b64encode(f"{pair[1]} ok".encode()).decode()
    text = base64.b64encode(text.encode()).decode() if twice else text
    assert pair[0] in _classes("see " + (text if padded else text.rstrip("=")))


@pytest.mark.parametrize(
    ("data_class", "text"),
    [
        ("name", b"katharina".hex()),
        ("name", "\\u006b\\u0061\\x74harina"),
        ("name", "=4Batharina"),
        ("name", "KatharinaMiller"),
        ("name", "bXkgbmFtZSBp\ncyBrYXRoYXJp\nbmE="),
        ("number", "four111 1one11 1111 111one"),
        ("contact", "8[.]8[.]4[.]4"),
        ("contact", "12 Baker St."),
        ("contact", "my number is 555-0123"),
    ],
)
def test_other_disguises(data_class: str, text: str) -> None:
    assert data_class in _classes(text)


@given(st.sampled_from(WORDS[1:]))
def test_one_disguise_over_another_is_none(pair: tuple[str, str]) -> None:
    wide = "".join(chr(ord(c) + 0xFEE0) for c in pair[1])
    assert pair[0] in _classes("\u200b ".join(wide))
    assert pair[0] in _classes(quote("".join(DOUBLES.get(c, c) for c in pair[1])))


# --- false alarms ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "copy: a b c d =",
        "arithmetic: 12 + 34 =",
        "x = a @ b.T",
        "@functools.wraps(f)",
        "version 3.11.4 of 2024-01-15 12:30:05",
        "it took 5 ms per request",
        "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]",
        "3.14159265358979",
        "127.0.0.1",
        "a[::2] and ::1",
        "4111 1111 1111 1112",
        "the quick brown fox, as of 10:15:30.123456",
        "cache miss rate",
        "",
    ],
)
def test_nothing_is_found_where_there_is_nothing(text: str) -> None:
    assert find_sensitive(text) == ()


def test_false_alarms_are_rare_on_the_shipped_prompts_and_prose() -> None:
    prompts = [r.prompt for task, pool in shipped_pool().items() if task != "continue" for r in pool]
    pieces = [text[i : i + 300] for text in held_out_prose() for i in range(0, len(text), 300)]
    assert sum(map(bool, map(find_sensitive, prompts))) / len(prompts) < 0.02
    assert sum(map(bool, map(find_sensitive, pieces))) / len(pieces) < 0.05


@given(st.text(max_size=60))
def test_any_text_is_read_and_every_finding_is_a_piece_of_it(text: str) -> None:
    for finding in find_sensitive(text):
        assert finding.data_class in DATA_CLASSES
        assert 0 <= finding.start < finding.stop <= len(text)
        assert finding.text == text[finding.start : finding.stop]


@pytest.mark.parametrize("unit", ["a", "1", "a ", "a.", "%41", "&#65;", "@", "0 ", "one ", "aa@aa.", "+1 "])
def test_long_texts_take_time_in_proportion(unit: str) -> None:
    """No pattern may run away: this would not end with one that does."""
    assert isinstance(find_sensitive(unit * 6000), tuple)


def test_check_digits() -> None:
    assert is_card("4111111111111111")
    assert not is_card("4111111111111112")
    assert not is_card("0000000000000000")
    assert is_iban("DE89370400440532013000")
    assert not is_iban("DE8937040044053201300")
    assert not is_iban("XX89370400440532013000")
