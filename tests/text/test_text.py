"""Tokens, ids and sentences against the published ones."""

import json
import sys

import numpy as np
import pytest

from milan_jax._src import errors
from milan_jax._src.text import reconstruction, tokenizer, vocabulary
from tests.helpers import recorded

# The options behind each column of ids in the reference.
COLUMNS = {
  "default": {},
  "start": {"stop": False},
  "stop_nopad": {"start": False, "pad": False},
  "nounk": {"unk": False},
  "length5": {"length": 5},
}


@pytest.fixture(scope="module")
def samples():
  """Captions that no annotator wrote: marks, contractions, odd spaces."""
  return json.loads((recorded.DATA / "captions.json").read_text())


@pytest.fixture(scope="module")
def all_samples(whole_reference):
  """The same, and 470 human annotations."""
  return json.loads((whole_reference / "tokenizer-500.json").read_text())


@pytest.fixture(scope="module")
def known(samples):
  return _vocabulary(samples)


def _vocabulary(samples):
  return vocabulary.Vocabulary(tuple(samples["indexer_tokens"][:-4]))


def _splits_alike(samples):
  split = tokenizer.Tokenizer()
  for sample in samples["samples"]:
    assert split(sample["text"]) == sample["tokens"]


def _has_the_same_ids(samples, column):
  known = _vocabulary(samples)
  for sample in samples["samples"]:
    ids = known.encode(sample["tokens"], **COLUMNS[column])
    assert ids == sample[column], sample["text"]


def _reconstructs_alike(samples):
  known = _vocabulary(samples)
  for sample in samples["samples"]:
    of_ids = reconstruction.reconstruct_ids(sample["default"], known, parity=True)
    assert of_ids == sample["reconstructed_indices"]
    of_tokens = reconstruction.reconstruct(sample["tokens"], parity=True)
    assert of_tokens == sample["reconstructed_tokens"]


def test_captions_are_split_alike(samples):
  _splits_alike(samples)


def test_special_ids_follow_the_tokens(samples, known):
  for name in ("start", "stop", "pad", "unk"):
    assert getattr(known, f"{name}_id") == samples[name]
    assert known.token(samples[name]) == f"<{name}>"
  assert known.vocab_size == len(samples["indexer_tokens"])
  words = [known.token(index) for index in range(known.vocab_size)]
  assert words == samples["indexer_tokens"]
  with pytest.raises(IndexError):
    known.token(-1)


@pytest.mark.parametrize("column", COLUMNS)
def test_captions_have_the_same_ids(samples, column):
  _has_the_same_ids(samples, column)


def test_captions_are_reconstructed(samples):
  _reconstructs_alike(samples)


def test_500_captions_with_those_of_annotators(all_samples):
  assert len(all_samples["samples"]) == 500
  _splits_alike(all_samples)
  for column in COLUMNS:
    _has_the_same_ids(all_samples, column)
  _reconstructs_alike(all_samples)
  captions = [sample["tokens"] for sample in all_samples["samples"]]
  known = _vocabulary(all_samples)
  batch = known.encode_batch(captions[:16])
  np.testing.assert_array_equal(batch, all_samples["batch16"])
  built = vocabulary.build_vocabulary(captions)
  assert list(built.tokens) == all_samples["vocab500_tokens"][:-4]
  ids = [built.encode(tokens) for tokens in captions]
  assert ids == all_samples["vocab500_indices"]


def test_a_batch_is_padded_to_its_longest(samples, known):
  captions = [sample["tokens"] for sample in samples["samples"]]
  rows = [sample["default"] for sample in samples["samples"]]
  longest = max(map(len, rows))
  padded = [row + [samples["pad"]] * (longest - len(row)) for row in rows]
  np.testing.assert_array_equal(known.encode_batch(captions), padded)


