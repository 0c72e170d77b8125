"""Describes all units, a batch at a time, into the journal of a run."""

import collections
import pathlib
import zlib
from collections.abc import Callable, Iterable, Iterator

import jax
import numpy as np

from milan_jax._src.decoding.confidence import candidates, judged
from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.decoding.program import Beam, DecodedBatch
from milan_jax._src.models.confidence_model import NO_PATTERN
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.records import Description, Hypothesis, Unit
from milan_jax._src.runs.processes import broadcast_from_primary
from milan_jax._src.runs.progress import bar, say
from milan_jax._src.runs.random_keys import random_key
from milan_jax._src.runs.workdir import JOURNAL
from milan_jax._src.store.descriptions import Journal
from milan_jax._src.store.feature_store import FeatureStore
from milan_jax._src.store.release import Release
from milan_jax._src.text.persons import judges_persons
from milan_jax._src.text.reconstruction import reconstruct_ids
from milan_jax._src.text.vocabulary import Vocabulary


def describe_units(
  decoder: Decoder,
  release: Release,
  store: FeatureStore,
  folder: pathlib.Path,
  seed: int,
) -> Journal:
  """Describes all units, a batch at a time, each batch journaled at once.

  Memory holds two batches, whatever the number of units: one on its way through the
  devices while the next is read.
  """
  total = len(store)
  journal = Journal(folder / JOURNAL, decoder.batch_size, total=total)
  done = broadcast_from_primary(len(journal))
  batches = described_batches(decoder, release, store, seed, done)
  with bar("descriptions", "units") as show:
    show(done, total)
    for batch in batches:
      journal.append(batch)
      show(len(journal), total)
  return journal


def described_batches(
  decoder: Decoder,
  release: Release,
  store: FeatureStore,
  seed: int,
  start: int = 0,
) -> Iterator[list[Description]]:
  """Describes units batch by batch, from a place on; writes no file."""
  if start < len(store):
    counted = _some_rarely_fire(decoder, store)
    seconds = decoder.compile(store.k, counted=counted)
    say(f"search ready in {seconds:.1f} s (compiled, or read from the cache)")
  return _described_batches(decoder, release, store, seed, start)


def _described_batches(
  decoder: Decoder, release: Release, store: FeatureStore, seed: int, first: int
) -> Iterator[list[Description]]:
  vocabulary, size = Vocabulary(release.vocabulary), decoder.batch_size
  counted = _some_rarely_fire(decoder, store)
  # Descriptions come a batch behind the features that they are of.
  waiting: collections.deque[np.ndarray] = collections.deque()
  for decoded in decoder.stream(
    unit_batches(decoder, store, seed, first, waiting.append)
  ):
    units = zip(
      store.units(first, first + size), store.firing(first, first + size), strict=True
    )
    said = decoded if release.confidence is None else candidates(decoded)
    said = said._replace(best=decoded.best)
    described = _described(units, said, vocabulary, decoder.decoding)
    counts = store.num_regions(first, first + size) if counted else None
    yield list(judged(described, decoded, release, waiting.popleft(), counts))
    first += size


def unit_batches(
  decoder: Decoder,
  store: FeatureStore,
  seed: int,
  start: int,
  keep: Callable[[np.ndarray], None] = lambda features: None,
) -> Iterator[tuple[np.ndarray, jax.Array, np.ndarray | None]]:
  """Reads features batch by batch, from a place on, with a key for each unit.

  Exemplars on which a unit does not fire do not count, but in parity: where any unit
  has such, the number of those that count comes too. `keep` is given the features of
  each batch.
  """
  size = decoder.batch_size
  counted = _some_rarely_fire(decoder, store)
  for first in range(start, len(store), size):
    keys = _unit_keys(seed, (unit for unit, _ in store.units(first, first + size)))
    features = store.read(first, first + size)
    keep(features)
    yield features, keys, store.num_regions(first, first + size) if counted else None


def _some_rarely_fire(decoder: Decoder, store: FeatureStore) -> bool:
  """Whether some regions do not count: all the run's units then go by one program."""
  if decoder.decoding.parity:
    return False
  return bool((store.num_regions(0, len(store)) < store.k).any())


def _described(
  units: Iterable[tuple[tuple[Unit, bool], tuple[int, int] | None]],
  decoded: DecodedBatch,
  vocabulary: Vocabulary,
  decoding: Decoding,
) -> Iterator[Description]:
  lm_log_probs = decoded.lm_log_probs
  for i, ((unit, dead), firing) in enumerate(units):
    fires, images = firing or (None, None)
    margin = float(decoded.margins[i])
    tokens = np.asarray(decoded.tokens[i])
    text = reconstruct_ids(tokens, vocabulary, parity=decoding.parity)
    if decoding.guarded and judges_persons(text):
      text = NO_PATTERN  # nothing in the beam may be given
    yield Description(
      unit=unit,
      text=text,
      score=float(decoded.scores[i]),
      log_prob=float(decoded.log_probs[i]),
      lm_log_prob=None if lm_log_probs is None else float(lm_log_probs[i]),
      dead=dead,
      margin=margin if np.isfinite(margin) else None,
      fires=fires,
      images=images,
      hypotheses=_hypotheses(decoded.best, i, vocabulary),
    )


def _hypotheses(
  best: Beam | None, row: int, vocabulary: Vocabulary
) -> tuple[Hypothesis, ...]:
  """A unit's hypotheses, best first."""
  if best is None:
    return ()
  lm_log_probs = best.lm_log_probs
  return tuple(
    Hypothesis(
      text=reconstruct_ids(np.asarray(best.tokens[row, place]), vocabulary),
      score=float(best.scores[row, place]),
      log_prob=float(best.log_probs[row, place]),
      lm_log_prob=None if lm_log_probs is None else float(lm_log_probs[row, place]),
    )
    for place in np.flatnonzero(np.isfinite(best.scores[row])).tolist()
  )


def _unit_keys(seed: int, units: Iterable[Unit]) -> jax.Array:
  """A key of each unit's own, whatever else is described beside it."""
  names = [
    f"{unit.layer}:{unit.index}" + (":off" if unit.sign == "off" else "")
    for unit in units
  ]
  digests = np.array([zlib.crc32(name.encode()) for name in names], np.uint32)
  keys: jax.Array = _keys(seed, digests)
  return keys


@jax.jit
def _keys(seed: jax.Array | int, names: jax.Array | np.ndarray) -> jax.Array:
  return jax.vmap(lambda name: jax.random.fold_in(random_key(seed), name))(names)
