"""Decoding: from features of the regions to descriptions, compiled once."""

import functools
import numbers
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Key

from milan_jax._src.decoding.choice import choose
from milan_jax._src.decoding.program import (
  AXIS,
  Costs,
  DecodedBatch,
  decode,
)
from milan_jax._src.decoding.release_words import release_words
from milan_jax._src.decoding.weights import Weights, fuse_weights
from milan_jax._src.errors import UserError
from milan_jax._src.models.products import stores_by_outputs
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.runs.memory import return_freed_memory
from milan_jax._src.runs.mesh import make_mesh
from milan_jax._src.runs.random_keys import IMPL, WORDS
from milan_jax._src.store.release import Release
from milan_jax._src.text.content_words import ContentWords
from milan_jax._src.text.vocabulary import Vocabulary

# Two descriptions whose scores differ by less may change places with the batch.
TIE = 1e-5


def check_decodes(release: Release, decoding: Decoding, batch_size: int) -> None:
  """Refuses what a `Decoder` cannot do.

  Raises:
    UserError: the search needs a language model or word detectors that the release
      lacks, or the batch is empty.
  """
  check_batch_size(batch_size)
  if decoding.needs_language_model and release.language_model is None:
    raise UserError(
      "This captioner has no language model, which rerank and mi need; "
      "use --strategy beam or greedy without --mi."
    )
  if decoding.needs_word_detectors and release.word_detectors is None:
    raise UserError(
      f"--word_weight={decoding.word_weight:g}, --coverage={decoding.coverage:g}: this "
      "captioner has no word detectors; use 0 for both, or a captioner trained with "
      "--word_weight or --coverage."
    )


def check_batch_size(batch_size: int) -> None:
  """Raises UserError if a number of units decoded together is none."""
  if not isinstance(batch_size, numbers.Integral) or batch_size < 1:
    raise UserError(f"--batch_size: expected 1 or more; found {batch_size}.")


def decode_on(
  mesh: Mesh,
  decoding: Decoding,
  vocabulary: Vocabulary,
  words: ContentWords | None,
) -> Any:
  """Returns the program that describes a batch of units, to be compiled for a mesh.

  Args:
    mesh: devices that the units are spread over. For `lower`, they may be absent from
      this machine.
    decoding: how to search.
    vocabulary: of the captioner.
    words: its content words; None if the search does not use them.

  Returns:
    A jitted function of `Weights` and the arrays of `program.decode`, each with as many
    rows as the batch has units.
  """
  rows = PartitionSpec(AXIS)
  local = functools.partial(
    decode,
    decoding=decoding,
    words=words if uses_words(decoding) else None,
    start_id=vocabulary.start_id,
    stop_id=vocabulary.stop_id,
    platform=mesh.devices.flat[0].platform,
  )

  def spread_over_devices(
    weights: Weights, *batch: Array
  ) -> tuple[DecodedBatch, Costs]:
    with _precision(decoding):
      return jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(PartitionSpec(), *(rows for _ in batch)),
        out_specs=rows,
        check_vma=False,
      )(weights, *batch)

  return jax.jit(
    spread_over_devices, out_shardings=NamedSharding(mesh, PartitionSpec())
  )


def uses_words(decoding: Decoding) -> bool:
  """Whether a search uses the content words of its hypotheses."""
  needs = decoding.needs_word_detectors or not decoding.repeats
  return bool(decoding.consensus) or needs


def fuse_for(decoding: Decoding, platform: str) -> Callable[[Any], Weights]:
  """Returns the function that fuses parameters for a search, to be compiled.

  Args:
    decoding: how to search.
    platform: kind of the devices that search, as `jax.Device.platform`.
  """
  dtype = jnp.bfloat16 if decoding.precision == "bfloat16" else jnp.float32
  by_outputs = stores_by_outputs(platform, dtype)

  def fuse(params: Any) -> Weights:
    with _precision(decoding):
      return fuse_weights(params, dtype=dtype, by_outputs=by_outputs)

  return fuse


def _precision(decoding: Decoding) -> AbstractContextManager[None]:
  kind = "tensorfloat32" if decoding.precision == "tensorfloat32" else "highest"
  precision: AbstractContextManager[None] = jax.default_matmul_precision(kind)
  return precision


