"""Text scores: each metric against an independent computation, baselines, intervals."""

import itertools
import math
import shutil

import numpy as np
import pytest
import safetensors.numpy

pytest.importorskip("sacrebleu", reason="the extra `scores` is not installed")
pytest.importorskip("rouge_score", reason="the extra `scores` is not installed")

from milan_jax._src.errors import UserError
from milan_jax._src.experiments.score_job import score_files
from milan_jax._src.options.experiments import ScoreOptions
from milan_jax._src.scores.baseline_texts import constant_caption, shuffled
from milan_jax._src.scores.bert_score import BertScore
from milan_jax._src.scores.rouge import Rouge
from milan_jax._src.scores.sacre_bleu import SacreBleu
from milan_jax._src.scores.score_table import (
  CONSTANT,
  SHUFFLED,
  bootstrap_weights,
  markdown,
  score_table,
  unit_scores,
)
from milan_jax._src.scores.text_metric import plain
from milan_jax._src.text.bleu import bleu
from tests.scores.tiny_bert import LAYERS, write_tiny_bert

SAID = [
  "red things and white dogs",
  "the heads of white dogs",
  "blue sky and grass",
  "light",
]
KNOWN = [
  ["red things and light", "red dogs"],
  ["heads of dogs", "white faces of white dogs", "dogs"],
  ["a blue sky", "sky and grass"],
  ["dogs"],
]


def test_bleu_is_that_of_the_corpus():
  metric = SacreBleu()
  totals = metric.statistics(SAID, KNOWN).sum(0, keepdims=True)
  (found,) = metric.scores(totals)
  assert found[0] == pytest.approx(bleu(SAID, KNOWN))
  # Precision of single words: 4 of 5, 4 of 5, 4 of 4 and 0 of 1.
  assert found[1] == pytest.approx(100 * 12 / 15)


def test_with_the_originals_counts_each_unit_has_as_many_references():
  metric = SacreBleu(same_counts=True)
  (found,) = metric.scores(metric.statistics(SAID, KNOWN).sum(0, keepdims=True))
  assert found[0] == pytest.approx(bleu(SAID, [texts[:1] for texts in KNOWN]))


def _f1(said, known, n):
  """ROUGE-N of words without repetitions."""
  grams = [
    {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}
    for words in (said.split(), known.split())
  ]
  both = len(grams[0] & grams[1])
  return 2 * both / (len(grams[0]) + len(grams[1])) if both else 0.0


def _longest(a, b):
  """F1 of the longest common subsequence, by trying all of them."""
  a, b = a.split(), b.split()
  for size in range(min(len(a), len(b)), 0, -1):
    if set(itertools.combinations(a, size)) & set(itertools.combinations(b, size)):
      return 2 * size / (len(a) + len(b))
  return 0.0


def test_rouge_is_the_mean_over_pairs():
  known = [[*KNOWN[0], ""], *KNOWN[1:]]
  pairs = [(s, r) for s, texts in zip(SAID, known, strict=True) for r in texts if r]
  pairs = [pair for pair in pairs if "white dogs" not in pair[1]]
  known = [[r for r in texts if "white dogs" not in r] for texts in known]
  expected = [
    np.mean([_longest(*pair) for pair in pairs]),
    np.mean([_f1(*pair, 1) for pair in pairs]),
    np.mean([_f1(*pair, 2) for pair in pairs]),
  ]
  metric = Rouge()
  (found,) = metric.scores(metric.statistics(SAID, known).sum(0, keepdims=True))
  np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
  return write_tiny_bert(tmp_path_factory.mktemp("bert"))


def _matched(folder, layer, said, known, references):
  """BERTScore of a pair by its definition, token by token."""
  import torch
  import transformers

  tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
  model = transformers.AutoModel.from_pretrained(folder)
  ids = [tokenizer(text)["input_ids"] for text in references]
  number = len(references) + 1

  def weight(token):
    return math.log(number / (sum(token in each for each in ids) + 1))

  def embedded(text):
    tokens = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
      states = model(**tokens, output_hidden_states=True).hidden_states
    return tokens["input_ids"][0].tolist(), states[layer][0].double().numpy()

  def side(one, other):
    total = weights = 0.0
    for token, vector in zip(*one, strict=True):
      best = max(
        vector @ x / np.linalg.norm(vector) / np.linalg.norm(x) for x in other[1]
      )
      total, weights = total + weight(token) * best, weights + weight(token)
    return total / weights

  a, b = embedded(said), embedded(known)
  precision, recall = side(a, b), side(b, a)
  return 2 * precision * recall / (precision + recall), precision, recall


