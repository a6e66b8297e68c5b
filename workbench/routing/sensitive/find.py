"""Findings: which classes of data a text holds, and where.

The text is read in several views, each of which undoes some disguises, and what one of them shows counts.
It works by patterns and short word lists. It finds the usual forms in English, German, French and Spanish;
it does not understand, and a person who wants to be misread can find a form that is not listed.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from workbench.plan import DATA_CLASSES
from workbench.routing.sensitive.numbers import iban_length, is_card, is_iban, is_social_security
from workbench.routing.sensitive.view import (
    View,
    at_and_dot,
    digits,
    joined,
    letters,
    plain,
    runs_of_letters,
    undotted,
)
from workbench.routing.sensitive.words import GIVEN_NAMES, HEALTH_PHRASES, HEALTH_WORDS, TOP_DOMAINS

__all__ = ["Finding", "find_sensitive"]

Hits = Iterator[tuple[int, int]]
_ENCODED = re.compile(r"[A-Za-z0-9+/_\-]{12,}(?:\n[A-Za-z0-9+/_\-]+)*={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){6,}")
_DEPTH = 2  # one encoding in another


@dataclass(frozen=True)
class Finding:
    """A piece of a text that is of some class of data."""

    data_class: str  # one of plan.DATA_CLASSES
    start: int
    stop: int
    text: str  # as it stands in the source


def find_sensitive(text: str) -> tuple[Finding, ...]:
    """Everything of a class of data that a text holds, by its place; overlapping finds of a class are one."""
    return _merged(text, _found(text, _DEPTH))


def _found(text: str, depth: int) -> Iterator[tuple[str, int, int]]:
    base = plain(text)
    apart = joined(base)
    for view in dict.fromkeys((base, apart, undotted(base), undotted(apart))):
        yield from _in_view(view)
    for run in runs_of_letters(base):
        yield from _spans("name", run, (m.span() for m in _LONG_NAMES.finditer(run.text)))
        yield from _spans("health", run, (m.span() for m in _LONG_HEALTH.finditer(run.text)))
    if depth:
        yield from _in_encoded(base, depth)


def _in_view(view: View) -> Iterator[tuple[str, int, int]]:
    yield from _spans("contact", view, (m.span() for m in _MAIL.finditer(view.text)))
    for signs in dict.fromkeys((view, at_and_dot(view))):
        yield from _spans("contact", signs, (m.span() for m in _SPACED_MAIL.finditer(signs.text)))
    counted = digits(view)
    for numbers in dict.fromkeys((view, counted)):
        yield from _spans("contact", numbers, _reached(numbers.text))
        yield from _spans("number", numbers, _numbers(numbers.text))
    yield from _spans("contact", view, (m.span() for m in _DIGIT_WORDS_RUN.finditer(view.text)))
    for words in dict.fromkeys((view, letters(view, "i"), letters(view, "l"))):
        yield from _spans("name", words, _names(words.text))
        yield from _spans("health", words, _health(words.text))


def _in_encoded(view: View, depth: int) -> Iterator[tuple[str, int, int]]:
    for match in _ENCODED.finditer(view.text):
        for inside in filter(None, map(_readable, _decoded(match.group()))):
            for data_class, _, _ in _found(inside, depth - 1):
                yield (data_class, *view.span(*match.span()))


def _decoded(run: str) -> Iterator[bytes]:
    """A run as base64, and as hexadecimal digits where it is made of these."""
    raw = "".join(run.split()).rstrip("=").replace("-", "+").replace("_", "/")
    if _HEX.fullmatch(raw):
        yield bytes.fromhex(raw)
    with contextlib.suppress(binascii.Error):
        yield base64.b64decode(raw + "=" * (-len(raw) % 4), validate=True)


def _readable(raw: bytes) -> str | None:
    """What bytes say; None where it is nothing that can be read."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    return text if text.strip() and all(c.isprintable() or c.isspace() for c in text) else None


def _spans(data_class: str, view: View, hits: Iterable[tuple[int, int]]) -> Iterator[tuple[str, int, int]]:
    for start, stop in hits:
        yield (data_class, *view.span(start, stop))


def _merged(text: str, found: Iterable[tuple[str, int, int]]) -> tuple[Finding, ...]:
    spans: dict[str, list[list[int]]] = {name: [] for name in DATA_CLASSES}
    for data_class, start, stop in sorted(set(found), key=lambda hit: hit[1:]):
        listed = spans[data_class]
        if listed and start < listed[-1][1]:
            listed[-1][1] = max(listed[-1][1], stop)
        else:
            listed.append([start, stop])
    findings = [Finding(name, a, b, text[a:b]) for name, listed in spans.items() for a, b in listed]
    return tuple(sorted(findings, key=lambda f: (f.start, f.stop, f.data_class)))