class Decoder:
  """Describes units, a batch at a time, over all devices.

  A unit's description does not depend on the others in its batch, nor on the number
  of devices that the batch is spread over: each device searches for its own units,
  and none waits for another before the end. One shape is compiled; units that a batch
  lacks cost next to nothing.

  Example:
    >>> decoder = milan_jax.Decoder(captioner.release, batch_size=8)
    >>> keys = jax.random.split(jax.random.key(0), len(features))
    >>> decoder(features.read(0, len(features)), keys).scores.shape
    (8,)
  """

  def __init__(
    self,
    release: Release,
    decoding: Decoding | None = None,
    *,
    batch_size: int = 64,
    devices: Sequence[jax.Device] | None = None,
  ):
    """Lays the parameters out on every device.

    Args:
      release: captioner, language model and vocabulary.
      decoding: how to search; None for the release's own way.
      batch_size: units decoded together; rounded up to a multiple of the devices.
      devices: where to decode; None for all devices of all processes.

    Raises:
      UserError: the search needs a language model or word detectors that the release
        lacks, or an argument is something else.
    """
    if not isinstance(release, Release):
      raise UserError(
        "release: expected a release, such as milan_jax.load().release; found a "
        f"{type(release).__name__}."
      )
    decoding = release.decoding if decoding is None else decoding
    if not isinstance(decoding, Decoding):
      raise UserError(
        "decoding: expected a milan_jax.Decoding, such as captioner.resolve(options); "
        f"found a {type(decoding).__name__}."
      )
    check_decodes(release, decoding, batch_size)
    mesh = make_mesh(devices)
    self.decoding = decoding
    self.batch_size = -(-batch_size // mesh.size) * mesh.size
    self.feature_size = release.feature_size
    self._sharding = NamedSharding(mesh, PartitionSpec(AXIS))
    everywhere = NamedSharding(mesh, PartitionSpec())
    self.weights = self._fused(release, everywhere)
    vocabulary = self._vocabulary = Vocabulary(release.vocabulary)
    self._words = release_words(release, decoding.length)
    self._decode = decode_on(mesh, decoding, vocabulary, self._words)
    self._compiled: dict[tuple[int, bool], Any] = {}

  def __repr__(self) -> str:
    return (
      f"Decoder(strategy={self.decoding.strategy!r}, batch_size={self.batch_size}, "
      f"feature_size={self.feature_size})"
    )

  def _fused(self, release: Release, everywhere: NamedSharding) -> Weights:
    """Returns the weights as the search uses them, on every device."""
    params = {"captioner": release.params["captioner"]}
    for part in ("language_model", "projection", "word_detectors"):
      if part in release.params:
        params[part] = release.params[part]
    platform = everywhere.mesh.devices.flat[0].platform
    fuse = jax.jit(fuse_for(self.decoding, platform), out_shardings=everywhere)
    arrays = jax.tree.map(lambda x: _spread(np.asarray(x), everywhere), params)
    fused: Weights = fuse(arrays)
    return fused

  def compile(self, k: int, *, counted: bool = False) -> float:
    """Compiles for units of `k` regions, unless it is done; returns the seconds.

    Args:
      k: regions of a unit.
      counted: whether the number of regions to use is given for each unit.
    """
    began = time.perf_counter()
    if (k, counted) not in self._compiled:
      features = np.zeros((0, k, self.feature_size), np.float32)
      counts = np.zeros(0, np.int32) if counted else None
      batch = self._batch(features, np.zeros((0, 2), np.uint32), counts)
      self._compiled[k, counted] = self._decode.lower(self.weights, *batch).compile()
      return_freed_memory()
    return time.perf_counter() - began

  def memory_bytes(self, k: int) -> int:
    """What a batch takes on a device beside the weights, as the compiler plans it."""
    self.compile(k)
    return int(self._compiled[k, False].memory_analysis().temp_size_in_bytes)

  def _batch(
    self, features: np.ndarray, keys: np.ndarray, counts: np.ndarray | None
  ) -> tuple[Array, ...]:
    """Pads a batch with units that are none, and spreads it over the devices."""
    padding = self.batch_size - len(features)
    valid = np.arange(self.batch_size) < self.batch_size - padding
    features, keys = (
      np.concatenate([x, np.zeros((padding, *x.shape[1:]), x.dtype)]) if padding else x
      for x in (features, keys)
    )
    batch = [features, valid, keys]
    if counts is not None:
      counts = np.asarray(counts, np.int32)
      batch.append(np.pad(counts, (0, padding), constant_values=1))
    return tuple(_spread(x, self._sharding) for x in batch)

  def start(
    self,
    features: Float[np.ndarray, "units k features"],
    keys: Key[Array, "units"],
    counts: Int[np.ndarray, "units"] | None = None,
  ) -> tuple[DecodedBatch, Costs]:
    """Begins to describe at most `batch_size` units and does not wait.

    Returns:
      Arrays on the devices, of `batch_size` rows, the given units first.

    Raises:
      UserError: the arrays are of other shapes, or more units than a batch has.
    """
    features, data = np.asarray(features, np.float32), self._key_data(keys)
    self._check(features, data, counts)
    kind = features.shape[1], counts is not None
    self.compile(kind[0], counted=kind[1])
    batch = self._batch(features, data, counts)
    started: tuple[DecodedBatch, Costs] = self._compiled[kind](self.weights, *batch)
    return started

  def _key_data(self, keys: Any) -> np.ndarray:
    """The numbers of keys, of this version of JAX or of an older one."""
    dtype: Any = getattr(keys, "dtype", None)
    if not jnp.issubdtype(dtype, jax.dtypes.prng_key):
      return np.asarray(keys)
    return np.asarray(jax.random.key_data(keys))

  def _check(
    self, features: np.ndarray, keys: np.ndarray, counts: np.ndarray | None
  ) -> None:
    """Raises UserError if the arrays are not those of a batch."""
    units = len(features) if features.ndim else 0
    if features.ndim != 3 or features.shape[2] != self.feature_size:
      raise UserError(
        f"features: expected shape (units, k, {self.feature_size}), as "
        f"captioner.encode(exemplars).read(0, units) returns; found {features.shape}."
      )
    finite = np.isfinite(features).all((1, 2))
    if not finite.all():
      raise UserError(
        "features: expected finite numbers; found NaN or infinity for "
        f"{np.count_nonzero(~finite)} of {units} units, the first of which is number "
        f"{np.argmin(finite)}: check the encoder's weights."
      )
    if units > self.batch_size:
      raise UserError(
        f"features: expected at most {self.batch_size} units, the decoder's batch; "
        f"found {units}: give them in parts, or make a decoder with --batch_size "
        f"{units}."
      )
    if keys.shape != (units, WORDS):
      raise UserError(
        f"keys: expected one {IMPL} key per unit, such as "
        f"jax.random.split(jax.random.key(0, impl='{IMPL}'), {units}); found key data "
        f"of shape {keys.shape}."
      )
    if counts is not None and (
      np.shape(counts) != (units,) or not np.all(np.asarray(counts) >= 1)
    ):
      raise UserError(
        f"counts: expected {units} numbers of 1 or more, one per unit; found "
        f"{np.asarray(counts).tolist()}."
      )

  def __call__(
    self,
    features: Float[np.ndarray, "units k features"],
    keys: Key[Array, "units"],
    counts: Int[np.ndarray, "units"] | None = None,
  ) -> DecodedBatch:
    """Describes at most `batch_size` units.

    Args:
      features: features of each unit's regions.
      keys: one key per unit, for the strategy `sample`.
      counts: how many of each unit's regions count, its first ones, at least one: it is
        described as if it had no others. None if all do.

    Returns:
      NumPy arrays, one row per unit.
    """
    return self._fetch(self.start(features, keys, counts)[0], len(features))

  def stream(
    self, batches: Iterable[tuple[np.ndarray, Key[Array, "units"], *tuple[Any, ...]]]
  ) -> Iterator[DecodedBatch]:
    """Describes batch after batch; each begins before the one before it is fetched.

    Args:
      batches: arguments of `start`.
    """
    waiting: tuple[DecodedBatch, int] | None = None
    for features, *others in batches:
      started = self.start(features, *others)[0], len(features)
      if waiting is not None:
        yield self._fetch(*waiting)
      waiting = started
    if waiting is not None:
      yield self._fetch(*waiting)

  def _fetch(self, decoded: DecodedBatch, units: int) -> DecodedBatch:
    fetched: DecodedBatch = jax.tree.map(lambda x: np.asarray(x)[:units], decoded)
    if fetched.beam is None:
      return fetched
    return choose(fetched, self._vocabulary, self._words, guarded=self.decoding.guarded)


def _spread(array: np.ndarray, sharding: NamedSharding) -> Array:
  """Gives each device its part; every process holds the whole array."""
  return jax.make_array_from_callback(array.shape, sharding, lambda part: array[part])