def test_bert_score_is_its_definition(bert, tmp_path):
  metric = BertScore(str(bert), layer=2)
  found = metric.statistics(SAID, KNOWN)
  flat = [text for texts in KNOWN for text in texts]
  for row, said, known in zip(found, SAID, KNOWN, strict=True):
    pairs = [_matched(bert, 2, said, text, flat) for text in known]
    np.testing.assert_allclose(row[:3], np.max(pairs, axis=0), atol=1e-5)
  assert not metric.is_rescaled and (found[:, 3] == 1).all()
  baseline = tmp_path / "baseline.tsv"
  baseline.write_text("LAYER,P,R,F\n1,0.9,0.9,0.9\n2,0.1,0.2,0.3\n")
  rescaled = BertScore(str(bert), layer=2, baseline=str(baseline))
  expected = (found[:, :3] - (0.3, 0.1, 0.2)) / (0.7, 0.9, 0.8)
  np.testing.assert_allclose(rescaled.statistics(SAID, KNOWN)[:, :3], expected)
  assert rescaled.is_rescaled


def test_the_identity_of_bert_score_is_its_content(bert, tmp_path):
  metric = BertScore(str(bert), layer=2)
  metric.statistics(["red sky"], [["blue sky", "grass and heads"]])  # it pads
  copy = shutil.copytree(bert, tmp_path / "copy")
  assert BertScore(str(copy), layer=2).identity == metric.identity
  others = [BertScore(str(copy), layer=3).identity]
  baseline = tmp_path / "baseline.csv"
  baseline.write_text("LAYER,P,R,F\n2,0.1,0.2,0.3\n")
  others.append(BertScore(str(copy), layer=2, baseline=str(baseline)).identity)
  weights = safetensors.numpy.load_file(copy / "model.safetensors")
  weights["pooler.dense.bias"] = weights["pooler.dense.bias"] + 1
  safetensors.numpy.save_file(
    weights, copy / "model.safetensors", metadata={"format": "pt"}
  )
  others.append(BertScore(str(copy), layer=2).identity)
  assert len({metric.identity, *others}) == 4


def test_bert_score_of_no_words_is_that_of_nothing(bert):
  metric = BertScore(str(bert), layer=LAYERS)
  assert metric.statistics(["", "dogs"], [["dogs"], ["dogs"]])[0].tolist() == [
    *(0, 0, 0),
    1,
  ]


@pytest.mark.parametrize(
  ("options", "words"),
  [
    ({"model": "/nowhere"}, "--bert_score=/nowhere"),
    ({}, "--bert_layer: give the layer"),
    ({"layer": 9}, "expected 1 to 3; found 9"),
    ({"layer": 2, "baseline": "/nowhere"}, "--bert_baseline=/nowhere"),
  ],
)
def test_bad_models_of_bert_score(bert, options, words):
  with pytest.raises(UserError) as error:
    BertScore(**{"model": str(bert)} | options)
  assert words in error.value.for_command_line


def test_texts_are_scored_without_case_and_final_dots():
  assert plain(" The Dog. ") == "the dog"


def test_shuffled_units_have_the_description_of_another_unit():
  said = [str(number) for number in range(9)]
  found = shuffled(said, 3)
  assert sorted(found) == said and all(a != b for a, b in zip(found, said, strict=True))
  assert shuffled(said, 3) == found != shuffled(said, 4)


def test_the_constant_caption_is_the_one_with_the_highest_score():
  known = [
    ["red things on white grass"],
    ["red things on grass", "green dogs"],
    ["red things on blue grass and light"],
  ]
  every = {text for texts in known for text in texts}
  best = max(every, key=lambda text: bleu([text] * 3, known))
  assert constant_caption(known, SacreBleu()) == best
  pairs = [text for texts in known for text in texts]
  best = max(every, key=lambda text: sum(_longest(text, each) for each in pairs))
  assert constant_caption(known, Rouge()) == best
  # Annotations of dots alone are empty.
  assert constant_caption([[""], [""]], Rouge()) == ""


