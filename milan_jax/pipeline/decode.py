"""Decoding: from features of the regions to descriptions, compiled once."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Key

from milan_jax.errors import UserError
from milan_jax.mesh import make_mesh
from milan_jax.models.captioner import Captioner
from milan_jax.models.language_model import LanguageModel
from milan_jax.search.beam import beam_search
from milan_jax.search.forced import counted, forced_scores
from milan_jax.search.rerank import rerank
from milan_jax.search.rollout import greedy, sample
from milan_jax.search.steps import Hypotheses, pointwise, widen
from milan_jax.store.release import STRATEGIES, Release


@dataclasses.dataclass(frozen=True)
class Decoding:
  """How descriptions are searched for.

  Attributes:
    strategy: greedy, sample, beam, or rerank (beam, then the best by mutual
      information of the whole description).
    length: most tokens of a description, stop included.
    beam_size: hypotheses per unit, for beam and rerank.
    temperature: weight of the language model, for rerank and `mi`.
    mi: score each token by mutual information, for greedy, sample and beam.
    parity: give the original's scores, its counting errors included: greedy counts
      what comes after the stop, and rerank's language model one token too many.
  """

  strategy: str = "rerank"
  length: int = 15
  beam_size: int = 50
  temperature: float = 0.2
  mi: bool = False
  parity: bool = False

  def __post_init__(self):
    if self.strategy not in STRATEGIES:
      raise UserError(
        f"--strategy: expected one of {', '.join(STRATEGIES)}; found {self.strategy!r}."
      )
    if self.length < 1 or self.beam_size < 1:
      raise UserError(
        f"--length and --beam_size: expected 1 or more; "
        f"found {self.length} and {self.beam_size}."
      )


class Decoded(NamedTuple):
  """Descriptions of a batch of units.

  Attributes:
    tokens: tokens of each, stop after the first stop.
    scores: what the strategy ranks by.
    log_probs: log p(description | regions), up to the first stop.
    lm_log_probs: log p(description), up to the first stop; None without a model.
  """

  tokens: Int[np.ndarray | Array, "batch length"]
  scores: Float[np.ndarray | Array, "batch"]
  log_probs: Float[np.ndarray | Array, "batch"]
  lm_log_probs: Float[np.ndarray | Array, "batch"] | None


class Decoder:
  """Describes units, a batch of one compiled shape at a time.

  A unit's description does not depend on the others in its batch, nor on the number
  of devices that the batch is spread over.
  """

  def __init__(self, release: Release, decoding: Decoding, *, batch_size: int):
    """Puts the parameters on every device.

    Args:
      release: captioner, language model and vocabulary.
      decoding: how to search.
      batch_size: units decoded together; rounded up to a multiple of the devices.

    Raises:
      UserError: the strategy needs a language model that the release lacks.
    """
    if batch_size < 1:
      raise UserError(f"--batch_size: expected 1 or more; found {batch_size}.")
    needs_lm = decoding.mi or decoding.strategy == "rerank"
    if needs_lm and release.language_model is None:
      raise UserError(
        "This captioner has no language model, which rerank and mi need; "
        "use --strategy beam or greedy without --mi."
      )
    mesh = make_mesh()
    self.decoding = decoding
    self.batch_size = -(-batch_size // mesh.size) * mesh.size
    self.feature_size = release.captioner.feature_size
    self._rows = NamedSharding(mesh, PartitionSpec("data"))
    params = {"captioner": release.params["captioner"]}
    if release.language_model is not None:
      params["language_model"] = release.params["language_model"]
    self._params = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))
    num_words = len(release.vocabulary)
    self._decode = jax.jit(
      functools.partial(
        decode,
        captioner=Captioner(**dataclasses.asdict(release.captioner)),
        language_model=_language_model(release),
        decoding=decoding,
        start_id=num_words,
        stop_id=num_words + 1,
      )
    )

  def __call__(
    self, features: Float[np.ndarray, "units k features"], keys: Key[Array, "units"]
  ) -> Decoded:
    """Describes at most `batch_size` units.

    Args:
      features: features of each unit's regions.
      keys: one key per unit, for the strategy `sample`.

    Returns:
      NumPy arrays, one row per unit.
    """
    units = features.shape[0]
    spare = self.batch_size - units
    features = np.pad(features, ((0, spare), (0, 0), (0, 0)))
    rows = jnp.minimum(jnp.arange(self.batch_size), units - 1)
    valid = np.arange(self.batch_size) < units
    batch = jax.device_put((features, valid, keys[rows]), self._rows)
    return jax.tree.map(
      lambda x: np.asarray(x)[:units], self._decode(self._params, *batch)
    )


def _language_model(release: Release) -> LanguageModel | None:
  spec = release.language_model
  if spec is None:
    return None
  return LanguageModel(**dataclasses.asdict(spec), pad_id=len(release.vocabulary) + 2)


def decode(
  params: Any,
  features: Float[Array, "batch k features"],
  valid: Bool[Array, "batch"],
  keys: Key[Array, "batch"],
  *,
  captioner: Captioner,
  language_model: LanguageModel | None,
  decoding: Decoding,
  start_id: int,
  stop_id: int,
) -> Decoded:
  """Describes a batch of units; pure, to be compiled.

  Args:
    params: parameters under "captioner" and "language_model".
    features: features of each unit's regions.
    valid: units that are no padding.
    keys: one key per unit, for the strategy `sample`.
    captioner: p(description | regions).
    language_model: p(description), or None.
    decoding: how to search.
    start_id: the token read first.
    stop_id: the token that ends a description.
  """
  batch = features.shape[0]
  variables = {"params": params["captioner"]}
  regions, state = captioner.apply(variables, features, method="start")

  def step(state, tokens):
    return captioner.apply(variables, regions, state, tokens, method="step")[:2]

  lm_step, lm_state = None, None
  if language_model is not None:
    lm_variables = {"params": params["language_model"]}
    lm_state = language_model.apply(lm_variables, batch, 1, method="start")

    def lm_step(state, tokens):
      return language_model.apply(lm_variables, state, tokens, method="step")

  def log_probs(score, state, tokens, num_steps=None, one_too_many=False):
    counts = counted(
      tokens, stop_id=stop_id, num_steps=num_steps, one_too_many=one_too_many
    )
    state = widen(state, tokens.shape[1])
    return forced_scores(score, state, tokens, counts, start_id=start_id)

  ends = {"start_id": start_id, "stop_id": stop_id, "length": decoding.length}
  searched, searched_state = step, state
  if decoding.mi and decoding.strategy != "rerank":
    searched = pointwise(step, lm_step, temperature=decoding.temperature)
    searched_state = (state, lm_state)

  if decoding.strategy == "greedy":
    found = greedy(
      searched, searched_state, batch=batch, count_tail=decoding.parity, **ends
    )
  elif decoding.strategy == "sample":
    found = sample(searched, searched_state, keys=keys, **ends)
  else:
    beams = beam_search(
      searched, searched_state, valid=valid, beam_size=decoding.beam_size, **ends
    )
    if decoding.strategy == "rerank":
      lm_scores = log_probs(
        lm_step, lm_state, beams.tokens, beams.num_steps, decoding.parity
      )
      found = rerank(beams, lm_scores, temperature=decoding.temperature)
    else:
      found = Hypotheses(beams.tokens[:, 0], beams.scores[:, 0])
  tokens = found.tokens[:, None]
  return Decoded(
    found.tokens,
    found.scores,
    log_probs(step, state, tokens)[:, 0],
    None if lm_step is None else log_probs(lm_step, lm_state, tokens)[:, 0],
  )