# --- contact ---------------------------------------------------------------------------------------

_MAIL = re.compile(r"[\w.%+'\-]{1,64}@(?:[a-z0-9\-]{1,63}\.){1,5}[a-z]{2,24}(?![\w(])", re.IGNORECASE)
_SPACED_MAIL = re.compile(
    rf"[\w.%+'\-]{{1,64}}\s{{0,2}}@\s{{0,2}}[a-z0-9\-]{{1,63}}"
    rf"(?:\s{{0,2}}\.\s{{0,2}}[a-z0-9\-]{{1,63}}){{0,4}}"
    rf"\s{{0,2}}\.\s{{0,2}}(?:{TOP_DOMAINS})(?![\w(])",
    re.IGNORECASE,
)
_PHONE = re.compile(
    r"(?<![\w.+\-])(?:\+\s?\d(?:[\s().\-/]{0,3}\d){7,14}"  # +49 170 1234567
    r"|00[1-9](?:[\s().\-/]{0,3}\d){8,13}"  # 0049 170 1234567
    r"|(?:1[\s.\-])?\(?[2-9]\d\d\)?[\s.\-]{1,2}\d{3}[\s.\-]\d{4}"  # (415) 555-0123
    r"|\(?0[1-9]\d{1,4}\)?[\s\-/]{1,3}\d(?:[\s\-/]{0,2}\d){5,9}"  # 030 1234567
    r"|0[1-9]\d{8,9}"
    r"|0[1-9](?:[\s.]\d\d){4})"  # 01 23 45 67 89
    r"(?![\w\-]|\.\d)"
)
_CUED_PHONE = re.compile(
    r"\b(?:phone|telephone|tel|call(?: me)?|my number|mobile|cell|fax|whatsapp|handy|telefon|telefono|numero"
    r"|nummer)\b[^\d\n]{0,20}(\+?\(?\d(?:[\s().\-/]{0,3}\d){6,14})(?!\w)",
    re.IGNORECASE,
)
_DIGIT_WORDS_RUN = re.compile(
    r"\b(?:(?:zero|oh|one|two|three|four|five|six|seven|eight|nine"
    r"|null|eins|zwei|drei|vier|fuenf|funf|sechs|sieben|acht|neun)\b[\s,.\-]{0,3}){7,}",
    re.IGNORECASE,
)
_STREET = re.compile(
    r"\b\d{1,5}[a-z]?,?\s(?:[a-z][a-z'.\-]+\s){1,3}(?:street|avenue|road|lane|drive|boulevard|blvd|terrace)\b"
    r"|\b\d{1,5}[a-z]?,?\s(?:[a-z][a-z'\-]+\s){1,2}(?:st|rd|ave|dr|ln)\b(?!\s\d)"
    r"|\b[a-z\-]{2,30}(?:strasse|str\.|gasse|allee)\s?\d{1,4}\b"
    r"|\b[a-z][a-z\-]+\sstrasse\s\d{1,4}\b"
    r"|\b\d{1,4}(?:\s?bis)?,?\s(?:rue|boulevard|impasse|quai)\s(?:[a-z'\-]+\s?){1,4}"
    r"|\b(?:calle|avenida|paseo)\s(?:[a-z]+\s){1,4}\d{1,4}\b"
    r"|\b(?:p\.?\s?o\.?\sbox|postfach|apartado)\s\d{1,6}\b",
    re.IGNORECASE,
)
_IPV4 = re.compile(r"(?<![\w.\-])\d{1,3}(?:(?:\.|\[\.\])\d{1,3}){3}(?![\w\-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}(?![\w:])", re.IGNORECASE)
_NOBODYS = tuple(map(ipaddress.ip_network, ("0.0.0.0/8", "127.0.0.0/8", "192.0.2.0/24", "255.0.0.0/8")))


def _reached(text: str) -> Hits:
    """Telephone, street and network addresses."""
    for pattern in (_PHONE, _STREET):
        yield from (match.span() for match in pattern.finditer(text))
    yield from (match.span(1) for match in _CUED_PHONE.finditer(text))
    yield from (m.span() for m in _IPV4.finditer(text) if _is_somebodys(m.group()))
    yield from (m.span() for m in _IPV6.finditer(text) if _is_ipv6(m.group()))


def _is_somebodys(text: str) -> bool:
    try:
        address = ipaddress.ip_address(".".join(str(int(part)) for part in re.findall(r"\d+", text)))
    except ValueError:
        return False
    return not any(address in network for network in _NOBODYS)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return sum(map(bool, text.split(":"))) >= 3


