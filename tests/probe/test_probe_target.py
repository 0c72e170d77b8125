"""Valid and invalid options of networks and images."""

import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.options.describe import DescribeOptions, ExemplarOptions
from milan_jax._src.probe.probe_target import open_target

MODEL = "tests.helpers.tiny_network:build"


def target(**options):
  whole = DescribeOptions.of(**{"model": MODEL} | options)
  return open_target(whole.model, whole.images)


@pytest.fixture
def latents(tmp_path):
  path = tmp_path / "latents.npz"
  np.savez(path, latents=np.zeros((4, 6), np.float32))
  return str(path)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"layouts": "1=NLC"}, "cannot be read as NLC.*layouts"),
    ({"layouts": "x*=NHWC"}, r"x\*=NHWC fits no layer"),
    ({"layouts": "HW"}, "'HW' is not a layout"),
    ({"mean": "123.675,116.28,103.53"}, "mean=.*numbers from 0 to 1"),
    ({"mean": "0.5,0.5"}, "three numbers"),
    ({"std": "0,0,0"}, "std=0,0,0: .*above 0 and up to 1"),
    ({"torch_device": "tpu9"}, "torch_device=tpu9"),
    ({"model": "./tests:build"}, "package.module:name"),
    ({"model": "tests.helpers.nothing:build"}, "package.module:name"),
    ({"model": "numpy:pi"}, "expected a torch.nn.Module.*found a float"),
    ({"model": "none.onnx"}, "none.onnx"),
    ({"model": "none.pt2"}, "none.pt2"),
    ({"model": "tests"}, "without a config.json"),
    ({"model": "resnet19"}, "resnet18"),
    ({"model": "efficientnet-lite0", "layouts": "NHWC"}, "has its own"),
    ({"image_size": "-3"}, "image_size=-3"),
    ({"split": "test"}, "tfds:NAME or hf:FOLDER"),
    ({"images": "tfds:no_such", "data_dir": "/nowhere"}, "is not prepared"),
    ({"images": "hf:/nowhere"}, "/nowhere"),
    ({"latents": "none.npz"}, "none.npz"),
  ],
)
def test_what_cannot_be(options, message):
  with pytest.raises(UserError, match=message):
    target(**options)


def test_a_classifier_is_no_generator(latents):
  with pytest.raises(UserError, match="does not run on latents of shape"):
    target(latents=latents)
  with pytest.raises(UserError, match="omit images"):
    target(model="tests.probe.test_generators:Gan", latents=latents, images="x")


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({"k": 0}, "k=0: expected 1 or more"),
    ({"quantile": 1.5}, "quantile=1.5: expected between 0 and 1"),
    ({"batch_size": 0}, "^batch_size=0"),
    ({"workers": -5}, "workers=-5"),
  ],
)
def test_a_pass_that_cannot_be(changed, message):
  with pytest.raises(UserError, match=message):
    ExemplarOptions(**changed)
