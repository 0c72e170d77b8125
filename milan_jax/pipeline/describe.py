"""From images and a network to descriptions: every step of `milan-describe`."""

import collections
import dataclasses
import hashlib
import pathlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast, get_args

import jax
import numpy as np

from milan_jax.errors import UserError
from milan_jax.features import encode_exemplars
from milan_jax.models.lowering import Rounding
from milan_jax.pipeline.confidence import judged, knows_confidence
from milan_jax.pipeline.decode import (
  TIE,
  Decoded,
  Decoder,
  Decoding,
  check_choice,
)
from milan_jax.pipeline.page import write_run_page
from milan_jax.pipeline.probing import Pass, find_exemplars
from milan_jax.pipeline.processes import (
  is_first,
  join_processes,
  told_by_first,
  wait_until,
)
from milan_jax.pipeline.progress import bar, say
from milan_jax.pipeline.region_encoder import region_encoder
from milan_jax.pipeline.subject import find_subject
from milan_jax.pipeline.workdir import CONFIG, open_workdir
from milan_jax.probe.selection import select_layers, select_units
from milan_jax.records import Description, ExemplarSet, Unit
from milan_jax.store.chosen_exemplars import ChosenExemplars
from milan_jax.store.descriptions import Journal, write_descriptions
from milan_jax.store.exemplar_sets import open_exemplars
from milan_jax.store.feature_store import (
  FeatureStore,
  features_are_finished,
  open_features,
)
from milan_jax.store.pretrained import load_milan
from milan_jax.store.release import Release
from milan_jax.text.reconstruction import reconstruct_ids
from milan_jax.text.vocabulary import Vocabulary

DESCRIPTIONS, PAGE = "descriptions.csv", "index.html"
# Options that may differ between the run that began and one that goes on.
_NOT_IN_RESULTS = (
  *("workdir", "page", "save_every", "workers", "torch_device"),
  *("coordinator", "num_processes", "process_id"),
)


def describe(
  *,
  workdir: str,
  model: str,
  weights: str,
  image_size: int,
  mean: str,
  std: str,
  layouts: str,
  before_clip: bool,
  torch_device: str,
  images: str,
  split: str,
  data_dir: str,
  latents: str,
  image_range: str,
  exemplars: str,
  features: str,
  layers: str,
  units: str,
  k: int,
  quantile: float,
  probe_batch_size: int,
  workers: int,
  save_every: float,
  milan: str,
  strategy: str,
  mi: bool | None,
  temperature: float,
  consensus: float,
  beam_size: int,
  length: int,
  encoder_precision: str,
  batch_size: int,
  precision: str,
  parity: bool,
  seed: int,
  coordinator: str,
  num_processes: int,
  process_id: int,
  page: bool,
) -> pathlib.Path:
  """Describes units; see `milan_jax.config.Describe` for every option.

  The same call with the same `workdir` goes on where a run that was stopped left off,
  and gives the same bytes as one that was not.

  Returns:
    The path of `descriptions.csv`.

  Raises:
    UserError: an option names nothing, or the workdir is of another run.
  """
  options = {
    name: value for name, value in locals().items() if name not in _NOT_IN_RESULTS
  }
  join_processes(coordinator, num_processes, process_id)
  check_choice("--encoder_precision", get_args(Rounding), encoder_precision)
  release = load_milan(milan)
  decoding = _decoding(
    release,
    strategy=strategy,
    mi=mi,
    temperature=temperature,
    consensus=consensus,
    beam_size=beam_size,
    length=length,
    parity=parity,
    precision=precision,
  )
  decoder = Decoder(release, decoding, batch_size=batch_size)
  options["mi"] = decoding.mi
  options["captioner_sha256"] = _digest(release)
  found: ExemplarSet | None = None
  if features:
    if exemplars or images or latents:
      raise UserError(
        "--features: name no --exemplars, --images or --latents beside it."
      )
    store = _choose_features(open_features(features), features, layers, units)
    _check_size(store.feature_size, release)
    options["features_sha256"] = store.fingerprint()
    folder = _open_together(workdir, options)
  elif exemplars:
    if images or latents:
      raise UserError("--exemplars: name no --images and no --latents beside it.")
    found = _choose(open_exemplars(exemplars), layers, units)
    folder = _open_together(workdir, options)
  else:
    how = Pass(k, quantile, probe_batch_size, workers, save_every)
    subject = find_subject(
      model=model,
      weights=weights,
      image_size=image_size,
      mean=mean,
      std=std,
      layouts=layouts,
      before_clip=before_clip,
      torch_device=torch_device,
      image_range=image_range,
      images=images,
      split=split,
      data_dir=data_dir,
      latents=latents,
    )
    chosen = subject.choose(layers, units)
    options |= subject.fingerprint(chosen)
    folder = _open_together(workdir, options)
    found = open_exemplars(
      find_exemplars(subject, folder, units=chosen, how=how, job=options)
    )
  if found is not None:
    store = _encode(release, found, folder, cast(Rounding, encoder_precision))
  path = folder / DESCRIPTIONS
  if not is_first():
    for _ in decoder.stream(_batches(decoder, store, seed, told_by_first(0))):
      pass  # the first process hears of them too, and writes them
    # Who left before it would end it: JAX waits for all at the end, but not for long.
    written = folder / (PAGE if page and found is not None else DESCRIPTIONS)
    wait_until(written.exists)
    return path
  journal = _decode(decoder, _as_it_decodes(release, decoding), store, folder, seed)
  write_descriptions(path, journal)
  say(f"{path}: {len(journal)} units described")
  report_ties(journal)
  if page and found is not None:
    write_run_page(folder, found, journal, options)
    say(f"{folder / PAGE}: the page")
  return path


