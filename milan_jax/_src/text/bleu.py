"""BLEU: n-gram overlap of generated sentences with reference sentences."""

import collections
import math
import re
from collections.abc import Sequence

ORDER = 4
# WMT tokenization (mteval's rule 13a, for ASCII): each punctuation mark is a token,
# except apostrophes, hyphens after letters, and points and commas inside numbers.
_MARKS = (
  (re.compile(r"([ -&(-+:-@\[-`{-~/])"), r" \1 "),
  (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
  (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
  (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


def bleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
  """Returns the corpus BLEU, 0 to 100, of sentences with any number of references.

  Case and final punctuation count. The first order without a match counts as half a
  match, the next as a quarter, and so on. Orders that are longer than every hypothesis
  are left out. If one hypothesis has at least four tokens, the result equals
  sacrebleu's.

  Args:
    hypotheses: the sentences to score.
    references: for each hypothesis, at least one reference sentence.

  Source: Papineni et al. 2002; Chen and Cherry 2014, method 3.
  """
  matches, totals = [0] * ORDER, [0] * ORDER
  length = wanted = 0
  for hypothesis, others in zip(hypotheses, references, strict=True):
    said = _tokens(hypothesis)
    known = [_tokens(other) for other in others]
    length += len(said)
    wanted += min((abs(len(one) - len(said)), len(one)) for one in known)[1]
    for n in range(ORDER):
      grams = _grams(said, n + 1)
      max_counts = collections.Counter[tuple[str, ...]]()
      for one in known:
        max_counts |= _grams(one, n + 1)
      matches[n] += (grams & max_counts).total()
      totals[n] += grams.total()
  if not any(matches):
    return 0.0
  logs, smoothing = [], 1.0
  for match, total in zip(matches, totals, strict=True):
    if total:
      if not match:
        smoothing *= 2
      logs.append(math.log((match or 1 / smoothing) / total))
  brevity = min(0.0, 1 - wanted / length)
  return 100 * math.exp(brevity + sum(logs) / len(logs))


def _tokens(sentence: str) -> list[str]:
  line = f" {sentence} "
  for mark, apart in _MARKS:
    line = mark.sub(apart, line)
  return line.split()


def _grams(tokens: list[str], n: int) -> collections.Counter[tuple[str, ...]]:
  return collections.Counter(
    tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)
  )
