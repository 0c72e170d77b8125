"""Makes groups of options with wrong values, in a process of its own.

Tests check annotations while they run, which would catch such values before the options
do: a user's process does not.
"""

import json
import pathlib

import numpy as np

import milan_jax
from milan_jax._src.options import (
  annotate,
  catalog,
  data,
  describe,
  experiments,
  lab,
  local_page,
  train,
)
from milan_jax._src.options.fields import group_type, options_of

MODULES = (*(annotate, catalog, data, describe, experiments, lab, local_page, train),)
KINDS = (
  annotate.AnnotateOptions,
  catalog.CatalogOptions,
  data.AnnotatedDataOptions,
  describe.DescribeOptions,
  experiments.GeneralizeOptions,
  experiments.ScoreOptions,
  experiments.SweepOptions,
  lab.BenchOptions,
  lab.CorpusOptions,
  lab.EvalOptions,
  local_page.LocalPageOptions,
  train.FeaturesOptions,
  train.TrainOptions,
)
OPTIONS = [(kind, one) for kind in KINDS for one in options_of(kind).values()]
# A value of another type, and what is expected in its place.
WRONG = {
  str: (True, "a text"),
  int: (2.5, "a whole number"),
  float: ("many", "a number"),
  bool: (1, "True or False"),
}


def raised(call):
  """What a call raises: in Python's words, and in the command line's."""
  try:
    call()
  except milan_jax.UserError as error:
    return str(error), error.for_command_line
  return "nothing", "nothing"


def _of_option(kind, one):
  group = group_type(kind, one.group) if one.group else kind
  value = WRONG[one.kind][0]
  return {
    "type": raised(lambda: group(**{one.field: value})),
    "of": raised(lambda: kind.of(**{one.flag: value})),
    "choice": raised(lambda: group(**{one.field: "unheard"})),
    "none": raised(lambda: group(**{one.field: None})),
  }


def _lists():
  """What lists, paths and numbers become, and what is raised for what they are not."""
  options = milan_jax.DescribeOptions.of(
    **{"images": pathlib.Path("photos"), "workdir": np.str_("runs/a")},
    **{"layers": ["conv1", "conv2"], "units": np.arange(3), "image_size": (64, 32)},
    **{"mean": np.array([0.5, 0.25, 0.5]), "std": 0.5, "layouts": {"a*": "NHWC"}},
  )
  training = milan_jax.TrainOptions.of(
    exemplars=(pathlib.Path("a"), "b"), repeat=[1, np.int64(5)], projection=range(2)
  )
  return {
    "values": [
      *(options.images.source, options.run.workdir, options.exemplars.layers),
      *(options.exemplars.units, options.model.image_size, options.model.mean),
      *(options.model.std, options.model.layouts, training.data.exemplars),
      *(training.data.repeat, training.model.projection),
    ],
    "raised": [
      raised(lambda: milan_jax.DescribeOptions.of(layers=[])),
      raised(lambda: milan_jax.DescribeOptions.of(units=[True, False])),
      raised(lambda: milan_jax.DescribeOptions.of(strategy=["beam"])),
    ],
  }


def main() -> None:
  """Prints what is raised, and what NumPy's numbers become."""
  found = {
    f"{kind.__name__}.{one.flag}": _of_option(kind, one) for kind, one in OPTIONS
  }
  found["groups"] = [
    raised(lambda: milan_jax.DescribeOptions(model="resnet")),
    raised(lambda: milan_jax.TrainOptions(data=None)),
  ]
  found["lists"] = _lists()
  options = milan_jax.DecodingOptions(beam_size=np.int64(3), temperature=1)
  values = (options.beam_size, options.temperature)
  found["numbers"] = [type(value).__name__ for value in values]
  print(json.dumps(found))


if __name__ == "__main__":
  main()