def report_ties(descriptions: Iterable[Description]) -> None:
  """Says of how many units another description is as good, to the last digits."""
  margins = (entry.margin for entry in descriptions)
  ties = sum(margin is not None and margin < TIE for margin in margins)
  if ties:
    say(
      f"{ties} of them tie with another description within {TIE:g} nats; which of the "
      "two is said may depend on the batch and the machine"
    )


def _decoding(
  release: Release,
  *,
  strategy: str,
  mi: bool | None,
  temperature: float,
  consensus: float,
  beam_size: int,
  length: int,
  parity: bool,
  precision: str,
) -> Decoding:
  """Fills what the user left open with the captioner's own defaults."""
  own = release.decoding
  if not strategy:
    strategy = own.strategy if release.language_model else "beam"
  if mi is None:
    # The original's default, which it takes for every search that goes token by token.
    mi = parity and strategy != "rerank" and release.language_model is not None
  if consensus < 0:
    consensus = own.consensus if strategy == "rerank" and not parity else 0.0
  return Decoding(
    strategy=strategy,
    length=length or own.length,
    beam_size=beam_size or own.beam_size,
    temperature=own.temperature if temperature < 0 else temperature,
    consensus=consensus,
    mi=mi,
    parity=parity,
    precision=precision,
  )


def _as_it_decodes(release: Release, decoding: Decoding) -> Release:
  """Forgets a confidence that was measured of another way to decode."""
  if release.confidence is None or knows_confidence(release, decoding):
    return release
  say("no confidence is given: it was measured of the captioner's own way to decode")
  return dataclasses.replace(release, confidence=None)


def _digest(release: Release) -> str:
  digest = hashlib.sha256()
  parts = {k: v for k, v in release.params.items() if k != "encoder"}
  for leaf in jax.tree.leaves(parts):
    digest.update(np.ascontiguousarray(leaf).tobytes())
  digest.update(repr((release.decoding, release.confidence)).encode())
  return digest.hexdigest()


def _choose(whole: ExemplarSet, layers: str, units: str) -> ExemplarSet:
  """Restricts an exemplar set to the layers and units that the user named."""
  if not layers and not units:
    return whole
  names = select_layers(whole.layers, layers) if layers else whole.layers
  rows: dict[str, np.ndarray] = {}
  for name in names:
    rows[name] = _rows_of(name, whole.exemplars(name).units, units)
  return ChosenExemplars(whole, rows)


def _rows_of(layer: str, known: np.ndarray, units: str) -> np.ndarray:
  """Finds the rows of the units that the user named."""
  wanted = select_units(units, int(known.max()) + 1)
  rows = np.flatnonzero(np.isin(known, wanted))
  if not rows.size:
    raise UserError(f"--units={units}: {layer} is here without any of them.")
  return rows


def _open_together(workdir: str, options: dict[str, Any]) -> pathlib.Path:
  """Opens the run directory; of several processes, the first makes it."""
  if not is_first():
    wait_until((pathlib.Path(workdir) / CONFIG).exists)
  return open_workdir(workdir, options)


