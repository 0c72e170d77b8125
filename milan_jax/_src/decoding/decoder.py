"""Decoding: from features of the regions to descriptions, compiled once."""

import dataclasses
import functools
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Key, UInt32

from milan_jax._src.errors import UserError
from milan_jax._src.models.captioner import Regions
from milan_jax._src.models.captioner_rows import (
  CaptionerRows,
  CaptionerWeights,
  fuse_captioner_weights,
  start_captioner,
)
from milan_jax._src.models.encoder import Projection, project
from milan_jax._src.models.language_model_rows import (
  LanguageModelRows,
  LanguageModelWeights,
  fuse_language_model_weights,
)
from milan_jax._src.runs.memory import return_freed_memory
from milan_jax._src.runs.mesh import make_mesh
from milan_jax._src.search.beam import beam_search
from milan_jax._src.search.consensus import log_consensus
from milan_jax._src.search.forced import counted, forced_scores
from milan_jax._src.search.rerank import best_of, rerank
from milan_jax._src.search.rollout import greedy, sample
from milan_jax._src.search.rows import allocate_outputs, chunk_sizes, in_chunks
from milan_jax._src.search.steps import BoundModel, Work, add_work
from milan_jax._src.store.release import STRATEGIES, Release
from milan_jax._src.text.content_words import ContentWords, content_words
from milan_jax._src.text.vocabulary import Vocabulary

# How products round: float32 exactly; tensorfloat32 rounds operands to 10 bits where
# the device has it; bfloat16 keeps the weights in it, 7 bits. Sums are float32.
PRECISIONS = ("float32", "tensorfloat32", "bfloat16")
# Two descriptions whose scores differ by less may change places with the batch.
TIE = 1e-5
AXIS = "data"


@dataclasses.dataclass(frozen=True)
class Decoding:
  """How descriptions are searched for.

  Attributes:
    strategy: greedy, sample, beam, or rerank (beam, then the best by mutual
      information of the whole description).
    length: most tokens of a description, stop included.
    beam_size: hypotheses per unit, for beam and rerank.
    temperature: weight of the language model, for rerank and `mi`.
    consensus: weight of the log-consensus with the other hypotheses, for rerank.
    mi: score each token by mutual information, for greedy, sample and beam.
    parity: give the original's scores, its counting errors included: greedy counts
      what comes after the stop, and rerank's language model one token too many. That
      the original takes `mi` unless told otherwise is for the caller to say.
    precision: one of `PRECISIONS`.
  """

  strategy: str = "rerank"
  length: int = 15
  beam_size: int = 50
  temperature: float = 0.2
  consensus: float = 0.0
  mi: bool = False
  parity: bool = False
  precision: str = "float32"

  def __post_init__(self):
    check_choice("--strategy", STRATEGIES, self.strategy)
    check_choice("--precision", PRECISIONS, self.precision)
    if self.length < 1 or self.beam_size < 1:
      raise UserError(
        f"--length and --beam_size: expected 1 or more; "
        f"found {self.length} and {self.beam_size}."
      )
    if self.consensus < 0:
      raise UserError(f"--consensus: expected 0 or more; found {self.consensus:g}.")
    if self.consensus and (self.strategy != "rerank" or self.parity):
      raise UserError(
        "--consensus: only --strategy rerank has it, and not with --parity."
      )


def own_decoding(release: Release) -> Decoding:
  """How a captioner decodes when the user does not say."""
  own = release.decoding
  return Decoding(
    own.strategy, own.length, own.beam_size, own.temperature, own.consensus
  )


def check_choice(flag: str, choices: tuple[str, ...], found: str) -> None:
  """Refuses what is none of a flag's choices.

  Raises:
    UserError: naming them.
  """
  if found not in choices:
    raise UserError(f"{flag}: expected one of {', '.join(choices)}; found {found!r}.")


def check_decodes(release: Release, decoding: Decoding, batch_size: int) -> None:
  """Refuses what a `Decoder` cannot do.

  Raises:
    UserError: the strategy needs a language model that the release lacks, or the batch
      is empty.
  """
  if batch_size < 1:
    raise UserError(f"--batch_size: expected 1 or more; found {batch_size}.")
  needs_lm = decoding.mi or decoding.strategy == "rerank"
  if needs_lm and release.language_model is None:
    raise UserError(
      "This captioner has no language model, which rerank and mi need; "
      "use --strategy beam or greedy without --mi."
    )


