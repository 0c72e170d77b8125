"""What the inputs of a run are, by content: captioner, network, images or exemplars."""

import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from milan_jax.errors import UserError
from milan_jax.images.latents import Latents
from milan_jax.images.source import Source
from milan_jax.pipeline.progress import bar
from milan_jax.pipeline.subject import Subject
from milan_jax.probe.jax_generator import JaxGenerator
from milan_jax.probe.jax_model import JaxProbe, named_arrays
from milan_jax.probe.protocol import Probe
from milan_jax.records import ExemplarSet
from milan_jax.store.feature_store import FeatureStore
from milan_jax.store.inputs import Identity, Input, Tables, of_contents, of_files
from milan_jax.store.release import Params, Release

# Shares of a layer's scale by which its activations may differ from one machine to
# another: where the parameters are known to be the same, and where nothing else is.
_TOLERANCE, _TIGHT_TOLERANCE = 1e-2, 1e-3
# Images of a trial batch that are looked at.
_LOOKED_AT = 2
_PROJECTIONS = 4
# Its square is still a number.
_HUGE = 1e100
# Files whose digests take so long that a bar is shown.
_MANY = 2000

Units = Mapping[str, Int[np.ndarray, "_"]]


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
      yield name, repr(getattr(release, name)).encode()
    yield from named_arrays(parts)

  return of_contents("--milan", "parts of the captioner", contents())


def of_units(table: Mapping[str, Sequence[Any]]) -> Input:
  """The units that are described.

  Args:
    table: of each layer, its units and how it is read: JSON values.
  """
  rows = ((name, json.dumps(row).encode()) for name, row in table.items())
  return of_contents("--layers, --units", "layers", rows)


def of_subject(
  subject: Subject,
  chosen: Units,
  *,
  model: str,
  weights: str,
  images: str,
  batch_size: int,
  tables: Tables,
  others: Mapping[str, Input],
) -> Identity:
  """A network and what it is shown.

  Args:
    subject: the two.
    chosen: the units of each layer.
    model: what the user wrote to name the network.
    weights: path of its weights, if the user gave any.
    images: what the user wrote to name the images.
    batch_size: images that go through one device together.
    tables: of the run directory, which know files.
    others: further inputs, whose change is said first.
  """
  found = dict(others)
  probe = subject.network.probe
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
  if subject.files:
    found["model"] = of_files(
      f"--model={model}",
      "files of the model",
      subject.files,
      known=tables.known("model"),
    )
  shapes = {shape.name: shape for shape in probe.layers()}
  found["units"] = of_units(
    {
      name: [units.tolist(), *shapes[name].raw[1:], shapes[name].layout]
      for name, units in chosen.items()
    }
  )
  geometry = repr(subject.network.geometry).encode()
  found["preparation"] = of_contents(
    f"--model={model}", "settings", [("how its images are prepared", geometry)]
  )
  if isinstance(subject.inputs, Latents):
    digest = subject.inputs.sha256().encode()
    found["latents"] = of_contents("--latents", "latents", [("the latents", digest)])
  else:
    found["images"] = _of_images(subject.inputs, images, tables)
  answers: dict[str, list[float]] = {}
  if named:
    arrays = _trial(probe, subject.inputs, tuple(chosen), batch_size, model)
    looked_at = min(_LOOKED_AT, batch_size)
    answers = {
      name: summary(np.asarray(array)[:looked_at]) for name, array in arrays.items()
    }
  known = "parameters" in found or "model" in found
  return Identity(found, answers, model, _TOLERANCE if known else _TIGHT_TOLERANCE)


def _of_images(source: Source, images: str, tables: Tables) -> Input:
  # Of arrays, the file is all there is.
  files = getattr(source, "files", lambda: [("the array", pathlib.Path(images))])()
  known = tables.known("images")
  option = "--images" if images else "the packaged photographs"
  if len(files) < _MANY:
    return of_files(option, "pictures", files, known=known)
  with bar("digests", "files") as show:
    return of_files(option, "pictures", files, known=known, progress=show)


def summary(activations: Float[np.ndarray, "batch height width units"]) -> list[float]:
  """A few numbers of a layer's activations, which nearly any change of them changes.

  Args:
    activations: of a trial batch.

  Returns:
    The root of their mean square, the layer's scale; then random projections of the
    units' means, root mean squares and sums with random signs, each of about that
    scale.
  """
  wide = np.asarray(activations, np.float64)
  finite = np.clip(np.nan_to_num(wide, posinf=0.0, neginf=0.0), -_HUGE, _HUGE)
  flat = finite.reshape(-1, finite.shape[-1])
  rng = np.random.default_rng(0)
  places = rng.choice([-1.0, 1.0], len(flat)) / np.sqrt(len(flat))
  units = rng.choice([-1.0, 1.0], (_PROJECTIONS, flat.shape[1]))
  squares = np.mean(flat**2, axis=0)
  about = np.stack([flat.mean(0), np.sqrt(squares), places @ flat])
  projected = about @ units.T / np.sqrt(flat.shape[1])
  numbers = [np.sqrt(squares.mean()), *projected.ravel()]
  return [float(f"{number:.6e}") for number in numbers]


def _trial(
  probe: Probe, source: Source, layers: tuple[str, ...], batch_size: int, model: str
) -> Mapping[str, Any]:
  """The activations for a batch that is the same for all models of its inputs."""
  size = min(_LOOKED_AT, batch_size)
  if isinstance(probe, JaxProbe | JaxGenerator):
    size = batch_size  # what the run compiles, and nothing else
  blank = source.blank
  rng = np.random.default_rng(0)
  batch = np.broadcast_to(blank, (size * probe.num_devices, *blank.shape)).copy()
  if isinstance(source, Latents):
    batch["latent"] = rng.standard_normal(batch["latent"].shape)
  else:
    coarse = rng.integers(0, 256, (len(batch), 8, 8, *blank.shape[2:]), np.uint8)
    rows, columns = (np.arange(side) * 8 // side for side in blank.shape[:2])
    batch[:] = coarse[:, rows][:, :, columns]
  try:
    return probe.activations(batch, layers)
  except UserError:
    raise
  except Exception as error:  # whatever the user's model raises
    lines = str(error).strip().splitlines() or [""]
    words = lines[0] if len(lines) == 1 else f"{lines[0]} ... {lines[-1]}"
    raise UserError(
      f"--model={model} fails on a trial batch of {len(batch)} inputs "
      f"({type(error).__name__}: {words}): mend it, or try another "
      "--probe_batch_size."
    ) from error


def of_exemplars(
  found: ExemplarSet, files: Sequence[tuple[str, pathlib.Path]], tables: Tables
) -> dict[str, Input]:
  """A directory of exemplars, and the units of it that are described."""
  units = {name: found.exemplars(name).units.tolist() for name in found.layers}
  known = tables.known("exemplars")
  return {
    "units": of_units(units),
    "exemplars": of_files("--exemplars", "files", files, known=known),
  }


def of_features(store: FeatureStore, tables: Tables) -> dict[str, Input]:
  """A folder of features, and the units of it that are described."""
  units: dict[str, list[int]] = {}
  for unit, _ in store.units(0, len(store)):
    units.setdefault(unit.layer, []).append(unit.index)
  return {
    "units": of_units(units),
    "features": of_files(
      "--features", "files", store.files(), known=tables.known("features")
    ),
  }
