"""What the inputs of a run are, by content: captioner, network, images or exemplars."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.images.latents import Latents
from milan_jax._src.images.source import Source, UnreadableImageError, read_input
from milan_jax._src.probe.jax_model import named_arrays
from milan_jax._src.probe.probe_target import ProbeTarget, Selection
from milan_jax._src.probe.trial_fingerprints import trial_summaries
from milan_jax._src.records import ExemplarSet
from milan_jax._src.runs.inputs import Identity, Input, Tables, of_contents, of_files
from milan_jax._src.runs.progress import bar, say
from milan_jax._src.store.exemplar_sets import exemplar_files
from milan_jax._src.store.feature_store import FeatureStore
from milan_jax._src.store.release import Params, Release

# Shares of a layer's scale by which its activations may differ from one machine to
# another: where the parameters are known to be the same, and where nothing else is.
_TOLERANCE, _TIGHT_TOLERANCE = 1e-2, 2e-3
# Files, and bytes, whose digests take so long that it is shown.
_MANY, _LARGE = 2000, 4 * 2**30


def of_captioner(release: Release, encoder: Params | None) -> Input:
  """All that decides what a captioner says.

  Args:
    release: the captioner.
    encoder: parameters of its encoder, wherever they come from; None if the features
      are made already.
  """
  specs = ("captioner", "language_model", "decoding", "confidence", "vocabulary")
  names = (*specs, "encoder") if encoder is not None else specs
  parts = {k: v for k, v in release.params.items() if k != "encoder"}
  if encoder is not None:
    parts["encoder"] = encoder

  def contents() -> Iterator[tuple[str, bytes | np.ndarray]]:
    for name in names:
      yield name, _spelled(getattr(release, name)).encode()
    if release.word_detectors is not None:
      yield "word_detectors", _spelled(release.word_detectors).encode()
    yield from named_arrays(parts)

  return of_contents("--milan", "parts of the captioner", contents())


# What later versions added to a release's parts: left out at its default, so that runs
# of earlier versions resume.
_LATER = {
  "EncoderSpec": ("pooling",),
  "ConfidenceSpec": ("evidence",),
  "WordDetectorSpec": ("hidden_layers", "members"),
  "Decoding": (
    *(
      "word_weight",
      "coverage",
      "floor",
      "lm_stop",
      "repeats",
      "guarded",
      "mi",
      "parity",
      "precision",
    ),
  ),
}


def _spelled(spec: Any) -> str:
  """The `repr` that earlier versions gave of a part of a release."""
  if not dataclasses.is_dataclass(spec):
    return repr(spec)
  kind = type(spec).__name__
  later = _LATER.get(kind, ())
  fields = dataclasses.fields(spec)
  first = [field.name for field in fields if field.name not in later]
  if kind == "Decoding":
    first = ["strategy", "length", "beam_size", "temperature", "consensus", "nothing"]
    kind = "DecodingSpec"
  defaults = {field.name: field.default for field in fields}
  changed = [name for name in later if getattr(spec, name) != defaults[name]]
  values = (f"{name}={getattr(spec, name)!r}" for name in (*first, *changed))
  return f"{kind}({', '.join(values)})"


def of_units(table: Mapping[str, Sequence[Any]]) -> Input:
  """The units that are described.

  Args:
    table: of each layer, its units and how it is read: JSON values.
  """
  rows = ((name, json.dumps(row).encode()) for name, row in table.items())
  return of_contents("--layers, --units", "layers", rows)


def of_target(
  target: ProbeTarget,
  selection: Selection,
  *,
  batch_size: int,
  tables: Tables,
  others: Mapping[str, Input],
) -> Identity:
  """A network and what it is shown.

  Args:
    target: the two.
    selection: what of it is described.
    batch_size: images that go through one device together.
    tables: of the run directory, which know files.
    others: further inputs, whose change is reported first.
  """
  model, weights = target.model.name, target.model.weights
  found = dict(others)
  probe = target.network.probe
  named = ":" in model
  question = "if it was not retrained, it is made at random and not seeded"
  parameters = of_contents(
    f"--weights={weights}" if weights else f"--model={model}",
    "parameters",
    getattr(probe, "parameters", tuple)(),
    question=question if named and not weights else "",
  )
  if parameters.names:
    found["parameters"] = parameters
  if target.files:
    found["model"] = of_files(
      f"--model={model}",
      "files of the model",
      target.files,
      known=tables.known("model"),
    )
  shapes = {shape.name: shape for shape in probe.layers()}
  found["units"] = of_units(
    {
      name: [units.tolist(), *shapes[name].raw[1:], shapes[name].layout]
      for name, units in selection.units.items()
    }
  )
  geometry = repr(target.network.geometry).encode()
  found["preparation"] = of_contents(
    f"--model={model}", "settings", [("how its images are prepared", geometry)]
  )
  if isinstance(target.inputs, Latents):
    digest = target.inputs.sha256().encode()
    found["latents"] = of_contents("--latents", "latents", [("the latents", digest)])
  else:
    found["images"] = _of_images(target.inputs, target.shown.source or "", tables)
  answers = _answers(target, selection, batch_size) if named else {}
  known = "parameters" in found or "model" in found
  return Identity(found, answers, model, _TOLERANCE if known else _TIGHT_TOLERANCE)


def _answers(
  target: ProbeTarget, selection: Selection, batch_size: int
) -> dict[str, list[float]]:
  """Statistics of each layer's activations on a trial batch."""
  answers = dict(selection.answers)
  if len(answers) == len(selection.units):
    return answers
  return trial_summaries(
    target.network.probe,
    target.inputs,
    tuple(selection.units),
    batch_size=batch_size,
    model=target.model.name,
  )


