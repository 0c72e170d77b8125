"""Classes by WordNet, and the network's own units for them."""

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.images.folder import FolderImages
from milan_jax._src.lab.evaluation import class_units, classes
from milan_jax._src.lab.evaluation.wordnet_table import read_synset, table
from milan_jax._src.models.backbones import backbone, params_from_state_dict
from milan_jax._src.text.judge import judge
from milan_jax._src.weights.packaged_weights import packaged_weights
from milan_jax._src.weights.state_dicts import read_state_dict

RETRIEVER = "n02099601"
LINES = """\
  1 This software
00000001 03 n 01 entity 0 000 | that is
00000002 03 n 03 dog 0 domestic_dog 0 Canis 0 003 @ 00000001 n 0000 ~ 00000003 n 0000 \
! 00000004 a 0101 | barks | twice
00000003 03 n 0a pug 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 j 0 001 @i 00000002 n 0000 |
"""


def test_lines_of_wordnet_are_read(tmp_path):
  _, _, dog, pug = LINES.splitlines()
  assert read_synset(dog) == (["dog", "domestic dog", "Canis"], ["n00000001"])
  assert len(read_synset(pug)[0]) == 10 and read_synset(pug)[1] == ["n00000002"]
  path = tmp_path / "data.noun"
  path.write_text(LINES)
  found = table(path, ["n00000003"])
  assert found["classes"] == ["n00000003"]
  assert list(found["synsets"]) == ["n00000001", "n00000002", "n00000003"]


def test_the_thousand_classes():
  found = classes.wnids()
  assert len(found) == 1000 and list(found) == sorted(found)
  assert classes.lemmas(found[0]) == ("tench", "Tinca tinca")
  for wnid in found:
    truth = classes.truth(wnid)
    assert truth.strict[0] <= truth.lenient and len(truth.lenient) >= 1
    assert not truth.lenient & {"entity", "artifact", "object", "part", "whole"}


def test_levels_and_relatives():
  first = [
    {classes.lemmas(name)[0] for name in level} for level in classes.levels(RETRIEVER)
  ]
  assert first[:3] == [{"retriever"}, {"sporting dog"}, {"hunting dog"}]
  assert {"canine", "domestic animal"} >= first[4] or "dog" in first[3]
  names = dict(
    tench="n01440764", goldfish="n01443537", cab="n02930766", jeep="n03594945"
  )
  lower = {name: classes.lower(wnid) for name, wnid in names.items()}
  assert lower["tench"] & lower["goldfish"] and lower["cab"] & lower["jeep"]
  assert not lower["tench"] & lower["cab"]


@pytest.mark.parametrize(
  ("text", "lenient", "strict"),
  [
    ("golden retrievers", True, True),
    ("hunting dogs", True, True),
    ("heads of dogs", True, False),
    ("animals' fur", True, False),
    ("parts of vehicles", False, False),
  ],
)
def test_what_may_be_said_of_a_class(text, lenient, strict):
  found = judge(text, classes.truth(RETRIEVER))
  assert (found.lenient, found.strict) == (lenient, strict)


@pytest.fixture(scope="module")
def network():
  return class_units.class_logits()


def _maps(network, images):
  """Eight images at a time: one shape is compiled."""
  found = network.probe.activations(images, (class_units.LAYER,))
  return np.asarray(found[class_units.LAYER])


def test_class_maps_average_to_the_networks_logits(network):
  """The mean of the last map goes through the same weights as each place."""
  whole = backbone("efficientnet-lite0")
  state = read_state_dict(packaged_weights("efficientnet-lite0"))
  params = params_from_state_dict("efficientnet-lite0", state)
  images = np.random.default_rng(0).integers(0, 256, (8, 7, 7, 3), np.uint8)
  images = np.stack(
    [np.asarray(Image.fromarray(each).resize((224, 224))) for each in images]
  )
  wanted = whole.apply(params, whole.normalize(images), ("fc",))["fc"]
  maps = _maps(network, images)
  assert maps.shape == (8, 7, 7, 1000)
  np.testing.assert_allclose(maps.mean((1, 2)), wanted, atol=2e-4)


def test_the_order_of_the_logits(network, photographs):
  """Most photographs are classified as what their name says, in the sorted order."""
  source = FolderImages(photographs, network.geometry)
  chosen = np.arange(0, len(source), 21)[:24]
  images = np.stack([source.load(index) for index in chosen.tolist()])
  maps = [_maps(network, images[start : start + 8]) for start in (0, 8, 16)]
  best = np.concatenate(maps).mean((1, 2)).argmax(1)
  right = [
    classes.wnids()[unit] in source.name(index)
    for unit, index in zip(best.tolist(), chosen.tolist(), strict=True)
  ]
  assert np.mean(right) > 0.7
