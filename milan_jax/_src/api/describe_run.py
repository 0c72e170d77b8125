"""A whole run of `milan-describe`: from options to a directory of descriptions."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, cast

from milan_jax._src.api.captioners import Captioner
from milan_jax._src.api.identity import of_captioner
from milan_jax._src.api.origins import GivenExemplars, GivenFeatures, Origin, Probed
from milan_jax._src.api.outputs import Outputs
from milan_jax._src.catalog.page import PAGE
from milan_jax._src.catalog.run_page import RunFacts, write_run_page
from milan_jax._src.decoding.decoder import TIE, Decoder
from milan_jax._src.decoding.unit_descriptions import unit_batches
from milan_jax._src.errors import UserError
from milan_jax._src.exemplars.shards import TooFewImagesError
from milan_jax._src.models.lowering import Rounding
from milan_jax._src.options.describe import DescribeOptions
from milan_jax._src.options.fields import changed, values_of
from milan_jax._src.probe.probe_target import open_target
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
from milan_jax._src.runs.progress import say
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

# Options whose content identifies them: they may be spelled otherwise.
_BY_CONTENT = (
  *("images", "exemplars", "features", "weights", "latents", "data_dir", "milan"),
  *("layers", "units"),
)
# Options of exemplars that say which folder is described, and what of it.
_OF_FOLDERS = ("--exemplars", "--features", "--layers", "--units")
# Options that may differ between the run that began and one that goes on.
_NOT_IN_RESULTS = (
  *("workdir", "page", "save_every", "workers", "torch_device", "list_layers"),
  "show",
  *("coordinator", "num_processes", "process_id"),
)


def describe(options: DescribeOptions) -> pathlib.Path:
  """Describes units, into a run directory.

  The same call with the same `workdir` resumes a stopped run and gives the same bytes
  as an uninterrupted run.

  Args:
    options: all of them.

  Returns:
    The path of `descriptions.csv`.

  Raises:
    UserError: an option names nothing, or the workdir is of another run.

  Example:
    >>> options = milan_jax.DescribeOptions.of(
    ...   features="features", milan="captioner", workdir="described"
    ... )
    >>> milan_jax.describe(options).name
    'descriptions.csv'
  """
  if not isinstance(options, DescribeOptions):
    raise UserError(
      f"describe: expected milan_jax.DescribeOptions; found a {type(options).__name__}."
    )
  run = options.run
  join_processes(run.coordinator or "", run.num_processes, run.process_id)
  with hold_together(run.workdir) as folder:
    return _describe(options, folder)


def _describe(options: DescribeOptions, folder: pathlib.Path) -> pathlib.Path:
  # All that may be wrong is found out before a run is begun.
  finished = bool(broadcast_from_primary(_outputs(options, folder).are_there()))
  if is_primary():
    read_run(folder)
  captioner = Captioner(
    load_milan(options.captioner.name),
    encoder_precision=cast(Rounding, options.captioner.encoder_precision),
  )
  decoding = captioner.resolve(options.decoding)
  encoder = None if options.exemplars.features else captioner.encoder_params
  origin = _origin(options, captioner)
  if not finished:
    wait_for_start(folder)
  identity = origin.identity(of_captioner(captioner.release, encoder), Tables(folder))
  config = values_of(options)
  config = {name: config[name] for name in config if name not in _NOT_IN_RESULTS}
  known = read_run(folder)
  if known is not None:
    paths = {*_BY_CONTENT, "model"} if origin.is_file else _BY_CONTENT
    check_run(folder, known, config, identity=identity, paths=paths)
  path = folder / DESCRIPTIONS
  if finished and known is not None:
    if is_primary():
      say(f"{path}: everything is there, and nothing is left to do")
    return path
  if is_primary():
    known = known or begin_run(
      folder, config, identity, weights_from=origin.weights_from
    )
    identity.save_tables(folder)
  signal_start(folder)
  job = job_of(cast(dict[str, Any], known))
  try:
    found = origin.exemplars(folder, job)
  except TooFewImagesError:
    withdraw_run(folder)
    raise
  store = _features(captioner, origin, found, folder)
  if not is_primary():
    _help_primary(
      captioner.decoder(decoding, options.decoding.batch_size), store, options
    )
    # Who left before it would end it: JAX waits for all at the end, but not for long.
    written = folder / (PAGE if options.run.page and found else DESCRIPTIONS)
    wait_until(written.exists)
    return path
  journal = captioner.describe_features(store, folder, decoding, options.decoding)
  write_descriptions(path, journal)
  say(f"{path}: {len(journal)} units described")
  report_ties(journal)
  if options.run.page and found is not None:
    write_run_page(folder, found, journal, _facts(options, job), store)
    say(f"{folder / PAGE}: the page")
  return path


def _outputs(options: DescribeOptions, folder: pathlib.Path) -> Outputs:
  given = options.exemplars
  return Outputs(
    folder,
    exemplars=not (given.features or given.folder),
    features=not given.features,
    page=options.run.page and not given.features,
  )


def _help_primary(
  decoder: Decoder, store: FeatureStore, options: DescribeOptions
) -> None:
  """Decodes this process's share of each batch; the primary process writes it."""
  seed, first = options.decoding.seed or 0, broadcast_from_primary(0)
  for _ in decoder.stream(unit_batches(decoder, store, seed, first)):
    pass