# --- numbers ---------------------------------------------------------------------------------------

_RUN = re.compile(r"(?<!\d)\d(?:[\s.\-/]{0,2}\d){12,}")
_IBAN = re.compile(r"(?<![a-z0-9])(?=([a-z]{2}[\s.\-]?\d(?:[\s.\-]{0,2}[a-z0-9]){13,32}))", re.IGNORECASE)
_SOCIAL = re.compile(r"(?<![\d.\-])(\d{3})([\s.\-])(\d\d)\2(\d{4})(?![\d\-]|\.\d)")
_CUED_NUMBER = re.compile(
    r"\b(?:ssn|social security|passport|driver'?s licen[cs]e|bank account|account (?:number|no)|kontonummer"
    r"|ausweisnummer|reisepass|steuernummer|credit card|card (?:number|no)|kreditkarte|passeport"
    r"|pasaporte|tax id)\b"
    r"[^\d\n]{0,20}((?:[a-z]{0,2}\d[\s.\-]?){6,20})",
    re.IGNORECASE,
)


def _numbers(text: str) -> Hits:
    for match in _RUN.finditer(text):
        yield from _cards(match)
    for match in _IBAN.finditer(text):
        yield from _accounts(match)
    for match in _SOCIAL.finditer(text):
        if is_social_security("".join(match.group(1, 3, 4))):
            yield match.span()
    yield from (match.span(1) for match in _CUED_NUMBER.finditer(text))


def _cards(match: re.Match[str]) -> Hits:
    """Any stretch of a run of digits that is a card's number and begins and ends with one of its groups."""
    at = [i for i in range(*match.span()) if match.string[i].isdigit()]
    found = "".join(match.string[i] for i in at)
    firsts = [k for k in range(len(at)) if k == 0 or at[k] > at[k - 1] + 1]
    for first in firsts:
        for length in range(19, 12, -1):
            last = first + length - 1
            ends = last < len(at) and (last == len(at) - 1 or at[last + 1] > at[last] + 1)
            if ends and is_card(found[first : last + 1]):
                yield at[first], at[last] + 1
                return


def _accounts(match: re.Match[str]) -> Hits:
    at = [i for i in range(*match.span(1)) if match.string[i].isalnum()]
    length = iban_length(match.string[at[0]] + match.string[at[1]])
    if length is not None and is_iban("".join(match.string[i] for i in at[:length])):
        yield at[0], at[length - 1] + 1


# --- names and health ------------------------------------------------------------------------------

_TITLED = re.compile(
    r"\b(?:mr|mrs|mister|prof|professor|dr|herr|herrn|frau|monsieur|madame|mme|senor|senora|sra)\b\.?\s{1,2}"
    r"(?!(?:and|or|und|et|y|of|is)\b)[a-z][a-z'\-]+"
    r"|\bms\.\s[a-z][a-z'\-]+",
    re.IGNORECASE,
)
_SAID = re.compile(
    r"\b(?:my|her|his) (?:full |first |last |sur)?name(?: is|'s)\s+[a-z][a-z'\-]+(?:\s[a-z][a-z'\-]+)?"
    r"|\b(?:mein name ist|ich heisse|je m'appelle|mon nom est|me llamo|mi nombre es|my friends call me)"
    r"\s+[a-z][a-z'\-]+",
    re.IGNORECASE,
)
_WORDS = (re.compile(r"[^\W\d_]+"), re.compile(r"[A-Z][a-z]+"))  # the second finds JohnMiller
# Also within letters that were spaced out, and so lost where a word ends.
_LONG_NAMES, _LONG_HEALTH = (
    re.compile("|".join(sorted((w for w in words if len(w) >= 5), key=len, reverse=True)), re.IGNORECASE)
    for words in (GIVEN_NAMES, HEALTH_WORDS)
)
_PHRASES = re.compile(rf"\b(?:{'|'.join(HEALTH_PHRASES)})\b", re.IGNORECASE)


def _names(text: str) -> Hits:
    for pattern in (_TITLED, _SAID):
        yield from (match.span() for match in pattern.finditer(text))
    yield from _listed(text, GIVEN_NAMES)


def _health(text: str) -> Hits:
    yield from (match.span() for match in _PHRASES.finditer(text))
    yield from _listed(text, HEALTH_WORDS)


def _listed(text: str, words: frozenset[str]) -> Hits:
    for pattern in _WORDS:
        yield from (match.span() for match in pattern.finditer(text) if match.group().lower() in words)
