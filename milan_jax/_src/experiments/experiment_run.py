"""The run directory of an experiment: its options, and its inputs by content."""

import pathlib
from collections.abc import Mapping, Sequence

from milan_jax._src.experiments.encoded_sets import ExperimentSet
from milan_jax._src.experiments.trained_trial import TrialEncoder
from milan_jax._src.options.experiments import GeneralizeOptions, SweepOptions
from milan_jax._src.options.fields import values_of
from milan_jax._src.records import Unit
from milan_jax._src.runs.inputs import Tables
from milan_jax._src.runs.workdir import open_workdir
from milan_jax._src.training.train_milan import recorded
from milan_jax._src.training.training_inputs import of_training

# Options whose inputs are compared by content.
_BY_CONTENT = ("data", "data_root", "encoder_weights")


def open_experiment(
  folder: pathlib.Path,
  options: GeneralizeOptions | SweepOptions,
  sets: Mapping[str, ExperimentSet],
  encoder: TrialEncoder,
  *,
  changeable: Sequence[str],
) -> None:
  """Begins a run directory, or checks that it holds the same run.

  Args:
    folder: the run directory.
    options: all options of the command.
    sets: the annotated networks.
    encoder: the encoder.
    changeable: names of the options that may differ when the run is resumed.

  Raises:
    UserError: if the directory holds another run; the message names the difference.
  """
  known: dict[Unit, Sequence[str]] = {}
  for one in sets.values():
    known |= one.known()
  found = of_training(
    [one.folder for one in sets.values()],
    known,
    None,
    encoder.everything,
    encoder=options.model.encoder_weights or options.model.encoder,
    tables=Tables(folder),
  )
  config = {
    name: value for name, value in values_of(options).items() if name not in changeable
  }
  open_workdir(folder, recorded(config), identity=found, paths=_BY_CONTENT)
