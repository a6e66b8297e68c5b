"""Check digits: which runs of digits are numbers of cards and accounts."""

from __future__ import annotations

__all__ = ["iban_length", "is_card", "is_iban", "is_social_security"]

_COUNTRIES = """
AD24 AE23 AT20 BE16 BG22 CH21 CY28 CZ24 DE22 DK18 EE20 ES24 FI18 FR27 GB22 GR27 HR21 HU28 IE22 IL23 IS26 IT27
LI21 LT20 LU20 LV21 MC27 MT31 NL18 NO15 PL28 PT25 RO24 SA24 SE24 SI19 SK24 SM27 TR26
"""
_IBAN_LENGTHS = {word[:2]: int(word[2:]) for word in _COUNTRIES.split()}


def is_card(digits: str) -> bool:
    """13 to 19 digits that begin as cards do, and whose last fits the others (Luhn, ISO/IEC 7812-1)."""
    if not (13 <= len(digits) <= 19 and digits[0] in "23456" and len(set(digits)) > 1):
        return False
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def iban_length(country: str) -> int | None:
    """Characters of a country's account numbers (ISO 13616), None where it has none."""
    return _IBAN_LENGTHS.get(country.upper())


def is_iban(text: str) -> bool:
    """Whether letters and digits without spaces are an IBAN: 1 modulo 97, and as long as its country's."""
    if len(text) != iban_length(text[:2]) or not (text.isascii() and text.isalnum()):
        return False
    return int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1


def is_social_security(digits: str) -> bool:
    """Nine digits that may be a United States social security number."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"
