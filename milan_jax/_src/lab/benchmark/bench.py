"""`milan-bench`: measures the requested configurations one after another."""

import importlib.util
import itertools
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import write_json
from milan_jax._src.lab.benchmark import compiled, programs
from milan_jax._src.lab.benchmark import table as report
from milan_jax._src.lab.benchmark.driver import race
from milan_jax._src.lab.benchmark.measurements import Row, make_rows
from milan_jax._src.lab.benchmark.peaked import (
  abstract_release,
  peaked_release,
  random_features,
)
from milan_jax._src.lab.benchmark.plot import check_plot, draw
from milan_jax._src.lab.benchmark.spec import (
  CTRANSLATE2,
  HOISTED,
  JAX_BEAM,
  OTHERS,
  OURS,
  TEXTBOOK,
  TORCH,
  Spec,
)
from milan_jax._src.lab.benchmark.targets import target_devices
from milan_jax._src.options.decoding import PRECISIONS
from milan_jax._src.options.lab import BenchOptions
from milan_jax._src.runs.progress import say
from milan_jax._src.store.feature_store import open_features
from milan_jax._src.store.pretrained import load_milan
from milan_jax._src.store.release import Release, save_release

STRATEGIES = ("greedy", "beam", "rerank")
PEAKED = "peaked"


def bench(options: BenchOptions) -> list[Row]:
  """Measures decoding.

  Args:
    options: all options of the command.

  Returns:
    A row of figures for each configuration.

  Raises:
    UserError: if an option is wrong, or a contender's process died.
  """
  if options.compile_for is not None:
    return _compile(options, options.compile_for)
  if options.programs is not None:
    raise UserError("--programs: only --compile_for uses it; leave it out.")
  grid = _grid(options)
  kinds = _words("--dtypes", options.dtypes, PRECISIONS)
  counts = _numbers("--devices", options.devices)
  sizes = _numbers("--vocabs", options.vocabs)
  _check_rounds(options)
  _check_devices(counts)
  others = _against(options.against)
  earlier = report.read_rows(pathlib.Path(options.compare)) if options.compare else []
  check_plot(options.plot or "")
  on_cpu = jax.default_backend() == "cpu"
  contenders = [
    *((OURS, dtype, count) for dtype in kinds for count in counts),
    *(
      (other, dtype, 1)
      for other in others
      # On a CPU the others gain nothing from narrow products, or have none.
      for dtype in (("float32",) if on_cpu and other != JAX_BEAM else kinds)
    ),
  ]
  rows: list[Row] = []
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    for release, array in _captioners(
      options.milan,
      options.features or "",
      vocabs=sizes,
      hidden_size=options.hidden_size,
      units=max(grid["batch"]),
      strategies=grid["strategy"],
      folder=folder,
    ):
      vocab = release.captioner.vocab_size
      for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        specs = [
          _spec(contender, chosen, folder, array, options.cores)
          for contender in contenders
        ]
        say(" ".join(f"{k} {v}" for k, v in chosen.items()) + f" vocab {vocab} ...")
        outcomes = race(specs, rounds=options.rounds, folder=folder, together=on_cpu)
        rows += make_rows(
          outcomes,
          milan=options.milan,
          vocab=vocab,
          stop_id=len(release.vocabulary) + 1,
        )
        if options.json:
          # Keeps the finished rows if the run is stopped.
          write_json(options.json, rows)
  _show(rows, earlier, options.plot)
  return rows


def _compile(options: BenchOptions, target: str) -> list[Row]:
  """Compiles for absent devices; prints the table and writes the rows."""
  # An accelerator of this machine is not needed, and could be busy. Without one, JAX's
  # plugin for CUDA registers its compiler only if no GPU is asked for.
  jax.config.update("jax_platforms", "cpu")
  unused = {
    "--plot": options.plot,
    "--compare": options.compare,
    "--features": options.features,
    "--devices": options.devices != "1",
    "--against": options.against not in ("auto", "none"),
  }
  for flag, given in unused.items():
    if given:
      raise UserError(f"{flag}: --compile_for runs nothing and does not use it.")
  sizes = _numbers("--vocabs", options.vocabs)
  for vocab in sizes:
    _check_vocab(vocab)
  if options.milan == PEAKED:
    releases = [
      abstract_release(vocab_size=vocab, hidden_size=options.hidden_size)
      for vocab in sizes
    ]
  else:
    releases = [load_milan(options.milan)]
  grid = programs.Grid(
    programs=_words(
      "--programs", options.programs or ",".join(programs.NAMES), programs.NAMES
    ),
    strategies=_words(
      "--strategies", options.strategies or ",".join(STRATEGIES), STRATEGIES
    ),
    batches=_numbers("--batches", options.batches or "64"),
    beams=_numbers("--beams", options.beams),
    lengths=_numbers("--lengths", options.lengths),
    dtypes=_words("--dtypes", options.dtypes, PRECISIONS),
  )
  devices = target_devices(target)
  rows: list[Row] = []
  for release in releases:
    for program in programs.programs(release, grid, devices):
      say(f"compiling {program} for {target} ...")
      rows.append(compiled.compile_program(program, target, milan=options.milan))
      if options.json:
        write_json(options.json, rows)
  print(compiled.heading(target, devices))
  print(compiled.table(rows))
  return rows


