"""From images and a network to descriptions: every step of `milan-describe`."""

import hashlib
import pathlib
import zlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from milan_jax.errors import UserError
from milan_jax.exemplars.collect import collect
from milan_jax.features import encode_exemplars
from milan_jax.images.source import ImageSource
from milan_jax.pipeline.decode import Decoder, Decoding
from milan_jax.pipeline.network import Network, open_images, open_network
from milan_jax.pipeline.page import write_run_page
from milan_jax.pipeline.progress import bar, say
from milan_jax.pipeline.region_encoder import region_encoder
from milan_jax.pipeline.workdir import open_workdir
from milan_jax.probe.selection import select_layers, select_units
from milan_jax.records import Description, ExemplarSet, Unit
from milan_jax.store.chosen_exemplars import ChosenExemplars
from milan_jax.store.descriptions import Journal, write_descriptions
from milan_jax.store.exemplar_sets import open_exemplars
from milan_jax.store.exemplar_snapshots import load_progress, save_progress
from milan_jax.store.exemplar_store import write_exemplars
from milan_jax.store.pretrained import load_milan
from milan_jax.store.release import Release
from milan_jax.text.reconstruction import reconstruct_ids
from milan_jax.text.vocabulary import Vocabulary

DESCRIPTIONS = "descriptions.csv"
# Units of each layer that the demonstration describes: it takes a minute or two.
DEMO_UNITS = "0:32"


def describe(
  *,
  workdir: str,
  model: str,
  weights: str,
  images: str,
  exemplars: str,
  layers: str,
  units: str,
  k: int,
  quantile: float,
  probe_batch_size: int,
  save_every: float,
  milan: str,
  strategy: str,
  mi: bool,
  temperature: float,
  beam_size: int,
  length: int,
  batch_size: int,
  parity: bool,
  seed: int,
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
    name: value
    for name, value in locals().items()
    if name not in ("workdir", "page", "save_every")
  }
  release = load_milan(milan)
  decoding = _decoding(release, strategy, mi, temperature, beam_size, length, parity)
  decoder = Decoder(release, decoding, batch_size=batch_size)
  options["captioner_sha256"] = _digest(release)
  if exemplars:
    found = _choose(open_exemplars(exemplars), layers, units)
    folder = open_workdir(workdir, options)
  else:
    network = open_network(model, weights)
    if not images and not units:
      units = DEMO_UNITS
      say(f"the demonstration describes units {units} of each layer; see --units")
    source = open_images(images, network.geometry)
    chosen = _choose_units(network, _layer_names(network, layers), units)
    options["images_sha256"] = _names_digest(source)
    folder = open_workdir(workdir, options)
    _probe(
      network,
      source,
      folder,
      chosen=chosen,
      job=options,
      k=k,
      quantile=quantile,
      batch_size=probe_batch_size,
      save_every=save_every,
    )
    found = open_exemplars(folder / "exemplars")
  features = _encode(release, found, folder)
  descriptions = _decode(decoder, release, found, features, folder, seed)
  path = folder / DESCRIPTIONS
  write_descriptions(path, descriptions)
  say(f"{path}: {len(descriptions)} units described")
  if page:
    write_run_page(folder, found, descriptions, options)
    say(f"{folder / 'index.html'}: the page")
  return path


def _decoding(
  release: Release,
  strategy: str,
  mi: bool,
  temperature: float,
  beam_size: int,
  length: int,
  parity: bool,
) -> Decoding:
  """Fills what the user left open with the captioner's own defaults."""
  own = release.decoding
  if not strategy:
    strategy = own.strategy if release.language_model else "beam"
  return Decoding(
    strategy=strategy,
    length=length or own.length,
    beam_size=beam_size or own.beam_size,
    temperature=own.temperature if temperature < 0 else temperature,
    mi=mi,
    parity=parity,
  )


def _digest(release: Release) -> str:
  digest = hashlib.sha256()
  parts = {k: v for k, v in release.params.items() if k != "encoder"}
  for leaf in jax.tree.leaves(parts):
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()


def _names_digest(source: ImageSource) -> str:
  names = "\n".join(source.name(index) for index in range(len(source)))
  return hashlib.sha256(names.encode()).hexdigest()


def _layer_names(network: Network, layers: str) -> tuple[str, ...]:
  if not layers and network.default_layers:
    return network.default_layers
  if not layers:
    raise UserError(
      "This network has no default layers: name some with --layers; "
      "--list_layers prints them."
    )
  return select_layers([layer.name for layer in network.probe.layers()], layers)


def _choose_units(
  network: Network, layers: tuple[str, ...], units: str
) -> dict[str, np.ndarray]:
  """Finds the units of each layer that the user named."""
  shapes = {layer.name: layer for layer in network.probe.layers()}
  return {name: select_units(units, shapes[name].units) for name in layers}


