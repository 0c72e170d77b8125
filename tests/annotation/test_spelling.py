"""Misspelled words of answers, and which are corrected."""

import pytest

from milan_jax._src.annotation.spelling import corrected, misspelled

pytest.importorskip("spellchecker", reason="the extra `annotate` is not installed")


def test_clear_cases_have_a_proposal_and_others_none():
  found = misspelled(
    [
      "Similiar diffrent and jewlery, similiar to rings",
      "frisbees, crockpots, Vespas; pine-conez and dog's earz'z",
      "theground under a crockpot, teh end",
    ]
  )
  assert next(iter(found)) == "similiar" and found["similiar"] == (2, "similar")
  assert found["diffrent"] == (1, "different") and found["jewlery"] == (1, "jewelry")
  # Two words in one; and a rare word, crackpot, is hardly what is meant.
  assert found["theground"] == (1, None) and found["crockpot"] == (1, None)
  # Plurals, names, short words, compounds and words with apostrophes are left alone.
  assert found.keys() <= {*"similiar diffrent jewlery theground crockpot".split()} | {
    "crockpots"
  }


def test_words_are_replaced_whole():
  proposals = {"runnig": "running"}
  text = "Runnig. A runnig dog, runnigs, runnig-track; Runnig"
  assert corrected(text, proposals) == (
    "Running. A running dog, runnigs, runnig-track; Runnig"
  )
