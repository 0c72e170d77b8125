"""Tiny networks in the layout of MILANNOTATIONS, as archives of the official host."""

import io
import zipfile

import numpy as np

from milan_jax._src.store.milannotations import NETWORKS, hyphenated

K, SIZE, UNITS = 2, 16, (5, 0, 3, 1)
# The networks whose images come with them.
WITH_IMAGES = tuple(name for name in NETWORKS if not name.endswith("imagenet"))
WITH_IMAGES += ("biggan/imagenet",)


def ids_of(network, layer):
  """The ids of a layer's exemplars, among 12 pictures."""
  seed = NETWORKS.index(network) * 10 + int(layer)
  return np.random.default_rng(seed).integers(0, 12, (len(UNITS), K))


def files_of(network, *, images=None):
  """The files of a network: layers 3 and 10, units out of order, unit 1 thinly said."""
  rng = np.random.default_rng(NETWORKS.index(network))
  files = {}
  for layer in ("3", "10"):
    masks = rng.integers(0, 2, (len(UNITS), K, 1, SIZE, SIZE), np.uint8)
    arrays = {"masks": masks, "units": np.array(UNITS)}
    if images if images is not None else network in WITH_IMAGES:
      pictures = np.random.default_rng(99).integers(
        0, 256, (12, 3, SIZE, SIZE), np.uint8
      )
      arrays["images"] = pictures[ids_of(network, layer)]
    for name, array in arrays.items():
      content = io.BytesIO()
      np.save(content, array)
      files[f"{layer}/{name}.npy"] = content.getvalue()
    rows = [",".join(map(str, row)) for row in ids_of(network, layer)]
    files[f"{layer}/ids.csv"] = "\n".join(rows).encode()
  rows = [
    f"{layer},{unit},{word} of {hyphenated(network)}"
    for layer in ("3", "10")
    for unit in UNITS
    for word in (("dogs", "Dogs", "red cars") if unit != 1 else ("dogs", "cats"))
  ]
  files["annotations.csv"] = "\n".join(["layer,unit,summary", *rows]).encode()
  return files


def write_network(root, network, **options):
  """Writes a network's files below `root` and returns its folder."""
  for name, content in files_of(network, **options).items():
    path = root / network / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
  return root / network


def archive(files, prefix=""):
  """A zip archive of files."""
  content = io.BytesIO()
  with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as opened:
    for name, data in files.items():
      opened.writestr(prefix + name, data)
  return content.getvalue()


def official_host():
  """The archives of all networks, by their path on the host."""
  return {
    f"/data/{hyphenated(name)}.zip": archive(files_of(name), f"{name}/")
    for name in NETWORKS
  }
