"""From a model and images to exemplars."""

import dataclasses
import os
import pathlib
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from milan_jax._src.api.collection import find_exemplars
from milan_jax._src.api.identity import of_target
from milan_jax._src.api.origins import Probed
from milan_jax._src.errors import UserError, arguments, did_you_mean
from milan_jax._src.images.arrays import ArrayImages
from milan_jax._src.images.fitted import FittedSource
from milan_jax._src.images.image_sources import report_fitting
from milan_jax._src.images.latents import open_latents
from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.images.sampled_levels import levels_notice
from milan_jax._src.images.source import ImageSource
from milan_jax._src.images.source_checks import check_source
from milan_jax._src.options.describe import ExemplarOptions, ImageOptions, ModelOptions
from milan_jax._src.options.fields import as_text, options_of
from milan_jax._src.probe.model_kinds import network_from
from milan_jax._src.probe.model_options import ModelRequest, Network
from milan_jax._src.probe.networks import open_network
from milan_jax._src.probe.probe_target import ProbeTarget, open_target, target_of
from milan_jax._src.probe.protocol import Generator
from milan_jax._src.runs.inputs import Tables
from milan_jax._src.runs.locks import hold
from milan_jax._src.runs.processes import is_primary
from milan_jax._src.runs.progress import say
from milan_jax._src.runs.workdir import begin_or_resume, job_of
from milan_jax._src.store.exemplar_sets import open_exemplars
from milan_jax._src.store.exemplar_store import StoredExemplars

Images = (
  str
  | os.PathLike[str]
  | ImageSource
  | UInt8[np.ndarray, "images height width channels"]
)


def probe(
  model: Any,
  variables: Any = None,
  *,
  preprocessing: Preprocessing | None = None,
  latents: str | os.PathLike[str] | None = None,
  **options: Any,
) -> Network:
  """Makes a model's layers readable.

  Args:
    model: a Flax Linen module with its `variables`; a Flax NNX module; a torch module
      or exported program; a function of a batch of images; a `Probe`; or what
      `--model` takes: a backbone's name, an ONNX file, `transformers:NAME`,
      `package.module:name`. A path is a file or folder of these.
    variables: of a Linen module.
    preprocessing: how the images are prepared for the model: sizes, mean and standard
      deviation. None takes the model's own or, where it has none, ImageNet's at 224.
    latents: for a generator: an .npz file of its latents, and classes.
    options: as the flags of these names: `weights`, `image_size`, `mean`, `std`,
      `layouts`, `before_clip`, `torch_device`, `image_range`. Paths, numbers, lists
      and, for `layouts`, a mapping are accepted in place of texts.

  Returns:
    The network: `network.probe.layers()` lists its layers.

  Raises:
    UserError: no such model, or something that it does not fit.

  Example:
    >>> network = milan_jax.probe(
    ...   module, variables, preprocessing=milan_jax.Preprocessing.of(size=32)
    ... )
    >>> [layer.name for layer in network.probe.layers()]
    ['conv1', 'conv2', '__call__']
  """
  if isinstance(model, os.PathLike):
    model = os.fspath(model)
  name = model if isinstance(model, str) else _label(model)
  options = _checked_options(options, preprocessing)
  named = ModelOptions(name=name, **options)
  request = ModelRequest(
    name=name,
    **options,
    latents=None if latents is None else open_latents(pathlib.Path(latents)),
    prepared=preprocessing,
  )
  if preprocessing is not None and (request.mean or request.std or request.image_size):
    raise UserError("probe: give preprocessing, or image_size, mean and std; not both.")
  if isinstance(model, str):
    if variables is not None:
      raise UserError("probe: variables are for a Flax Linen module, not for a name.")
    network = open_network(request)
  else:
    found = model if variables is None else (model, variables)
    network = network_from(found, request).weights_from("as they were given")
  return dataclasses.replace(network, options=named)


@arguments(probe_batch_size="batch_size")
def collect(
  network: Network,
  images: Images | None = None,
  *,
  layers: str | Iterable[str] | None = None,
  units: str | Iterable[int] | None = None,
  k: int = 15,
  quantile: float = 0.99,
  tail: str | None = None,
  batch_size: int = 32,
  workdir: str | os.PathLike[str] | None = None,
) -> StoredExemplars:
  """Shows a network images and keeps each unit's exemplars, in one pass.

  Args:
    network: as `probe` returns it.
    images: a folder of pictures, an .npy or .npz file, `tfds:NAME`, `hf:FOLDER`, an
      array, or a source of images; None for the packaged photographs.
      For a generator, the .npz file of its latents.
    layers: names, globs or indices; None for the network's default layers.
    units: their indices in each layer, or a text such as `0:64` or `all`; None for
      all, but the first 32 of the packaged photographs.
    k: exemplars per unit.
    quantile: quantile of a unit's activations that masks exceed.
    tail: "upper" for what raises a unit, as the original, "lower" for what lowers it,
      "both" for a row of each; None or "auto" for what lowers a unit that rests at its
      maximum, and what raises any other.
    batch_size: images that go through one device together.
    workdir: a run directory: the exemplars are kept there, in `exemplars/`, and the
      same call resumes a stopped one. None keeps them in a temporary folder as long as
      the exemplars are in use.

  Returns:
    The exemplars.

  Raises:
    UserError: no such layer or unit, too few images, a layer whose numbers depend on
      chance or on the batch, or a workdir of another run.

  Example:
    >>> exemplars = milan_jax.collect(network, images, layers=["conv2"], k=5)
    >>> exemplars.exemplars("conv2").image_ids.shape
    (8, 5)
  """
  _check_network(network)
  options = ExemplarOptions(
    layers=joined("layers", layers),
    units=joined("units", units),
    k=k,
    quantile=quantile,
    tail=tail,
    batch_size=batch_size,
  )
  target = _target(network, images)
  origin = Probed(target, target.choose(options), options)
  if workdir is not None:
    with hold(workdir) as folder:
      return _collect(origin, folder)
  return _collect_for_now(origin)