def _of_images(source: Source, images: str, tables: Tables) -> Input:
  if not images and not hasattr(source, "files"):
    # A source made in code: what it gives is all there is.
    contents = ((source.name(i), _content(source, i)) for i in range(len(source)))
    return of_contents("images", "images", contents)
  # Of arrays, the file is all there is.
  files = getattr(source, "files", lambda: [("the array", pathlib.Path(images))])()
  known = tables.known("images")
  option = "--images" if images else "the packaged photographs"
  if len(files) < _MANY:
    if sum(path.stat().st_size for _, path in files if path.is_file()) > _LARGE:
      say("the images' files are read once, to tell whether they change")
    return of_files(option, "pictures", files, known=known)
  with bar("digests", "files") as show:
    return of_files(option, "pictures", files, known=known, progress=show)


def _content(source: Source, index: int) -> np.ndarray | bytes:
  try:
    return read_input(source, index)
  except UnreadableImageError as error:
    return str(error).encode()


def of_stored(
  captioner: Input, stored: ExemplarSet | FeatureStore, tables: Tables
) -> Identity:
  """A captioner with exemplars or features on disk, and the units in them.

  Args:
    captioner: the captioner's entry.
    stored: the exemplars or features.
    tables: of the run directory, which know files.

  Raises:
    UserError: if the exemplars are not on disk.
  """
  found = {"captioner": captioner}
  if isinstance(stored, FeatureStore):
    units: dict[str, list[int]] = {}
    for unit, _ in stored.units(0, len(stored)):
      units.setdefault(unit.layer, []).append(unit.index)
    name, files = "features", stored.files()
  else:
    folder = getattr(stored, "folder", None)
    if folder is None:
      raise UserError(
        "workdir: these exemplars are not on disk, so a later call could not recognize "
        "them; leave workdir out, or collect them with a workdir."
      )
    units = {layer: stored.exemplars(layer).units.tolist() for layer in stored.layers}
    name, files = "exemplars", exemplar_files(folder)
  found["units"] = of_units(units)
  found[name] = of_files(f"--{name}", "files", files, known=tables.known(name))
  return Identity(found)
