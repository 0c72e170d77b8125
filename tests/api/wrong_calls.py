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
from tests.api.odd_objects import ODD_CALLS, decode
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
  "training options of another kind": (
    lambda s, d: milan_jax.train("annotated", workdir=d / "t", options={}),
    "options: expected TrainOptions, .*found a dict",
  ),
  "images in a list": (
    lambda s, d: milan_jax.collect(s["network"], list(s["images"]), layers=["conv2"]),
    r"found a list: give np.stack\(list\(images\)\) of images of one size",
  ),
  "images from a generator": (
    lambda s, d: milan_jax.collect(s["network"], (x for x in s["images"])),
    "found a generator: give np.stack",
  ),
  "a mask of units": (
    lambda s, d: milan_jax.collect(
      s["network"], s["images"], units=np.ones(8, bool), layers=["conv2"]
    ),
    r"units: expected names or indices; found .*np.flatnonzero\(mask\)",
  ),
  "layers in bytes": (
    lambda s, d: milan_jax.collect(s["network"], s["images"], layers=b"conv2"),
    "layers: expected a list or a text; found b'conv2'",
  ),
  "preprocessing as a dict": (
    lambda s, d: milan_jax.probe(s["module"], s["variables"], preprocessing={}),
    "preprocessing: expected a milan_jax.Preprocessing.*found {}",
  ),
  "a class with variables": (
    lambda s, d: milan_jax.probe(type(s["module"]), s["variables"]),
    "is the class TwoLayers: give an instance",
  ),
  "an unknown option of a probe": (
    lambda s, d: milan_jax.probe(s["module"], s["variables"], size=32),
    "found size. Did you mean image_size",
  ),
  "an unknown option": (
    lambda s, d: milan_jax.DescribeOptions.of(strategies="beam"),
    "strategies: DescribeOptions has no such option. Did you mean strategy",
  ),
  "one mean": (
    lambda s, d: milan_jax.Preprocessing.of(mean=0.5),
    "mean: expected a list of numbers.*found 0.5",
  ),
  "no means": (
    lambda s, d: milan_jax.Preprocessing.of(mean=[], std=[]),
    r"mean: expected a list of numbers.*found \[\]",
  ),
  "a size as a text": (
    lambda s, d: milan_jax.Preprocessing.of(size="32"),
    "size: expected a whole number of pixels.*found '32'",
  ),
  "a size of three": (
    lambda s, d: milan_jax.Preprocessing.of(size=(8, 8, 3)),
    r"size: expected a whole number of pixels.*found \(8, 8, 3\)",
  ),
  "images that there are not": (
    lambda s, d: s["exemplars"].images(np.array([500])),
    r"rows of images: expected 0 to \d+; found 500",
  ),
  "one row in place of several": (
    lambda s, d: s["exemplars"].images(0),
    "rows of images: expected a list or an array of whole numbers; found 0",
  ),
  "masks that there are not": (
    lambda s, d: s["exemplars"].masks("conv2", [0], [5]),
    "slots: expected 0 to 4; found 5",
  ),
  "a mask from the end": (
    lambda s, d: s["exemplars"].masks("conv2", [-1], [0]),
    "rows: expected 0 to 7; found -1",
  ),
  "more masks than slots": (
    lambda s, d: s["exemplars"].masks("conv2", [0, 1], [0]),
    "slots: expected as many as there are rows, 2; found 1",
  ),
  "a map from the end": (
    lambda s, d: s["exemplars"].maps("conv2", [0], [-1]),
    "slots: expected 0 to 4; found -1",
  ),
  "a sample from the end": (
    lambda s, d: s["exemplars"].sample_masks("conv2", [-1], [0]),
    "rows: expected 0 to 7; found -1",
  ),
  "the last name": (
    lambda s, d: s["exemplars"].image_names([-1]),
    r"rows of images: expected 0 to \d+; found -1",
  ),
  "an unknown layer of features": (
    lambda s, d: s["features"].units_of("zz"),
    "There is no layer 'zz'; the features are of conv2",
  ),
  "an unknown layer of a store": (
    lambda s, d: milan_jax.open_features("features", layers="conv9"),
    "features has no layer 'conv9'. Did you mean conv2. It has conv2",
  ),
  "no exemplars to open": (
    lambda s, d: milan_jax.open_exemplars(None),
    "open_exemplars: expected a folder; found a NoneType",
  ),
  "no features to open": (
    lambda s, d: milan_jax.open_features(3),
    "open_features: expected a folder; found a int",
  ),
  "features in a file": (
    lambda s, d: s["captioner"].encode(s["exemplars"], __file__),
    "folder: .*wrong_calls.py is a file; expected a folder or a new name",
  ),
  "a captioner in a file": (
    lambda s, d: s["captioner"].save(__file__),
    "folder: .*wrong_calls.py is a file; expected a folder or a new name",
  ),
  "a captioner below a file": (
    lambda s, d: s["captioner"].save(f"{__file__}/deep/mine"),
    "folder: .*wrong_calls.py, above .*deep.mine, is a file; expected a folder",
  ),
  "features below a file": (
    lambda s, d: s["captioner"].encode(s["exemplars"], f"{__file__}/mine"),
    "folder: .*wrong_calls.py, above .*mine, is a file; expected a folder",
  ),
  "the original's layout below a file": (
    lambda s, d: milan_jax.write_original(f"{__file__}/mine", s["exemplars"]),
    "folder: .*wrong_calls.py, above .*mine, is a file; expected a folder",
  ),
  "a page below a file": (
    lambda s, d: milan_jax.write_page(
      f"{__file__}/mine", s["exemplars"], s["descriptions"]
    ),
    "folder: .*wrong_calls.py, above .*mine, is a file; expected a folder",
  ),
  "exemplars below a file": (
    lambda s, d: milan_jax.collect(
      s["network"], s["images"], layers=["conv2"], workdir=f"{__file__}/mine"
    ),
    "workdir: .*wrong_calls.py",
  ),
  "descriptions below a file": (
    lambda s, d: s["captioner"].describe(s["features"], workdir=f"{__file__}/mine"),
    "workdir: .*wrong_calls.py",
  ),
  "a captioner's name in place of a release": (
    lambda s, d: milan_jax.Captioner("starter"),
    "release: expected a release; found a str: milan_jax.load finds",
  ),
  "an unknown rounding": (
    lambda s, d: milan_jax.Captioner(s["captioner"].release, encoder_precision="fp8"),
    "encoder_precision: expected one of float32, bfloat16; found 'fp8'",
  ),
  "a captioner in place of its release": (
    lambda s, d: milan_jax.Decoder(s["captioner"]),
    "release: expected a release, .*found a Captioner",
  ),
  "options in place of decoding": (
    lambda s, d: s["captioner"].decoder(milan_jax.DecodingOptions()),
    "decoding: expected a milan_jax.Decoding, .*found a DecodingOptions",
  ),
  "half a token": (
    lambda s, d: milan_jax.Decoding(length=2.5),
    "length: expected a whole number; found 2.5",
  ),
  "no devices": (
    lambda s, d: milan_jax.Decoder(s["captioner"].release, devices=[]),
    "devices: expected at least one",
  ),
  "one unit's features": (
    lambda s, d: decode(s, lambda x, keys: (x[0], keys)),
    r"features: expected shape \(units, k, 32\).*found \(5, 32\)",
  ),
  "features of another size": (
    lambda s, d: decode(s, lambda x, keys: (x[..., 1:], keys)),
    r"features: expected shape \(units, k, 32\).*found \(8, 5, 31\)",
  ),
  "more units than a batch has": (
    lambda s, d: decode(s, lambda x, keys: (np.repeat(x, 2, 0), keys)),
    "expected at most 8 units.*found 16: .*with batch_size 16",
  ),
  "one key": (
    lambda s, d: decode(s, lambda x, keys: (x, keys[0])),
    "keys: expected one threefry2x32 key per unit",
  ),
  "counts of another number": (
    lambda s, d: decode(s, lambda x, keys: (x, keys, [5])),
    r"counts: expected 8 numbers of 1 or more.*found \[5\]",
  ),
  "counts of zero": (
    lambda s, d: decode(s, lambda x, keys: (x, keys, [0] * 8)),
    "counts: expected 8 numbers of 1 or more",
  ),
  "an empty batch of scores": (
    lambda s, d: s["captioner"].score(s["features"], {UNIT: ["dog"]}, batch_size=0),
    "batch_size: expected 1 or more; found 0",
  ),
  "half a unit to find": (
    lambda s, d: s["captioner"].find(s["features"], "dog", top=1.5),
    "top: expected 1 or more; found 1.5",
  ),
  "texts from a generator": (
    lambda s, d: s["captioner"].score(s["features"], {UNIT: (x for x in ["dog"])}),
    "expected a mapping from Unit to a list.*for conv2 0",
  ),
  "one text to tokenize": (
    lambda s, d: s["captioner"].tokens("red dots"),
    "texts: expected a list of descriptions; found 'red dots'",
  ),
  "an empty text to tokenize": (
    lambda s, d: s["captioner"].tokens(["red dots", ""]),
    r"texts: expected a list of descriptions; found \['red dots', ''\]",
  ),
  "features of another rank": (
    lambda s, d: s["captioner"].log_probs(
      s["captioner"].params, np.zeros((5, 32)), np.zeros((1, 4), int)
    ),
    r"features: expected shape \(units, k, 32\); found \(5, 32\)",
  ),
  "tokens of other units": (
    lambda s, d: s["captioner"].log_probs(
      s["captioner"].params, np.zeros((3, 5, 32)), np.zeros((2, 4), int)
    ),
    r"tokens: expected shape \(3, length\).*found \(2, 4\)",
  ),
  "a page of texts": (
    lambda s, d: milan_jax.write_page(d / "page", s["exemplars"], {UNIT: "dog"}),
    "descriptions: expected what captioner.describe returns; found a dict",
  ),
  "a page of features": (
    lambda s, d: milan_jax.write_page(d / "page", s["features"], s["descriptions"]),
    "exemplars: expected what milan_jax.collect.*found a FeatureStore",
  ),
  "a page of an object": (
    lambda s, d: milan_jax.write_page(
      d / "page", s["exemplars"], s["descriptions"], network=3
    ),
    "network: expected a text.*found 3",
  ),
  "a text in place of annotations": (
    lambda s, d: milan_jax.write_original(
      d / "original", s["exemplars"], {UNIT: "red dots"}
    ),
    "expected a mapping from Unit to a list of descriptions; found 'red dots'",
  ),
  "annotations of a tuple": (
    lambda s, d: milan_jax.write_original(
      d / "original", s["exemplars"], {("conv2", 0): ["red dots"]}
    ),
    r"found \('conv2', 0\) in place of a Unit",
  ),
  "an archive without layers": (
    lambda s, d: milan_jax.merge_images(d, lambda index: s["images"][index]),
    "has no exemplars: expected a folder for each layer",
  ),
  "no backbone": (lambda s, d: milan_jax.backbone(None), "There is no backbone None"),
  "a text in place of options": (
    lambda s, d: milan_jax.describe("x"),
    "describe: expected milan_jax.DescribeOptions; found a str",
  ),
  **ODD_CALLS,
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
