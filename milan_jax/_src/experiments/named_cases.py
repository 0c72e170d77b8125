"""The paper's generalization experiments by name, for any annotated networks.

| experiment | train on | test on |
|---|---|---|
| `within-network` | units of a network | its other units |
| `across-architecture` | one architecture | another |
| `across-dataset` | networks of one data set | those of the other |
| `across-task` | classifiers, or generators | the others |
| `leave-one-out` | all networks but one | that one |
| `train-on-one` | one network | all others |
| `across-network` | one network | another one |

The first, and the last three, exist for any networks; the others are named groups of
MILANNOTATIONS.

Source: Hernandez et al. 2022, section 4; the published figures are of its Table 3, and
those of `leave-one-out` of its Table 2.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from milan_jax._src.errors import UserError, did_you_mean
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.store.milannotations import GROUPS, NETWORKS, hyphenated

WITHIN = "within-network"
# Longer names of folders are replaced by a digest.
_LONGEST = 120


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
  """One row of the table.

  Attributes:
    experiment: its name.
    label: how the row is called.
    train: the networks to train on.
    test: the networks to test on; the same as `train` within a network.
    published: the paper's BERTScore with PMI; None if it has none.
    published_likelihood: the same without the language model.
  """

  experiment: str
  label: str
  train: tuple[str, ...]
  test: tuple[str, ...]
  published: float | None = None
  published_likelihood: float | None = None

  @property
  def is_within(self) -> bool:
    """Whether the units of the same networks are trained and tested on."""
    return self.train == self.test

  @property
  def folder(self) -> str:
    """Name of the folder of its trials, the same for equal networks."""
    name = f"{'+'.join(self.train)}--{'+'.join(self.test)}"
    return name if len(name) <= _LONGEST else sha256_of([name])[:16]


def _named(group: str) -> tuple[str, ...]:
  names = GROUPS.get(group, (group,))
  return tuple(map(hyphenated, names))


def _named_all() -> tuple[str, ...]:
  return tuple(map(hyphenated, NETWORKS))


# The paper's BERTScores, row by row.
_WITHIN = {
  "alexnet-imagenet": 0.39,
  "alexnet-places365": 0.47,
  "resnet152-imagenet": 0.35,
  "resnet152-places365": 0.28,
  "biggan-imagenet": 0.49,
  "biggan-places365": 0.52,
}
# Of each network left out: with PMI, and by likelihood alone.
_LEFT_OUT = {
  "alexnet-imagenet": (0.38, 0.34),
  "alexnet-places365": (0.37, 0.31),
  "resnet152-imagenet": (0.35, 0.27),
  "resnet152-places365": (0.31, 0.30),
}
_ACROSS = (
  ("across-architecture", "AlexNet to ResNet152", "alexnet", "resnet152", 0.28),
  ("across-architecture", "ResNet152 to AlexNet", "resnet152", "alexnet", 0.35),
  ("across-architecture", "CNNs to ViT", "base", "dino_vits8/imagenet", 0.34),
  ("across-dataset", "ImageNet to Places365", "imagenet", "places365", 0.30),
  ("across-dataset", "Places365 to ImageNet", "places365", "imagenet", 0.33),
  ("across-task", "classifiers to BigGAN", "cls", "gen", 0.34),
  ("across-task", "BigGAN to classifiers", "gen", "cls", 0.27),
)
EXPERIMENTS = (
  *(WITHIN, "across-architecture", "across-dataset", "across-task"),
  *("leave-one-out", "train-on-one", "across-network"),
)
# In the default run: all but the last, whose cases grow with the square of the number
# of networks.
_USUAL = EXPERIMENTS[:-1]


def experiment_names(experiments: str | None) -> list[str]:
  """Returns the experiments that a list names; none for None.

  Raises:
    UserError: if a name is unknown.
  """
  words = [word.strip() for word in (experiments or "").split(",") if word.strip()]
  for word in words:
    if word not in EXPERIMENTS:
      raise UserError(
        f"--experiments: {word!r} is unknown.{did_you_mean(word, EXPERIMENTS)} "
        f"Expected some of {', '.join(EXPERIMENTS)}."
      )
  return words


def chosen_cases(experiments: str | None, names: Sequence[str]) -> list[Case]:
  """Returns the cases of experiments.

  Args:
    experiments: names, comma-separated; None for all usual ones that exist.
    names: the networks at hand.

  Raises:
    UserError: if a name is unknown, or an experiment has no case with these networks.
  """
  words = experiment_names(experiments)
  by_name = _cases(names)
  for word in words:
    if not by_name[word]:
      raise UserError(
        f"--experiments={word}: not possible with the networks {', '.join(names)}: "
        f"{_NEEDS.get(word, 'give at least two networks with --data')}."
      )
  return [case for name in words or _USUAL for case in by_name[name]]


_NEEDS = dict.fromkeys(
  ("across-architecture", "across-dataset", "across-task"),
  "it needs networks of MILANNOTATIONS, such as --data=base,dino_vits8/imagenet",
)


def _cases(names: Sequence[str]) -> Mapping[str, list[Case]]:
  found: dict[str, list[Case]] = {name: [] for name in EXPERIMENTS}
  base, every = _named("base"), names
  if set(base) <= set(names):  # the paper only tests on the seventh network
    names = [name for name in names if name in base or name not in _named_all()]
  for name in names:
    case = Case(WITHIN, name, (name,), (name,), _WITHIN.get(name))
    found[WITHIN].append(case)
  for experiment, label, train, test, published in _ACROSS:
    case = Case(experiment, label, _named(train), _named(test), published)
    if {*case.train, *case.test} <= set(every):
      found[experiment].append(case)
  if len(names) < 2:
    return found
  for name in names:
    others = tuple(other for other in names if other != name)
    # The paper leaves one out of its six.
    figures = _LEFT_OUT.get(name, ()) if {name, *others} == set(base) else ()
    found["leave-one-out"].append(
      Case("leave-one-out", f"all others to {name}", others, (name,), *figures)
    )
    found["train-on-one"].append(
      Case("train-on-one", f"{name} to all others", (name,), others)
    )
    found["across-network"] += [
      Case("across-network", f"{name} to {other}", (name,), (other,))
      for other in others
    ]
  return found