def _grid(options: BenchOptions) -> dict[str, tuple[Any, ...]]:
  return {
    "strategy": _words(
      "--strategies", options.strategies or "greedy,rerank", STRATEGIES
    ),
    "batch": _numbers("--batches", options.batches or "1,16,64"),
    "beam": _numbers("--beams", options.beams),
    "length": _numbers("--lengths", options.lengths),
  }


def _spec(
  contender: tuple[str, str, int],
  chosen: Mapping[str, Any],
  folder: pathlib.Path,
  features: pathlib.Path,
  cores: int,
) -> Spec:
  name, dtype, devices = contender
  return Spec(
    contender=name,
    release=str(folder / "release"),
    features=str(features),
    dtype=dtype,
    devices=devices,
    cores=cores,
    **chosen,
  )


def _check_rounds(options: BenchOptions) -> None:
  if options.rounds < 1 or options.cores < 0:
    raise UserError(
      f"--rounds: expected 1 or more, found {options.rounds}; --cores: 0 or more, "
      f"{options.cores}."
    )


def _show(rows: list[Row], earlier: list[Row], plot: str | None) -> None:
  """Prints the table, ties and the comparison with an earlier run; draws the plot."""
  print(report.table(rows))
  for row in rows:
    if row["ties"]:
      say(f"{row['ties']} captions tie with another within 1e-5 at {row['dtype']}")
  if earlier:
    print(report.compare(rows, earlier))
  if plot:
    draw(rows, pathlib.Path(plot))


def _captioners(
  milan: str,
  features: str,
  *,
  vocabs: Sequence[int],
  hidden_size: int,
  units: int,
  strategies: Sequence[str],
  folder: pathlib.Path,
) -> Iterator[tuple[Release, pathlib.Path]]:
  """Yields each captioner, saved in `folder`, with a file of features for it."""
  path = folder / "features.npy"
  if milan == PEAKED:
    for vocab in vocabs:
      _check_vocab(vocab)
      say(f"creating peaked random weights for {vocab} tokens ...")
      release = peaked_release(vocab_size=vocab, hidden_size=hidden_size)
      save_release(release, folder / "release")
      np.save(path, random_features(units, release.feature_size, seed=0))
      yield release, path
    return
  release = load_milan(milan)
  if "rerank" in strategies and release.language_model is None:
    raise UserError(
      f"--strategies: {milan} has no language model, which rerank needs; use greedy "
      "or beam."
    )
  save_release(release, folder / "release")
  size = release.feature_size
  if features:
    found = open_features(features).read(0, units)
    if found.shape[2] != size:
      raise UserError(
        f"--features: {features} has features of size {found.shape[2]}, but "
        f"{milan} expects {size}."
      )
    if len(found) < units:
      raise UserError(
        f"--features: {features} has {len(found)} units, but --batches needs {units}."
      )
  else:
    say("no --features: decoding random features, so the captions are meaningless")
    found = random_features(units, size, seed=0)
  np.save(path, found)
  yield release, path


def _check_vocab(vocab: int) -> None:
  if vocab < 64:
    raise UserError(f"--vocabs: expected 64 or more; found {vocab}.")


def _words(flag: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
  found = tuple(word.strip() for word in text.split(",") if word.strip())
  unknown = set(found) - set(known)
  if unknown or not found:
    raise UserError(
      f"{flag}: expected some of {', '.join(known)}, comma-separated; found {text!r}."
    )
  return found


def _numbers(flag: str, text: str) -> tuple[int, ...]:
  try:
    found = tuple(int(word) for word in text.split(","))
  except ValueError:
    found = ()
  if not found or min(found) < 1:
    raise UserError(
      f"{flag}: expected whole numbers from 1 on, comma-separated; found {text!r}."
    )
  return found


def _check_devices(counts: Sequence[int]) -> None:
  """Checks the device counts; a CPU can simulate any number of devices."""
  platform, present = jax.default_backend(), jax.device_count()
  if platform != "cpu" and max(counts) > present:
    raise UserError(
      f"--devices: {max(counts)} requested; this machine has {present} ({platform})."
    )


def _against(text: str) -> tuple[str, ...]:
  """Returns the named contenders; by default the eager ones if torch is installed."""
  has_torch = importlib.util.find_spec("torch") is not None
  if text == "auto":
    return (TEXTBOOK, HOISTED) if has_torch else ()
  if text == "none":
    return ()
  found = _words("--against", text, OTHERS)
  if not has_torch and set(found) & set(TORCH):
    raise UserError(
      f"--against={text} needs torch: pip install 'milan-jax[torch]', or use "
      "--against=none."
    )
  if CTRANSLATE2 in found and importlib.util.find_spec("ctranslate2") is None:
    raise UserError(
      f"--against={text} needs CTranslate2: pip install ctranslate2, or leave it out."
    )
  return found