class Decoded(NamedTuple):
  """Descriptions of a batch of units.

  Attributes:
    tokens: tokens of each, stop after the first stop.
    scores: what the strategy ranks by.
    log_probs: log p(description | regions), up to the first stop.
    lm_log_probs: log p(description), up to the first stop; None without a model.
    margins: by how much the score beats the next best hypothesis, or at the closest
      step of a greedy search the next best token; infinity where there is no other.
  """

  tokens: Int[np.ndarray | Array, "batch length"]
  scores: Float[np.ndarray | Array, "batch"]
  log_probs: Float[np.ndarray | Array, "batch"]
  lm_log_probs: Float[np.ndarray | Array, "batch"] | None
  margins: Float[np.ndarray | Array, "batch"]


class Costs(NamedTuple):
  """Rows that decoding a batch took of each model, a row of counts a device."""

  captioner: Work
  language_model: Work | None


class Weights(NamedTuple):
  """Both models' fused parameters, and what projects the features."""

  captioner: CaptionerWeights
  language_model: LanguageModelWeights | None
  projection: Projection | None = None


class Decoder:
  """Describes units, a batch at a time, over all devices.

  A unit's description does not depend on the others in its batch, nor on the number
  of devices that the batch is spread over: each device searches for its own units,
  and none waits for another before the end. One shape is compiled; units that a batch
  lacks cost next to nothing.
  """

  def __init__(
    self,
    release: Release,
    decoding: Decoding,
    *,
    batch_size: int,
    devices: Sequence[jax.Device] | None = None,
  ):
    """Fuses the parameters on every device.

    Args:
      release: captioner, language model and vocabulary.
      decoding: how to search.
      batch_size: units decoded together; rounded up to a multiple of the devices.
      devices: where to decode; None for all devices of all processes.

    Raises:
      UserError: the strategy needs a language model that the release lacks.
    """
    check_decodes(release, decoding, batch_size)
    mesh = make_mesh(devices)
    self.decoding = decoding
    self.batch_size = -(-batch_size // mesh.size) * mesh.size
    self.feature_size = release.feature_size
    self._sharding = NamedSharding(mesh, PartitionSpec(AXIS))
    everywhere = NamedSharding(mesh, PartitionSpec())
    params = {"captioner": release.params["captioner"]}
    for part in ("language_model", "projection"):
      if part in release.params:
        params[part] = release.params[part]
    dtype = jnp.bfloat16 if decoding.precision == "bfloat16" else jnp.float32
    with self._precision():
      self.weights = jax.jit(
        functools.partial(fuse_weights, dtype=dtype), out_shardings=everywhere
      )(jax.tree.map(lambda x: _spread(np.asarray(x), everywhere), params))
    vocabulary = Vocabulary(release.vocabulary)
    words: ContentWords | None = None
    if decoding.consensus:
      words = content_words(
        vocabulary, nothing=release.decoding.nothing, length=decoding.length
      )
    rows = PartitionSpec(AXIS)
    local = functools.partial(
      decode,
      decoding=decoding,
      words=words,
      start_id=vocabulary.start_id,
      stop_id=vocabulary.stop_id,
    )

    def spread_over_devices(weights, *batch):
      return jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(PartitionSpec(), *(rows for _ in batch)),
        out_specs=rows,
        check_vma=False,
      )(weights, *batch)

    self._decode = jax.jit(spread_over_devices, out_shardings=everywhere)
    self._compiled: dict[tuple[int, bool], Any] = {}

  def _precision(self):
    kind = "tensorfloat32" if self.decoding.precision == "tensorfloat32" else "highest"
    return jax.default_matmul_precision(kind)

  def compile(self, k: int, *, counted: bool = False) -> float:
    """Compiles for units of `k` regions, unless it is done; returns the seconds.

    Args:
      k: regions of a unit.
      counted: whether it is said of each unit how many of them count.
    """
    began = time.perf_counter()
    if (k, counted) not in self._compiled:
      features = np.zeros((0, k, self.feature_size), np.float32)
      counts = np.zeros(0, np.int32) if counted else None
      batch = self._batch(features, np.zeros((0, 2), np.uint32), counts)
      with self._precision():
        program = self._decode.lower(self.weights, *batch).compile()
      self._compiled[k, counted] = program
      return_freed_memory()
    return time.perf_counter() - began

  def memory_bytes(self, k: int) -> int:
    """What a batch takes on a device beside the weights, as the compiler plans it."""
    self.compile(k)
    return self._compiled[k, False].memory_analysis().temp_size_in_bytes

  def _batch(
    self, features: np.ndarray, keys: np.ndarray, counts: np.ndarray | None
  ) -> tuple[Array, ...]:
    """Pads a batch with units that are none, and spreads it over the devices."""
    spare = self.batch_size - len(features)
    valid = np.arange(self.batch_size) < self.batch_size - spare
    features, keys = (
      np.concatenate([x, np.zeros((spare, *x.shape[1:]), x.dtype)]) if spare else x
      for x in (features, keys)
    )
    batch = [features, valid, keys]
    if counts is not None:
      batch.append(np.pad(counts.astype(np.int32), (0, spare), constant_values=1))
    return tuple(_spread(x, self._sharding) for x in batch)

  def start(
    self,
    features: Float[np.ndarray, "units k features"],
    keys: Key[Array, "units"],
    counts: Int[np.ndarray, "units"] | None = None,
  ) -> tuple[Decoded, Costs]:
    """Begins to describe at most `batch_size` units and does not wait.

    Returns:
      Arrays on the devices, of `batch_size` rows, the given units first.
    """
    kind = features.shape[1], counts is not None
    self.compile(kind[0], counted=kind[1])
    data = np.asarray(jax.random.key_data(keys))
    batch = self._batch(np.asarray(features, np.float32), data, counts)
    return self._compiled[kind](self.weights, *batch)

  def __call__(
    self,
    features: Float[np.ndarray, "units k features"],
    keys: Key[Array, "units"],
    counts: Int[np.ndarray, "units"] | None = None,
  ) -> Decoded:
    """Describes at most `batch_size` units.

    Args:
      features: features of each unit's regions.
      keys: one key per unit, for the strategy `sample`.
      counts: how many of each unit's regions count, its first ones, at least one: it is
        described as if it had no others. None if all do.

    Returns:
      NumPy arrays, one row per unit.
    """
    return _fetch(self.start(features, keys, counts)[0], len(features))

  def stream(
    self, batches: Iterable[tuple[np.ndarray, Key[Array, "units"], *tuple[Any, ...]]]
  ) -> Iterator[Decoded]:
    """Describes batch after batch; each begins before the one before it is fetched.

    Args:
      batches: arguments of `start`.
    """
    waiting: tuple[Decoded, int] | None = None
    for features, *others in batches:
      started = self.start(features, *others)[0], len(features)
      if waiting is not None:
        yield _fetch(*waiting)
      waiting = started
    if waiting is not None:
      yield _fetch(*waiting)


