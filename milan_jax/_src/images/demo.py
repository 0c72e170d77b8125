"""Color photographs in milan_jax, scikit-image and scikit-learn, cut into crops.

They are enough for a demonstration without a download, but too few to describe a
network as a whole. Run on a folder of your own photographs for that. THIRD_PARTY.md
names the author, the source and the license of each.
"""

import importlib.util
import itertools
import pathlib

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.images.geometry import INTERPOLATIONS, Geometry, to_channels, to_rgb
from milan_jax._src.images.sizes import Size
from milan_jax._src.images.source import black

_OWN = """
  arches asphalt beach bee bridge cactus cat citrus granite highway hopper hummingbird
  icefall mountain office pebbles platter raccoon rock rug skyscrapers stucco tern
  towers wood wood_old
""".split()
# Package and file of each photograph, of as many distinct scenes. Of scikit-image and
# scikit-learn, every color photograph except drawings and test charts (logo, color,
# phantom, chessboard, horse), gray pictures, a thumbnail, and motorcycle_right, which
# shows the scene of motorcycle_left from slightly to the right.
PHOTOGRAPHS = (
  ("skimage", "data/astronaut.png"),
  ("skimage", "data/chelsea.png"),
  ("skimage", "data/coffee.png"),
  ("skimage", "data/hubble_deep_field.jpg"),
  ("skimage", "data/ihc.png"),
  ("skimage", "data/motorcycle_left.png"),
  ("skimage", "data/retina.jpg"),
  ("skimage", "data/rocket.jpg"),
  ("sklearn", "datasets/images/china.jpg"),
  ("sklearn", "datasets/images/flower.jpg"),
  *(("milan_jax", f"_src/images/photographs/{name}.jpg") for name in _OWN),
)
# Side of a crop divided by the photograph's shorter side.
SCALES = (1.0, 0.75, 0.5)
# Minimum length of a crop's shorter side, in pixels of the photograph: smaller crops
# would be enlarged and blurred.
MIN_SIDE = 150
# Maximum distance between the starts of neighboring crops, as a fraction of their side.
STEP = 0.5


class DemoImages:
  """Crops of the packaged photographs, at several scales.

  The list is the same on every machine. A crop is named by its photograph, its left
  and top edge in the photograph's pixels and its scale: `coffee@100,0,0.75`.

  Args:
    geometry: size of the crops and interpolation; `resize` is not used, because a crop
      is cut before it is resized.

  Raises:
    UserError: if a package or one of its photographs is missing.
  """

  def __init__(self, geometry: Geometry):
    self._geometry = geometry
    self._photographs = {
      pathlib.Path(file).stem: _open_photograph(package, file)
      for package, file in PHOTOGRAPHS
    }
    self._crops = [
      (name, *crop)
      for name, photograph in self._photographs.items()
      for crop in _crops(*photograph.size, geometry.shape)
    ]

  def __len__(self) -> int:
    return len(self._crops)

  @property
  def size(self) -> Size:
    """Size of every image, in pixels."""
    return self._geometry.crop

  @property
  def blank(self) -> UInt8[np.ndarray, "height width channels"]:
    """A black image."""
    return black(self.size, self._geometry.channels)

  def name(self, index: int) -> str:
    """Photograph, left edge, top edge and scale."""
    name, left, top, _, _, scale = self._crops[index]
    return f"{name}@{left},{top},{scale:g}"

  def groups(self) -> Int64[np.ndarray, "images"]:
    """Index of each crop's photograph: crops of one photograph share their number."""
    photographs = {name: index for index, name in enumerate(self._photographs)}
    return np.array([photographs[name] for name, *_ in self._crops], np.int64)

  def files(self) -> list[tuple[str, pathlib.Path]]:
    """The photographs, by their names."""
    return [
      (f"{package} {file}", _find_photograph(package, file))
      for package, file in PHOTOGRAPHS
    ]

  def load(self, index: int) -> UInt8[np.ndarray, "height width channels"]:
    """The crop, at the source's size."""
    name, left, top, width, height, _ = self._crops[index]
    image = self._photographs[name].resize(
      self._geometry.shape[::-1],
      INTERPOLATIONS[self._geometry.interpolation],
      box=(left, top, left + width, top + height),
    )
    pixels = np.asarray(to_channels(image, self._geometry.channels))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _open_photograph(package: str, file: str) -> Image.Image:
  with Image.open(_find_photograph(package, file)) as image:
    return to_rgb(image)


def _find_photograph(package: str, file: str) -> pathlib.Path:
  # find_spec looks a package up without running it: importing these takes seconds.
  spec = importlib.util.find_spec(package)
  if spec is None or spec.origin is None:
    raise UserError(
      f"The demonstration's photographs are part of the package {package}, which is "
      "not installed: install milan-jax[demo], or give a folder of photographs."
    )
  path = pathlib.Path(spec.origin).parent / file
  if not path.is_file():
    raise UserError(
      f"{path} is missing: this version of {package} does not include the photograph. "
      "Install the version that milan-jax[demo] requires."
    )
  return path


def _crops(
  width: int, height: int, shape: tuple[int, int]
) -> list[tuple[int, int, int, int, float]]:
  """Left, top, width, height and scale of every crop, from large to small.

  Crops below `MIN_SIDE` are left out, except those of the largest scale.

  Args:
    width: width of the photograph, in pixels.
    height: height of the photograph, in pixels.
    shape: height and width with the aspect ratio of a crop.
  """
  rows, columns = shape
  crops = []
  for scale in SCALES:
    if width * rows <= height * columns:
      across, down = round(scale * width), round(scale * width * rows / columns)
    else:
      across, down = round(scale * height * columns / rows), round(scale * height)
    if min(across, down) < MIN_SIDE and scale < 1:
      break
    tops, lefts = _starts(height, down), _starts(width, across)
    crops += [
      (left, top, across, down, scale) for top, left in itertools.product(tops, lefts)
    ]
  return crops


def _starts(length: int, side: int) -> list[int]:
  """Evenly spaced starts of windows that cover `length` from end to end."""
  steps = int(np.ceil((length - side) / (STEP * side)))
  return [round(step * (length - side) / max(steps, 1)) for step in range(steps + 1)]