def test_a_batch_of_a_given_length_has_it(samples, known):
  captions = [sample["tokens"] for sample in samples["samples"]]
  ids = known.encode_batch(captions, length=5)
  np.testing.assert_array_equal(ids, [s["length5"] for s in samples["samples"]])
  assert known.encode_batch([["a"], []], start=False, length=3).tolist() == [
    [2, 425, 426, 426],
    [425, 426, 426, 426],
  ]


def _as_the_original_joins(tokens):
  """Token by token: no space before `. , ; :`, none on either side of a dash."""
  text = ""
  for before, token in zip(["-", *tokens], tokens, strict=False):
    tight = token[0] in ".,;:-" or before[-1] == "-"
    text += token if tight else f" {token}"
  sentences = [part.strip() for part in text.split(".")]
  return ". ".join(part[:1].upper() + part[1:] for part in sentences).strip()


def test_2000_random_rows_are_joined_as_the_original_does():
  """By the rule as it is stated, restated here token by token."""
  words = [*"abcde", "dog", "person", "do", "10"]
  marks = [*".,;:!?-", "'s", "n't", "'", '"', "(", ")", "/", "&", "..."]
  rng = np.random.default_rng(0)
  differs = 0
  for _ in range(2000):
    tokens = rng.choice(words + marks, rng.integers(0, 15)).tolist()
    expected = _as_the_original_joins(tokens)
    assert reconstruction.reconstruct(tokens, parity=True) == expected, tokens
    differs += reconstruction.reconstruct(tokens) != expected
  assert differs > 500


@pytest.mark.parametrize(
  ("text", "parity", "corrected"),
  [
    ("a person's face", "A person 's face", "A person's face"),
    ("don't look", "Do n't look", "Don't look"),
    ("it\u2019s 10am", "It \u2019s 10 am", "It\u2019s 10 am"),
    ("what? no!", "What ? no !", "What? no!"),
    ("the dogs' tails", "The dogs ' tails", "The dogs ' tails"),
    ("he'd've, i'm", "He 'd 've, i 'm", "He'd've, i'm"),
    (
      "they'll say we're dogs'",
      "They 'll say we 're dogs '",
      "They'll say we're dogs '",
    ),
  ],
)
def test_the_ends_of_words_are_joined_to_them_but_not_in_parity(
  text, parity, corrected
):
  tokens = tokenizer.Tokenizer()(text)
  assert reconstruction.reconstruct(tokens, parity=True) == parity
  assert reconstruction.reconstruct(tokens) == corrected


def test_what_only_looks_like_the_end_of_a_word_stays_apart():
  for tokens, text in (
    (["'s", "clothing"], "'s clothing"),
    ([",", "'s", "-", "ear"], ", 's-ear"),
    (["a", "'shirt"], "A 'shirt"),
    (["'", "s"], "' s"),
  ):
    assert reconstruction.reconstruct(tokens) == text


def test_what_follows_stop_is_not_said(known):
  red, more = map(known.tokens.index, ("red", "the"))
  stop = known.stop_id
  ids = np.array([known.start_id, red, stop, more, stop, known.pad_id])
  assert reconstruction.reconstruct_ids(ids, known) == "Red"


def test_a_vocabulary_can_be_cut():
  captions = [["b", "a"], ["c", "a", "b"], ["a", "d"]]
  assert vocabulary.build_vocabulary(captions, size=2).tokens == ("a", "b")
  assert vocabulary.build_vocabulary(captions, min_count=2).tokens == ("a", "b")
  assert vocabulary.build_vocabulary(captions).tokens == ("a", "b", "c", "d")


@pytest.mark.parametrize("tokens", [("a", "b", "a"), ("a", "<pad>"), ("", "a")])
def test_a_vocabulary_that_cannot_be_is_refused(tokens):
  with pytest.raises(errors.UserError, match="a vocabulary holds"):
    vocabulary.Vocabulary(tokens)


def test_without_spacy_the_extra_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, "spacy", None)
  with pytest.raises(errors.UserError, match=r"pip install 'milan-jax\[text\]'"):
    tokenizer.Tokenizer()