def _spread(array: np.ndarray, sharding: NamedSharding) -> Array:
  """Gives each device its part; every process holds the whole array."""
  return jax.make_array_from_callback(array.shape, sharding, lambda part: array[part])


def _fetch(decoded: Decoded, units: int) -> Decoded:
  return jax.tree.map(lambda x: np.asarray(x)[:units], decoded)


def fuse_weights(params: Any, *, dtype: DTypeLike) -> Weights:
  """Fuses both models' parameters, given under their names."""
  language_model = params.get("language_model")
  projection = params.get("projection")
  return Weights(
    fuse_captioner_weights(params["captioner"], dtype),
    None
    if language_model is None
    else fuse_language_model_weights(language_model, dtype),
    None if projection is None else Projection(**projection),
  )


def begin(
  weights: CaptionerWeights,
  features: Float[Array, "batch k features"],
  valid: Bool[Array, "batch"],
  counts: Int[Array, "batch"] | None = None,
) -> BoundModel:
  """Projects the keys of the units that are there, and finds their first states."""
  batch = features.shape[0]
  outputs = allocate_outputs(
    batch, jax.eval_shape(start_captioner, weights, features, counts)
  )

  def start(indices):
    some = jnp.minimum(indices, batch - 1)
    return start_captioner(
      weights, features[some], None if counts is None else counts[some]
    )

  started = in_chunks(
    jnp.sum(valid, dtype=jnp.int32), start, outputs, sizes=chunk_sizes(batch)
  ).outputs
  return BoundModel(
    CaptionerRows(weights, Regions(features, started.keys[:batch], counts)),
    jax.tree.map(lambda x: x[:batch], started.state),
    jnp.arange(batch, dtype=jnp.int32),
  )


