"""PKCE: RFC 7636, S256 only."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiary.oauth import pkce

# RFC 7636, appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_the_rfc_s_own_example() -> None:
    assert pkce.challenge(VERIFIER) == CHALLENGE
    assert pkce.matches(VERIFIER, CHALLENGE)


def test_verifiers_are_of_the_rfc_s_form_and_never_the_same() -> None:
    found = {pkce.new_verifier() for _ in range(100_000)}
    assert len(found) == 100_000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", verifier) for verifier in found)


@given(st.text(max_size=200))
def test_nothing_else_matches(text: str) -> None:
    assert pkce.matches(text, CHALLENGE) == (text == VERIFIER)


@pytest.mark.parametrize(
    "text", ["", VERIFIER + "\n", VERIFIER + "é", VERIFIER[:-1], " " + VERIFIER]
)
def test_near_misses_do_not_match(text: str) -> None:
    assert not pkce.matches(text, CHALLENGE)
