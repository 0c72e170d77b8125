"""Training a captioner from Python."""

import os

from milan_jax._src.api.captioners import Captioner, load
from milan_jax._src.errors import UserError
from milan_jax._src.options.train import TrainOptions
from milan_jax._src.store.milannotations import has_names
from milan_jax._src.training import training_run


def train(
  exemplars: str | os.PathLike[str],
  *,
  workdir: str | os.PathLike[str],
  options: TrainOptions | None = None,
) -> Captioner:
  """Trains a captioner and its language model on annotated exemplars.

  The same call resumes a stopped one.

  Args:
    exemplars: a folder of exemplars with `annotations.csv`, as `write_original` and
      the data sets of MILANNOTATIONS have it; or several, comma-separated, or networks
      and groups of MILANNOTATIONS by name, such as `base`, unless a folder in the
      working directory has that name.
    workdir: a run directory: the released captioner is its folder `milan`.
    options: sizes, optimizer, release; the defaults are the paper's.

  Returns:
    The captioner.

  Raises:
    UserError: the options or the annotations do not fit, or the workdir is of another
      run.

  Example:
    >>> options = milan_jax.TrainOptions.of(hidden_size=16, max_epochs=1)
    >>> captioner = milan_jax.train("annotated", workdir="training", options=options)
  """
  if not isinstance(exemplars, str | os.PathLike):
    raise UserError(
      "train: expected a folder of annotated exemplars; found a "
      f"{type(exemplars).__name__}."
    )
  if options is not None and not isinstance(options, TrainOptions):
    raise UserError(
      "options: expected TrainOptions, such as milan_jax.TrainOptions.of(seed=1); "
      f"found a {type(options).__name__}."
    )
  given = os.fspath(exemplars)
  flag = "data" if has_names(given) else "exemplars"
  options = (options or TrainOptions()).replace(
    **{flag: given, "workdir": os.fspath(workdir)}
  )
  return load(training_run.train(options))