def _check_size(feature_size: int, release: Release) -> None:
  if feature_size != release.feature_size:
    raise UserError(
      f"The features are of size {feature_size}, and the captioner takes "
      f"{release.feature_size}: they are of another encoder."
    )


def _choose_features(
  whole: FeatureStore, folder: str, layers: str, units: str
) -> FeatureStore:
  """Restricts a feature store to the layers and units that the user named."""
  if not layers and not units:
    return whole
  names = select_layers(whole.layers, layers) if layers else whole.layers
  return FeatureStore(
    folder, {name: _rows_of(name, whole.units_of(name), units) for name in names}
  )


def _encode(
  release: Release, found: ExemplarSet, folder: pathlib.Path, rounding: Rounding
) -> FeatureStore:
  encoder = region_encoder(
    release.encoder, release.params.get("encoder"), rounding=rounding
  )
  _check_size(encoder.feature_size, release)
  if not is_first():
    wait_until(lambda: features_are_finished(folder / "features"))
    return open_features(folder / "features")
  with bar("features", "images") as show:
    return encode_exemplars(
      encoder.encode,
      found,
      folder / "features",
      feature_size=encoder.feature_size,
      progress=show,
    )


def _unit_keys(seed: int, units: Iterable[Unit]) -> jax.Array:
  """A key of each unit's own, whatever else is described beside it."""
  names = [f"{unit.layer}:{unit.index}" for unit in units]
  return _keys(seed, np.array([zlib.crc32(name.encode()) for name in names], np.uint32))


@jax.jit
def _keys(seed: jax.Array | int, names: jax.Array | np.ndarray) -> jax.Array:
  return jax.vmap(lambda name: jax.random.fold_in(jax.random.key(seed), name))(names)


def _decode(
  decoder: Decoder,
  release: Release,
  store: FeatureStore,
  folder: pathlib.Path,
  seed: int,
) -> Journal:
  """Describes all units, a batch at a time, each batch journalled at once.

  Memory holds two batches, whatever the number of units: one on its way through the
  devices while the next is read.
  """
  vocabulary = Vocabulary(release.vocabulary)
  size, total = decoder.batch_size, len(store)
  journal = Journal(folder / "descriptions.jsonl", size, total=total)
  done = told_by_first(len(journal))
  if done < total:
    seconds = decoder.compile(store.k)
    say(f"the search was compiled, or found compiled, in {seconds:.1f} s")
  with bar("descriptions", "units") as show:
    show(done, total)
    # Descriptions come a batch behind the features that they are of.
    waiting: collections.deque[np.ndarray] = collections.deque()
    for decoded in decoder.stream(_batches(decoder, store, seed, done, waiting.append)):
      first = len(journal)
      units = store.units(first, first + size)
      described = _described(units, decoded, vocabulary, decoder.decoding.parity)
      journal.append(judged(described, decoded, release, waiting.popleft()))
      show(len(journal), total)
  return journal


def _batches(
  decoder: Decoder,
  store: FeatureStore,
  seed: int,
  start: int,
  keep: Callable[[np.ndarray], None] = lambda features: None,
) -> Iterator[tuple[np.ndarray, jax.Array]]:
  """Reads features batch by batch, from a place on, with a key for each unit.

  `keep` is given the features of each batch too.
  """
  size = decoder.batch_size
  for first in range(start, len(store), size):
    keys = _unit_keys(seed, (unit for unit, _ in store.units(first, first + size)))
    features = store.read(first, first + size)
    keep(features)
    yield features, keys


def _described(
  units: Iterable[tuple[Unit, bool]],
  decoded: Decoded,
  vocabulary: Vocabulary,
  parity: bool,
) -> Iterator[Description]:
  lm_log_probs = decoded.lm_log_probs
  for i, (unit, dead) in enumerate(units):
    margin = float(decoded.margins[i])
    yield Description(
      unit=unit,
      text=reconstruct_ids(np.asarray(decoded.tokens[i]), vocabulary, parity=parity),
      score=float(decoded.scores[i]),
      log_prob=float(decoded.log_probs[i]),
      lm_log_prob=None if lm_log_probs is None else float(lm_log_probs[i]),
      dead=dead,
      margin=margin if np.isfinite(margin) else None,
    )
