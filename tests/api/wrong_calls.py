"""Calls with wrong input, made in a process of their own.

Tests check annotations while they run, which would catch such calls before the package
does: a user's process does not.
"""

import json
import os
import pathlib
import sys

import numpy as np
import torch

import milan_jax
from tests.api.scene import make_scene

UNIT = milan_jax.Unit("conv2", 0)


def _described(unit, text="Dots", **known):
  return milan_jax.Description(unit, text, 0.0, 0.0, **known)


def _module():
  return milan_jax.probe(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)), image_size=32)


CALLS = {
  "options of a run": (
    lambda s, d: s["captioner"].describe(
      s["features"], options=milan_jax.DescribeOptions()
    ),
    "options: expected DecodingOptions.*found a DescribeOptions",
  ),
  "options as a dict": (
    lambda s, d: s["captioner"].describe(s["features"], options={"beam_size": 3}),
    "expected DecodingOptions.*found a dict",
  ),
  "no exemplars": (
    lambda s, d: s["captioner"].describe([1]),
    "exemplars: expected what milan_jax.collect.*found a list",
  ),
  "a path": (
    lambda s, d: s["captioner"].describe("runs/mine"),
    "exemplars: expected .*found a str",
  ),
  "a module": (
    lambda s, d: milan_jax.collect(s["module"], s["images"]),
    "network: expected what milan_jax.probe returns; found a TwoLayers",
  ),
  "a probe": (
    lambda s, d: milan_jax.collect(s["network"].probe, s["images"]),
    "expected what milan_jax.probe returns; found a LinenProbe",
  ),
  "images from 0 to 1": (
    lambda s, d: s["network"].probe.activations(
      np.float32(s["images"] / 255), ("conv2",)
    ),
    r"images: expected uint8 from 0 to 255.*width, 3\); found float32 of shape \(24,",
  ),
  "images from 0 to 1 for a module": (
    lambda s, d: _module().probe.activations(s["images"] / 255, ("0",)),
    r"expected uint8 .*width, 3\); found float64 of shape \(24, 32, 32, 3\)",
  ),
  "images from 0 to 1 for a function": (
    lambda s, d: milan_jax.probe(np.sort, image_size=32).probe.activations(
      np.float32(s["images"] / 255), ("output",)
    ),
    "expected uint8 .*found float32",
  ),
  "images with channels first": (
    lambda s, d: _module().probe.activations(s["images"].transpose(0, 3, 1, 2), ("0",)),
    r"expected .*width, 3\); found uint8 of shape \(24, 3, 32, 32\)",
  ),
  "no layers": (
    lambda s, d: milan_jax.collect(s["network"], s["images"], layers=[]),
    "layers: expected at least one",
  ),
  "no units": (
    lambda s, d: milan_jax.collect(s["network"], s["images"], units=[]),
    "units: expected at least one",
  ),
  "a number of units": (
    lambda s, d: milan_jax.collect(s["network"], s["images"], units=3),
    "units: expected a list or a text; found 3",
  ),
  "k as a text": (
    lambda s, d: milan_jax.collect(s["network"], s["images"], k="5"),
    "k: expected a whole number; found '5'",
  ),
  "half an exemplar": (
    lambda s, d: milan_jax.collect(s["network"], s["images"], k=2.5),
    "k: expected a whole number; found 2.5",
  ),
  "a negative beam": (
    lambda s, d: milan_jax.DescribeOptions.of(beam_size=-3),
    "beam_size: expected 1 or more; found -3",
  ),
  "a text in place of texts": (
    lambda s, d: s["captioner"].score(s["features"], {UNIT: "dog"}),
    "a list of descriptions; found 'dog' for conv2 0",
  ),
  "a tuple in place of a unit": (
    lambda s, d: s["captioner"].score(s["features"], {("conv2", 0): ["dog"]}),
    r"found \('conv2', 0\) in place of a Unit",
  ),
  "texts in a list": (
    lambda s, d: s["captioner"].score(s["features"], ["dog"]),
    "expected a mapping from Unit.*found a list",
  ),
  "a page of nothing": (
    lambda s, d: milan_jax.write_page(d / "page", s["exemplars"], []),
    "descriptions: expected at least one",
  ),
  "a page of another unit": (
    lambda s, d: milan_jax.write_page(
      d / "page", s["exemplars"], [_described(milan_jax.Unit("conv2", 55))]
    ),
    "conv2 55 is not among the exemplars",
  ),
  "annotations of another layer": (
    lambda s, d: milan_jax.write_original(
      d / "original", s["exemplars"], [_described(milan_jax.Unit("zz", 0))]
    ),
    "zz 0 is not among the exemplars, which are of conv2",
  ),
  "a run in place of its exemplars": (
    lambda s, d: milan_jax.open_exemplars("runs/mine"),
    "runs/mine is a run directory: open runs/mine/exemplars",
  ),
  "a mean of bytes": (
    lambda s, d: milan_jax.Preprocessing.of(mean=[127] * 3),
    "mean: expected numbers from 0 to 1",
  ),
  "a deviation of zero": (
    lambda s, d: milan_jax.Preprocessing.of(std=[0] * 3),
    "std: expected numbers above 0",
  ),
  "no pixel": (lambda s, d: milan_jax.Preprocessing.of(size=-1), "1 pixel or more"),
  "no name": (lambda s, d: milan_jax.load(None), "load: expected .*found a NoneType"),
  "no folder": (
    lambda s, d: milan_jax.train(None, workdir=d / "train"),
    "train: expected a folder .*found a NoneType",
  ),
  "a text in place of options": (
    lambda s, d: milan_jax.describe("x"),
    "describe: expected milan_jax.DescribeOptions; found a str",
  ),
}


def main() -> None:
  """Prints what each call raises, and what it left in a folder of its own."""
  folder = pathlib.Path(sys.argv[1])
  names = make_scene(folder)
  os.chdir(folder)
  found = {}
  for number, (name, (call, _)) in enumerate(CALLS.items()):
    place = folder / f"call-{number}"
    place.mkdir()
    try:
      call(names, place)
      found[name] = ["nothing", ""]
    except Exception as error:
      found[name] = [type(error).__name__, str(error)]
    found[name].append(sorted(path.name for path in place.iterdir()))
  print(json.dumps(found))


if __name__ == "__main__":
  main()
