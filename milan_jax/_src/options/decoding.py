"""How descriptions are searched for."""

import dataclasses
import math
import numbers

from milan_jax._src.errors import UserError
from milan_jax._src.notebook import Shown

STRATEGIES = ("greedy", "sample", "beam", "rerank")
# How products round: float32 exactly; tensorfloat32 rounds operands to 10 bits where
# the device has it; bfloat16 keeps the weights in it, 7 bits. Sums are float32.
PRECISIONS = ("float32", "tensorfloat32", "bfloat16")


@dataclasses.dataclass(frozen=True, slots=True)
class Decoding(Shown):
  """How descriptions are searched for.

  A released captioner carries its own (`Release.decoding`).

  Attributes:
    strategy: greedy, sample, beam, or rerank (beam, then the best by mutual
      information of the whole description).
    length: maximum number of tokens of a description, stop included.
    beam_size: hypotheses per unit, for beam and rerank.
    temperature: weight of the language model, for rerank and `mi`.
    consensus: weight of the log-consensus with the other hypotheses, for rerank: a
      minimum Bayes risk (MBR) term.
    word_weight: weight of the word detectors, for rerank: it multiplies the mean log
      probability of a hypothesis's content words, each detected alone.
    coverage: weight of the nearly certain words, for rerank: it multiplies the sum of
      log(p / 0.8) over a hypothesis's distinct words that are detected with a
      probability p above 0.8.
    floor: for rerank, hypotheses with a token, the stop included, that is less likely
      than e^-floor under the language model are used only if there are no others. This
      bounds the contribution of one token to mutual information by
      `temperature * floor` nats. 0 for no bound.
    lm_stop: for rerank, whether the language model's probability of the stop counts.
      How a text ends depends little on the regions, so mutual information should not
      reward an unlikely ending.
    repeats: for rerank, whether a description may repeat a content word. If not,
      hypotheses that do are used only if there are no others.
    nothing: descriptions of no pattern, in lower case, tokens separated by spaces.
    guarded: replace a description that gives persons a color or judges them
      (`text/persons.py`) by the next best one of the beam, or by "No clear pattern" if
      there is none; and one that is not a complete sentence or phrase
      (`text/fluency.py`) by the next best one that is, if there is one.
    mi: score each token by mutual information, for greedy, sample and beam.
    parity: compute the original's scores, including its counting errors: greedy counts
      what comes after the stop, and rerank's language model one token too many.
    precision: one of `PRECISIONS`.

  Raises:
    UserError: if a value is out of its range, or the strategy cannot use it.

  Example:
    >>> milan_jax.Decoding("beam", length=10, beam_size=20).needs_language_model
    False
  """

  strategy: str = "rerank"
  length: int = 15
  beam_size: int = 50
  temperature: float = 0.2
  consensus: float = 0.0
  word_weight: float = 0.0
  coverage: float = 0.0
  floor: float = 0.0
  lm_stop: bool = True
  repeats: bool = True
  nothing: tuple[str, ...] = ()
  guarded: bool = False
  mi: bool = False
  parity: bool = False
  precision: str = "float32"

  @property
  def keeps_beam(self) -> bool:
    """Whether the choice among the hypotheses of a beam is not over with the search."""
    chooses = self.guarded or bool(self.nothing)
    return chooses and self.strategy in ("beam", "rerank") and not self.parity

  def __post_init__(self) -> None:
    check_choice("strategy", STRATEGIES, self.strategy)
    check_choice("precision", PRECISIONS, self.precision)
    for name in ("length", "beam_size"):
      value = getattr(self, name)
      if not _is_number(value, numbers.Integral):
        raise UserError(f"{name}: expected a whole number; found {value!r}.")
      if value < 1:
        raise UserError(f"{name}: expected 1 or more; found {value}.")
    for name in ("consensus", "word_weight", "coverage", "floor", "temperature"):
      value = getattr(self, name)
      if not _is_number(value, numbers.Real):
        raise UserError(f"{name}: expected a number; found {value!r}.")
      if not 0 <= value < math.inf:  # nor NaN
        raise UserError(f"{name}: expected 0 or more; found {value:g}.")
    if not isinstance(self.nothing, tuple):
      raise UserError(f"nothing: expected a tuple of texts; found {self.nothing!r}.")
    for name in ("consensus", "word_weight", "coverage", "floor"):
      if getattr(self, name) and (self.strategy != "rerank" or self.parity):
        raise UserError(f"{name}: only strategy rerank has it, and not with parity.")
    if not self.lm_stop and (self.strategy != "rerank" or self.parity):
      raise UserError("lm_stop: only strategy rerank can do without, not with parity.")
    if not self.repeats and (self.strategy != "rerank" or self.parity):
      raise UserError("repeats: only strategy rerank can avoid them, not with parity.")
    if self.guarded and self.parity:
      raise UserError("guarded: the original's descriptions are given as they are.")

  @property
  def needs_word_detectors(self) -> bool:
    """Whether the search uses p(word | regions) of single words."""
    return bool(self.word_weight or self.coverage)

  @property
  def needs_language_model(self) -> bool:
    """Whether the search itself uses p(description)."""
    return self.mi or self.strategy == "rerank"


def _is_number(value: object, kind: type) -> bool:
  return isinstance(value, kind) and not isinstance(value, bool)


def check_choice(name: str, choices: tuple[str, ...], found: str) -> None:
  """Refuses a value that is none of an option's choices.

  Raises:
    UserError: with the choices.
  """
  if found not in choices:
    raise UserError(f"{name}: expected one of {', '.join(choices)}; found {found!r}.")
