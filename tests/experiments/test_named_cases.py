"""The experiments by name."""

import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.experiments.named_cases import EXPERIMENTS, chosen_cases
from milan_jax._src.store.milannotations import NETWORKS, hyphenated

SEVEN = tuple(map(hyphenated, NETWORKS))
SIX = SEVEN[:-1]
PAPER = "within-network,across-architecture,across-dataset,across-task"


# Hernandez et al. 2022, Table 3, as printed.
WITHIN = {
  "alexnet-imagenet": 0.39,
  "alexnet-places365": 0.47,
  "resnet152-imagenet": 0.35,
  "resnet152-places365": 0.28,
  "biggan-imagenet": 0.49,
  "biggan-places365": 0.52,
}
ACROSS = {
  "AlexNet to ResNet152": 0.28,
  "ResNet152 to AlexNet": 0.35,
  "CNNs to ViT": 0.34,
  "ImageNet to Places365": 0.30,
  "Places365 to ImageNet": 0.33,
  "classifiers to BigGAN": 0.34,
  "BigGAN to classifiers": 0.27,
}
# Table 2: pmi(d; E), and p(d | E).
LEFT_OUT = {
  "alexnet-imagenet": (0.38, 0.34),
  "alexnet-places365": (0.37, 0.31),
  "resnet152-imagenet": (0.35, 0.27),
  "resnet152-places365": (0.31, 0.30),
  "biggan-imagenet": (None, None),
  "biggan-places365": (None, None),
}


def test_the_papers_table():
  cases = chosen_cases(PAPER, SEVEN)
  published = {case.label: case.published for case in cases}
  assert published == WITHIN | ACROSS and len(cases) == 13
  assert not any(case.published_likelihood for case in cases)
  assert {case.test for case in chosen_cases("leave-one-out", SEVEN)} == {
    (name,) for name in SIX
  }
  by_label = {case.label: case for case in cases}
  vit = by_label["CNNs to ViT"]
  assert vit.train == SIX and vit.test == ("dino_vits8-imagenet",)
  task = by_label["BigGAN to classifiers"]
  assert task.train == ("biggan-imagenet", "biggan-places365")
  assert set(task.test) == set(SIX[:4])
  places = by_label["Places365 to ImageNet"]
  assert {name.split("-")[1] for name in places.train} == {"places365"}
  assert {name.split("-")[1] for name in places.test} == {"imagenet"}
  assert all(case.is_within == (case.experiment == "within-network") for case in cases)


@pytest.mark.parametrize("names", [SEVEN, SIX], ids=["seven", "six"])
def test_the_papers_networks_left_out(names):
  cases = chosen_cases("leave-one-out", names)
  assert {
    case.test[0]: (case.published, case.published_likelihood) for case in cases
  } == LEFT_OUT
  assert all(set(case.train) == {*SIX} - {*case.test} for case in cases)


def test_fewer_networks_have_no_published_figures_left_out():
  # The paper trains on five networks.
  for case in chosen_cases("leave-one-out", (*SIX[:3], "own")):
    assert case.published is None and case.published_likelihood is None


def test_cases_of_other_networks():
  cases = chosen_cases(None, ("a", "b", "c"))
  assert [case.experiment for case in cases] == [
    *["within-network"] * 3,
    *["leave-one-out"] * 3,
    *["train-on-one"] * 3,
  ]
  left_out, alone = cases[4], cases[7]
  assert (left_out.train, left_out.test) == (("a", "c"), ("b",))
  assert (alone.train, alone.test) == (("b",), ("a", "c"))
  assert len(chosen_cases("across-network", ("a", "b", "c"))) == 6


def test_equal_cases_share_their_trials():
  cases = chosen_cases("leave-one-out,train-on-one", ("a", "b"))
  assert len(cases) == 4 and len({case.folder for case in cases}) == 2
  names = tuple("network" * 5 + str(number) for number in range(9))
  folders = {case.folder for case in chosen_cases("leave-one-out", names)}
  assert len(folders) == 9 and all(len(name) < 130 for name in folders)


@pytest.mark.parametrize(
  ("experiments", "names", "words"),
  [
    ("within-netwrok", ("a",), "Did you mean within-network"),
    ("across-task", ("a", "b"), "networks of MILANNOTATIONS"),
    ("across-task", SIX[:4], "networks of MILANNOTATIONS"),
    ("leave-one-out", ("a",), "at least two"),
  ],
)
def test_experiments_that_do_not_exist(experiments, names, words):
  with pytest.raises(UserError, match=words):
    chosen_cases(experiments, names)
  assert set(PAPER.split(",")) < set(EXPERIMENTS)