def decode(
  weights: Weights,
  features: Float[Array, "batch k features"],
  valid: Bool[Array, "batch"],
  keys: UInt32[Array, "batch words"],
  counts: Int[Array, "batch"] | None = None,
  *,
  decoding: Decoding,
  words: ContentWords | None,
  start_id: int,
  stop_id: int,
) -> tuple[Decoded, Costs]:
  """Describes one device's units; pure, to be compiled under the axis `AXIS`.

  Args:
    weights: both models' parameters.
    features: features of each unit's regions, as they are pooled.
    valid: units that are no padding, which come first.
    keys: data of one key per unit, for the strategy `sample`.
    counts: how many of each unit's regions count, its first ones; None for all.
    decoding: how to search.
    words: the vocabulary's content words, if their consensus counts.
    start_id: the token read first.
    stop_id: the token that ends a description.
  """
  batch = features.shape[0]
  temperature = decoding.temperature
  if weights.projection is not None:
    features = project(features, weights.projection)
  captioner = begin(weights.captioner, features, valid, counts)
  lm = None
  if weights.language_model is not None:
    language_model = LanguageModelRows(weights.language_model)
    first = jnp.zeros(batch, jnp.int32)  # all units begin at the same state
    lm = BoundModel(language_model, language_model.start(), first)

  def forced(bound, tokens, num_steps=None):
    counts = counted(
      tokens,
      stop_id=stop_id,
      num_steps=num_steps,
      one_too_many=num_steps is not None,
    )
    counts = counts & valid[:, None, None]
    return forced_scores(bound, tokens, counts, start_id=start_id)

  reranks = decoding.strategy == "rerank"
  options: dict[str, Any] = {
    "valid": valid,
    "length": decoding.length,
    "start_id": start_id,
    "stop_id": stop_id,
  }
  if decoding.mi and not reranks:
    options |= {"lm": lm, "temperature": temperature}
  log_probs = lm_log_probs = None
  if decoding.strategy in ("beam", "rerank"):
    beams, work, lm_work = beam_search(
      captioner, beam_size=decoding.beam_size, **options
    )
    if reranks:
      num_steps = jax.lax.pmax(beams.num_steps, AXIS) if decoding.parity else None
      lm_scores, lm_work = forced(lm, beams.tokens, num_steps)
      agreed: Float[Array, "batch beam"] | None = None
      if words is not None:
        agreed = decoding.consensus * log_consensus(beams, words.ids, words.nothing)
      found, indices = rerank(
        beams, lm_scores, temperature=temperature, consensus=agreed
      )
      log_probs = jnp.take_along_axis(beams.scores, indices[:, None], axis=1)[:, 0]
      if not decoding.parity:
        lm_log_probs = jnp.take_along_axis(lm_scores, indices[:, None], axis=1)[:, 0]
    else:
      found, _ = best_of(beams)
  elif decoding.strategy == "greedy":
    found, work, lm_work = greedy(captioner, count_tail=decoding.parity, **options)
  else:
    found, work, lm_work = sample(
      captioner, keys=jax.random.wrap_key_data(keys), **options
    )
  tokens = found.tokens[:, None]
  if lm is not None and lm_log_probs is None:
    lm_scores, more = forced(lm, tokens)
    lm_log_probs = lm_scores[:, 0]
    lm_work = more if lm_work is None else add_work(lm_work, more)
  if decoding.strategy == "greedy" and decoding.parity:
    scores, more = forced(captioner, tokens)
    log_probs, work = scores[:, 0], add_work(work, more)
  elif log_probs is None:
    log_probs = found.scores
    if decoding.mi and lm_log_probs is not None:
      log_probs = log_probs + temperature * lm_log_probs
  decoded = Decoded(found.tokens, found.scores, log_probs, lm_log_probs, found.margins)
  # One row of counts for each device.
  costs = jax.tree.map(lambda x: x[None], Costs(work, lm_work))
  return decoded, costs