def _check_network(network: object) -> None:
  if not isinstance(network, Network):
    raise UserError(
      "network: expected what milan_jax.probe returns; found a "
      f"{type(network).__name__}: give milan_jax.probe(...) of it."
    )


def _collect_for_now(origin: Probed) -> StoredExemplars:
  """Collects into a folder that is removed when the exemplars are no longer used."""
  folder = pathlib.Path(tempfile.mkdtemp(prefix="milan-jax-"))
  try:
    found = _collect(origin, folder)
  except BaseException:
    shutil.rmtree(folder, ignore_errors=True)
    raise
  weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
  return found


def _collect(origin: Probed, folder: pathlib.Path) -> StoredExemplars:
  options, target = origin.options, origin.target
  config = {
    "model": target.model.name,
    "images": target.shown.source,
    "latents": target.shown.latents,
    "k": options.k,
    "quantile": options.quantile,
    "tail": options.tail,
    "probe_batch_size": options.batch_size,
  }
  identity = of_target(
    target,
    origin.selection,
    batch_size=options.batch_size,
    tables=Tables(folder),
    others={},
  )
  known = begin_or_resume(
    folder, config, identity=identity, paths=("model", "images", "latents")
  )
  units = origin.selection.units
  store = find_exemplars(target, folder, units=units, how=options, job=job_of(known))
  found = open_exemplars(store)
  assert isinstance(found, StoredExemplars), "a native store was written"
  return found


def _target(network: Network, images: Any) -> ProbeTarget:
  model = network.options or ModelOptions(name=_label(network.probe))
  if images is None or isinstance(images, str | os.PathLike):
    name = None if images is None else os.fspath(images)
    if isinstance(network.probe, Generator):
      return open_target(model, ImageOptions(latents=name), network)
    return open_target(model, ImageOptions(source=name), network)
  if isinstance(images, jax.Array):
    images = np.asarray(images)
  if isinstance(images, np.ndarray):
    images = ArrayImages(images, network.geometry)
  if isinstance(images, FittedSource):
    report_fitting(images)
  if not isinstance(images, ImageSource):
    raise UserError(
      "images: expected a path, an array of uint8 images or a source of images; found "
      f"a {type(images).__name__}{_as_array(images)}."
    )
  if not isinstance(images, ArrayImages):
    check_source(images, network.geometry)
  notice = "" if isinstance(images, FittedSource) else levels_notice(images)
  if notice and is_primary():
    say(notice)
  return target_of(network, images, model=model, shown=ImageOptions())


def _as_array(images: object) -> str:
  """How to make an array of what holds images."""
  if type(images).__module__ == "torch":
    return ": give images.cpu().numpy()"
  if isinstance(images, Iterable) and not isinstance(images, Mapping):
    return ": give np.stack(list(images)) of images of one size"
  return ""


def _label(model: Any) -> str:
  """What messages call a model that was given as an object."""
  kind = model if isinstance(model, type) else type(model)
  name = getattr(model, "__name__", kind.__name__)
  return f"{kind.__module__}:{name}"


def joined(name: str, items: str | Iterable[Any] | None) -> str | None:
  """Layers or units as the options take them: a text; None for all or the default.

  Raises:
    UserError: there are none, or `items` is something else.
  """
  if items is None or isinstance(items, str):
    return items
  if not isinstance(items, Iterable) or isinstance(items, bytes):
    raise UserError(f"{name}: expected a list or a text; found {items!r}.")
  given = sorted(items) if isinstance(items, frozenset | set) else list(items)
  if not given:
    raise UserError(f"{name}: expected at least one; None takes the default.")
  if any(isinstance(item, bool | np.bool_) for item in given):
    raise UserError(
      f"{name}: expected names or indices; found {given[0]!r}: of a mask, give "
      "np.flatnonzero(mask)."
    )
  return ",".join(map(str, given))


def _checked_options(
  options: Mapping[str, Any], preprocessing: object
) -> dict[str, Any]:
  """Options as texts.

  Raises:
    UserError: one that `ModelOptions` does not have, or other preprocessing.
  """
  kinds = {one.field: one for one in options_of(ModelOptions).values()}
  known = set(kinds) - {"name"}
  unknown = sorted(set(options) - known)
  if unknown:
    raise UserError(
      f"probe: expected options among {', '.join(sorted(known))}; found "
      f"{', '.join(unknown)}.{did_you_mean(unknown[0], known)}"
    )
  if preprocessing is not None and not isinstance(preprocessing, Preprocessing):
    raise UserError(
      "preprocessing: expected a milan_jax.Preprocessing, such as "
      f"milan_jax.Preprocessing.of(size=224); found {preprocessing!r}."
    )
  return {name: as_text(kinds[name], value) for name, value in options.items()}
