"""From images and a network to descriptions: every step of `milan-describe`."""

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import cast, get_args

import numpy as np

from milan_jax._src.api.collection import Pass
from milan_jax._src.api.identity import of_captioner
from milan_jax._src.api.origins import GivenExemplars, GivenFeatures, Origin, Probed
from milan_jax._src.api.outputs import Outputs
from milan_jax._src.catalog.page import PAGE
from milan_jax._src.catalog.run_page import write_run_page
from milan_jax._src.decoding.confidence import knows_confidence
from milan_jax._src.decoding.decoder import (
  TIE,
  Decoder,
  Decoding,
  check_choice,
  check_decodes,
)
from milan_jax._src.decoding.features import encode_exemplars
from milan_jax._src.decoding.region_encoder import encoder_params, region_encoder
from milan_jax._src.decoding.search_memory import check_search_fits
from milan_jax._src.decoding.unit_descriptions import describe_units, unit_batches
from milan_jax._src.errors import UserError
from milan_jax._src.exemplars.shards import TooFewImagesError
from milan_jax._src.models.lowering import Rounding
from milan_jax._src.probe.probe_target import find_subject
from milan_jax._src.records import Description, ExemplarSet
from milan_jax._src.runs.inputs import Tables
from milan_jax._src.runs.processes import (
  broadcast_from_primary,
  hold_together,
  is_primary,
  join_processes,
  signal_start,
  wait_for_start,
  wait_until,
)
from milan_jax._src.runs.progress import bar, say
from milan_jax._src.runs.workdir import (
  DESCRIPTIONS,
  FEATURES,
  begin_run,
  check_run,
  job_of,
  read_run,
  withdraw_run,
)
from milan_jax._src.store.descriptions import write_descriptions
from milan_jax._src.store.feature_store import (
  FeatureStore,
  features_are_finished,
  open_features,
)
from milan_jax._src.store.pretrained import load_milan
from milan_jax._src.store.release import Params, Release

# Options that name what is told better by its content: they may be spelled otherwise.
_BY_CONTENT = (
  *("images", "exemplars", "features", "weights", "latents", "data_dir", "milan"),
  *("layers", "units"),
)
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
  image_size: str,
  mean: str,
  std: str,
  layouts: str,
  before_clip: bool,
  torch_device: str,
  images: str,
  split: str,
  data_dir: str,
  fit: str,
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
  """Describes units; see `milan_jax._src.options.Describe` for every option.

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
  check_choice("--encoder_precision", get_args(Rounding), encoder_precision)
  _check_numbers(
    seed=seed, temperature=temperature, consensus=consensus, save_every=save_every
  )
  how = Pass(k, quantile, probe_batch_size, workers, save_every)
  join_processes(coordinator, num_processes, process_id)
  with hold_together(workdir) as folder:
    # All that may be wrong is found out before a run is begun.
    outputs = Outputs(
      folder,
      exemplars=not (features or exemplars),
      features=not features,
      page=page and not features,
    )
    finished = bool(broadcast_from_primary(outputs.are_there()))
    if is_primary():
      read_run(folder)
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
    check_decodes(release, decoding, batch_size)
    check_search_fits(release, decoding, batch_size)
    encoder: Params | None = None
    if not features:
      encoder = encoder_params(
        release.encoder,
        release.params.get("encoder"),
        remedy="name a captioner that brings its encoder's weights (--milan)",
      )
    origin: Origin
    if features:
      if exemplars or images or latents:
        raise UserError(
          "--features: name no --exemplars, --images or --latents beside it."
        )
      origin = GivenFeatures(features, layers, units)
      _check_size(origin.store.feature_size, release)
    elif exemplars:
      if images or latents:
        raise UserError("--exemplars: name no --images and no --latents beside it.")
      origin = GivenExemplars(exemplars, layers, units)
    else:
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
        fit=fit,
        latents=latents,
      )
      chosen = subject.choose(layers, units, batch_size=probe_batch_size)
      origin = Probed(subject, chosen, how, model, weights, images)
    if not finished:
      wait_for_start(folder)
    captioner = of_captioner(release, encoder)
    identity = origin.identity(captioner, Tables(folder))
    known = read_run(folder)
    if known is not None:
      paths = {*_BY_CONTENT, "model"} if origin.is_file else _BY_CONTENT
      check_run(folder, known, options, identity=identity, paths=paths)
    path = folder / DESCRIPTIONS
    if finished and known is not None:
      if is_primary():
        say(f"{path}: everything is there, and nothing was left to do")
      return path
    if is_primary():
      known = known or begin_run(
        folder, options, identity, weights_from=origin.weights_from
      )
      identity.save_tables(folder)
    signal_start(folder)
    decoder = Decoder(release, decoding, batch_size=batch_size)
    job = job_of(cast(dict, known))
    try:
      found = origin.exemplars(folder, job)
    except TooFewImagesError:
      withdraw_run(folder)
      raise
    if found is None:
      store = cast(GivenFeatures, origin).store
    else:
      rounding = cast(Rounding, encoder_precision)
      store = _encode(release, encoder, found, folder, rounding)
    if not is_primary():
      for _ in decoder.stream(
        unit_batches(decoder, store, seed, broadcast_from_primary(0))
      ):
        pass  # the first process hears of them too, and writes them
      # Who left before it would end it: JAX waits for all at the end, but not for long.
      written = folder / (PAGE if page and found is not None else DESCRIPTIONS)
      wait_until(written.exists)
      return path
    journal = describe_units(
      decoder, _as_it_decodes(release, decoding), store, folder, seed
    )
    write_descriptions(path, journal)
    say(f"{path}: {len(journal)} units described")
    report_ties(journal)
    if page and found is not None:
      write_run_page(folder, found, journal, job)
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


def _check_numbers(*, seed: int, **others: float) -> None:
  for name, value in others.items():
    if not np.isfinite(value):
      raise UserError(f"--{name}={value}: expected a number.")
  limit = 2**31
  if not -limit <= seed < limit:
    raise UserError(f"--seed={seed}: expected {-limit} to {limit - 1}.")


def _check_size(feature_size: int, release: Release) -> None:
  if feature_size != release.feature_size:
    raise UserError(
      f"The features are of size {feature_size}, and the captioner takes "
      f"{release.feature_size}: they are of another encoder."
    )


def _encode(
  release: Release,
  params: Params | None,
  found: ExemplarSet,
  folder: pathlib.Path,
  rounding: Rounding,
) -> FeatureStore:
  encoder = region_encoder(release.encoder, params, rounding=rounding)
  _check_size(encoder.feature_size, release)
  if not is_primary():
    wait_until(lambda: features_are_finished(folder / FEATURES))
    return open_features(folder / FEATURES)
  with bar("features", "images") as show:
    return encode_exemplars(
      encoder.encode,
      found,
      folder / FEATURES,
      feature_size=encoder.feature_size,
      progress=show,
    )
