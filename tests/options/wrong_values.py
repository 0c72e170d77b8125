"""Makes groups of options with wrong values, in a process of its own.

Tests check annotations while they run, which would catch such values before the options
do: a user's process does not.
"""

import json

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
  str: (3, "a text"),
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


def main() -> None:
  """Prints what is raised, and what NumPy's numbers become."""
  found = {
    f"{kind.__name__}.{one.flag}": _of_option(kind, one) for kind, one in OPTIONS
  }
  found["groups"] = [
    raised(lambda: milan_jax.DescribeOptions(model="resnet")),
    raised(lambda: milan_jax.TrainOptions(data=None)),
  ]
  options = milan_jax.DecodingOptions(beam_size=np.int64(3), temperature=1)
  values = (options.beam_size, options.temperature)
  found["numbers"] = [type(value).__name__ for value in values]
  print(json.dumps(found))


if __name__ == "__main__":
  main()