def _choose(whole: ExemplarSet, layers: str, units: str) -> ExemplarSet:
  """Restricts an exemplar set to the layers and units that the user named."""
  if not layers and not units:
    return whole
  names = select_layers(whole.layers, layers) if layers else whole.layers
  rows: dict[str, np.ndarray] = {}
  for name in names:
    known = whole.exemplars(name).units
    wanted = select_units(units, int(known.max()) + 1)
    rows[name] = np.flatnonzero(np.isin(known, wanted))
    if not rows[name].size:
      raise UserError(f"--units={units}: the exemplars of {name} hold none of them.")
  return ChosenExemplars(whole, rows)


def _probe(
  network: Network,
  source: ImageSource,
  folder: pathlib.Path,
  *,
  chosen: dict[str, np.ndarray],
  job: dict[str, Any],
  k: int,
  quantile: float,
  batch_size: int,
  save_every: float,
) -> None:
  """Runs the one pass over the images, unless its store is already there."""
  store, snapshot = folder / "exemplars", folder / "exemplars.partial.npz"
  if store.exists():
    snapshot.unlink(missing_ok=True)
    return
  with bar("exemplars", "images") as show:
    collected = collect(
      network.probe,
      source,
      tuple(chosen),
      k=k,
      quantile=quantile,
      batch_size=batch_size,
      resume=load_progress(snapshot, job),
      save=lambda progress: save_progress(snapshot, progress, job),
      save_every=save_every,
      report=lambda done, total, rate: show(done, total),
    )
  for item in collected.skipped:
    say(f"skipped {item.name}: {item.reason}")
  skipped = [[item.name, item.reason] for item in collected.skipped]
  info = {**job, "num_images": len(source), "skipped": skipped}
  write_exemplars(store, collected.layers, source, units=chosen, info=info)
  snapshot.unlink(missing_ok=True)
  times = collected.times
  say(
    f"one pass over {len(source)} images: model {times.model:.1f} s, waiting for "
    f"images {times.decoding:.1f} s, statistics {times.statistics:.1f} s"
  )


def _encode(
  release: Release, found: ExemplarSet, folder: pathlib.Path
) -> dict[str, np.ndarray]:
  encoder = region_encoder(release.encoder, release.params.get("encoder"))
  if encoder.feature_size != release.captioner.feature_size:
    raise UserError(
      f"The encoder gives features of size {encoder.feature_size}, and the captioner "
      f"takes {release.captioner.feature_size}: the release is not consistent."
    )
  with bar("features", "images") as show:
    return encode_exemplars(
      encoder.encode,
      found,
      folder / "features",
      feature_size=encoder.feature_size,
      progress=show,
    )


def _unit_key(seed: int, unit: Unit) -> jax.Array:
  """A key of a unit's own, whatever else is described beside it."""
  name = f"{unit.layer}:{unit.index}"
  return jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))


def _rows(found: ExemplarSet) -> Iterator[tuple[Unit, int, bool]]:
  """Yields every unit, its row in its layer, and whether it is dead."""
  for layer in found.layers:
    exemplars = found.exemplars(layer)
    for row, index in enumerate(exemplars.units.tolist()):
      yield Unit(layer, index), row, bool(exemplars.dead[row])


def _decode(
  decoder: Decoder,
  release: Release,
  found: ExemplarSet,
  features: dict[str, np.ndarray],
  folder: pathlib.Path,
  seed: int,
) -> tuple[Description, ...]:
  """Describes all units, a batch at a time, each batch journalled at once."""
  vocabulary = Vocabulary(release.vocabulary)
  rows = list(_rows(found))
  size = decoder.batch_size
  journal = Journal(folder / "descriptions.jsonl", size, total=len(rows))
  with bar("descriptions", "units") as show:
    show(len(journal), len(rows))
    for start in range(len(journal), len(rows), size):
      batch = rows[start : start + size]
      decoded = decoder(
        np.stack([features[unit.layer][row] for unit, row, _ in batch]),
        jax.numpy.stack([_unit_key(seed, unit) for unit, *_ in batch]),
      )
      lm_log_probs = decoded.lm_log_probs
      journal.append(
        Description(
          unit=unit,
          text=reconstruct_ids(np.asarray(decoded.tokens[i]), vocabulary),
          score=float(decoded.scores[i]),
          log_prob=float(decoded.log_probs[i]),
          lm_log_prob=None if lm_log_probs is None else float(lm_log_probs[i]),
          dead=dead,
        )
        for i, (unit, _, dead) in enumerate(batch)
      )
      show(len(journal), len(rows))
  return tuple(journal.entries())
