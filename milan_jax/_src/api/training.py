"""Training a captioner from Python."""

import os

from milan_jax._src.api.captioners import Captioner, load
from milan_jax._src.errors import UserError
from milan_jax._src.options.train import TrainOptions
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
      the data sets of MILANNOTATIONS have it.
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
  given = {"exemplars": os.fspath(exemplars), "workdir": os.fspath(workdir)}
  options = (options or TrainOptions()).replace(**given)
  return load(training_run.train(options))