def test_intervals_are_percentiles_over_resampled_units():
  metric = Rouge()
  table = score_table(
    {"one": [SAID]}, KNOWN, [metric], training=[["dogs"]], draws=200, seed=1
  )
  assert (
    table.units == 4 and table.references == 8 and table.constant == {"rouge_l": "dogs"}
  )
  rows = np.random.default_rng(1).multinomial(4, np.full(4, 0.25), 200)
  statistics = metric.statistics(SAID, KNOWN)
  values = []
  for counts in rows:
    chosen = [i for i, count in enumerate(counts) for _ in range(count)]
    values.append(statistics[chosen, 0].sum() / statistics[chosen, 3].sum())
  found = table.systems["one"]["rouge_l"]
  np.testing.assert_allclose(
    (found.low, found.high), np.percentile(values, (2.5, 97.5)), atol=1e-6
  )
  assert found.value == pytest.approx(
    statistics[:, 0].sum() / statistics[:, 3].sum(), abs=1e-6
  )
  assert found.std is None
  constant = table.systems[CONSTANT]["rouge_l"].value
  above = table.above_constant["one"]["rouge_l"]
  assert above.value == pytest.approx(found.value - constant, abs=2e-6)
  assert above.low <= above.value <= above.high
  assert bootstrap_weights(4, 200, 1)[0].tolist() == [1] * 4


def test_trials_are_averaged_and_spread():
  table = score_table(
    {"two": [SAID, [texts[0] for texts in KNOWN]]}, KNOWN, [Rouge()], draws=10
  )
  single = [
    score_table({"one": [said]}, KNOWN, [Rouge()], draws=10).systems["one"]["rouge_l"]
    for said in (SAID, [texts[0] for texts in KNOWN])
  ]
  values = [each.value for each in single]
  found = table.systems["two"]["rouge_l"]
  assert found.value == pytest.approx(np.mean(values), abs=1e-6)
  assert found.std == pytest.approx(np.std(values, ddof=1), abs=1e-6)


def test_units_alone():
  found = unit_scores(
    Rouge(), ["Red things.", "sky"], [["red things"], ["dogs", "sky"]]
  )
  np.testing.assert_allclose(found, [1, 0.5], rtol=1e-6)


def _files(folder):
  (folder / "annotations.csv").write_text(
    "layer,unit,summary\n"
    + "".join(f"a,{i},{text}\n" for i, texts in enumerate(KNOWN) for text in texts)
    + "a,7,dogs\nb,0,sky\n"
  )
  (folder / "split.csv").write_text(
    "layer,unit,split\n"
    + "".join(f"a,{i},test\n" for i in range(4))
    + "a,7,train\nb,0,validation\n"
  )
  (folder / "descriptions.csv").write_text(
    "layer,unit,description,score\n"
    + "".join(f"a,{i},{text.capitalize()}.,-1\n" for i, text in enumerate(SAID))
    + "b,0,sky,-1\n"
  )
  return folder


def test_files_are_scored_on_the_test_part(tmp_path, capsys):
  folder = _files(tmp_path)
  options = ScoreOptions.of(
    descriptions=f"{folder}/descriptions.csv",
    annotations=str(folder),
    json=f"{folder}/scores.json",
    draws=20,
  )
  table = score_files(options)
  expected = score_table(
    {f"{folder}/descriptions.csv": [SAID]},
    KNOWN,
    [Rouge(), SacreBleu()],
    training=[["dogs"], ["sky"]],
    draws=20,
  )
  assert table == expected
  assert list(table.systems)[1:] == [CONSTANT, SHUFFLED]
  printed = capsys.readouterr().out
  assert printed.startswith(markdown(expected)) and "'dogs'" in printed
  assert (folder / "scores.json").read_text().count('"bleu"') == 7
  everything = options.replace(annotations=f"{folder}/annotations.csv")
  assert score_files(everything).units == 5


@pytest.mark.parametrize(
  ("changed", "words"),
  [
    ({"descriptions": "/nowhere.csv"}, "/nowhere.csv"),
    ({"annotations": None}, "--annotations"),
    ({"bert_layer": 3}, "without --bert_score"),
    ({"draws": 0}, "--draws"),
  ],
)
def test_bad_options(tmp_path, changed, words):
  folder = _files(tmp_path)
  options = {
    "descriptions": f"{folder}/descriptions.csv",
    "annotations": str(folder),
  }
  with pytest.raises(UserError) as error:
    score_files(ScoreOptions.of(**options | changed))
  assert words in error.value.for_command_line


def test_files_of_other_units_are_refused(tmp_path):
  folder = _files(tmp_path)
  (folder / "descriptions.csv").write_text("layer,unit,description\nc,0,sky\n")
  with pytest.raises(UserError, match="No unit of the test part"):
    score_files(
      ScoreOptions.of(
        descriptions=f"{folder}/descriptions.csv", annotations=str(folder)
      )
    )