def report_ties(descriptions: Iterable[Description]) -> None:
  """Prints for how many units another description is as good, to the last digits."""
  margins = (entry.margin for entry in descriptions)
  ties = sum(margin is not None and margin < TIE for margin in margins)
  if ties:
    say(
      f"{ties} of them tie with another description within {TIE:g} nats; which of the "
      "two is chosen may depend on the batch and the machine"
    )


def _origin(options: DescribeOptions, captioner: Captioner) -> Origin:
  """What is described, found and checked."""
  given = options.exemplars
  if given.features:
    _refuse_beside("--features", options, exemplars=given.folder is not None)
    origin = GivenFeatures(given)
    captioner.check_features(origin.store)
    return origin
  if given.folder:
    _refuse_beside("--exemplars", options)
    return GivenExemplars(given)
  target = open_target(options.model, options.images)
  if options.decoding.parity and given.tail is None:
    given = dataclasses.replace(given, tail="upper")
  return Probed(target, target.choose(given), given)


def _refuse_beside(
  flag: str, options: DescribeOptions, *, exemplars: bool = False
) -> None:
  """Refuses options of a network and its images where neither is used."""
  ignored = [*changed(options.model), *changed(options.images)]
  ignored += ["--exemplars"] if exemplars else []
  ignored += [each for each in changed(options.exemplars) if each not in _OF_FOLDERS]
  if flag == "--features" and options.captioner.encoder_precision != "float32":
    ignored.append("--encoder_precision")
  if ignored:
    raise UserError(f"{flag}: leave out {' and '.join(ignored)}.")


def _features(
  captioner: Captioner,
  origin: Origin,
  found: ExemplarSet | None,
  folder: pathlib.Path,
) -> FeatureStore:
  if found is None:
    return cast(GivenFeatures, origin).store
  if is_primary():
    return captioner.encode(found, folder / FEATURES)
  wait_until(lambda: features_are_finished(folder / FEATURES))
  return open_features(folder / FEATURES)


def _facts(options: DescribeOptions, job: Mapping[str, Any]) -> RunFacts:
  given, images = options.exemplars.folder, options.images
  source = images.source or "packaged photographs"
  if images.latents:
    source = f"those that it makes of {images.latents}"
  return RunFacts(
    network=given or options.model.name,
    images="" if given else source,
    captioner=options.captioner.name,
    weights=job.get("weights_from", ""),
    demo=not (given or images.source or images.latents),
    parity=options.decoding.parity,
    source=json.dumps(dict(job), sort_keys=True),
  )
