"""Scenes composed of cut-outs, textures and rendered lettering.

The thing, the backdrop and the font of a scene all come from sources of one split. Each
scene has its own random generator.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from milan_jax._src.files.digests import sha256_of
from milan_jax._src.lab.corpus import filters, letterings
from milan_jax._src.lab.corpus.scenes import (
  GRID,
  SIDE,
  Rendered,
  Scene,
  Tags,
  soft_shape,
)
from milan_jax._src.lab.corpus.sources.picture import Picture

# Longer side of a cut-out, as a fraction of the scene's side.
SMALLEST, LARGEST = 0.35, 1.0
MOST_TURN = 18.0
# A texture is scaled down at most to this factor.
LEAST_SCALE = 0.35
COLORS = {
  "red": (190, 30, 35),
  "orange": (235, 130, 30),
  "yellow": (240, 215, 50),
  "green": (50, 140, 60),
  "blue": (45, 85, 190),
  "purple": (120, 60, 150),
  "pink": (235, 140, 175),
  "brown": (110, 75, 45),
  "white": (245, 245, 245),
  "gray": (130, 130, 130),
  "black": (18, 18, 18),
}
LOOKS = frozenset(
  """
  furry smooth shiny round blurry rough long curved metallic thin wooden striped scaly
  feathery spotted rusty cracked mossy dirty dark patterned transparent wrinkled woven
  fuzzy checkered
  """.split()
)

# Loads a picture, such as a backdrop.
Load = Callable[[], UInt8[np.ndarray, "height width channels"]]


def _rng(key: str, seed: int) -> np.random.Generator:
  digest = bytes.fromhex(sha256_of([f"{seed} {key}"]))
  return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def _tags(picture: Picture) -> Tags:
  return Tags(
    picture.what,
    colors=tuple(word for word in picture.words if word in COLORS)[:2],
    look=next((word for word in picture.words if word in LOOKS), ""),
  )


def _cells(pixels: Float[np.ndarray, "224 224"]) -> Float[np.ndarray, "56 56"]:
  return filters.block_means(pixels, GRID).astype(np.float32)


def _crop(
  pixels: UInt8[np.ndarray, "height width channels"], rng: np.random.Generator
) -> Image.Image:
  """Crops a random square at a random scale and resizes it to 224 x 224 RGB."""
  image = Image.fromarray(pixels[..., :3])
  shorter = min(image.size)
  side = shorter * float(rng.uniform(LEAST_SCALE, 1.0))
  left, top = (rng.uniform(0, length - side) for length in image.size)
  box = (left, top, left + side, top + side)
  crop = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box)
  return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop


def _lit(image: Image.Image, rng: np.random.Generator) -> Image.Image:
  """Makes the picture slightly lighter or darker at random."""
  gain = float(rng.uniform(0.8, 1.15))
  values = np.asarray(image).astype(np.float32)
  values[..., :3] = np.clip(values[..., :3] * gain + rng.uniform(-12, 12), 0, 255)
  return Image.fromarray(values.astype(np.uint8), image.mode)


def _ground(backdrops: Sequence[Load], rng: np.random.Generator) -> Image.Image:
  """Draws a backdrop: usually a crop of another picture, sometimes blurred or plain."""
  kind = rng.random()
  if kind < 0.12 or not backdrops:
    names = sorted(COLORS)
    color = COLORS[names[int(rng.integers(len(names)))]]
    return _lit(Image.new("RGB", (SIDE, SIDE), color), rng)
  ground = _crop(backdrops[int(rng.integers(len(backdrops)))](), rng)
  if kind < 0.45:
    ground = ground.filter(ImageFilter.GaussianBlur(float(rng.uniform(1, 4))))
  return ground


def cutout_scenes(
  cutouts: Sequence[Picture],
  splits: Mapping[str, str],
  backdrops: Mapping[str, Sequence[Load]],
  *,
  number: int,
  seed: int,
) -> list[Scene]:
  """Lists scenes of cut-outs in front of backdrops; a third show a second cut-out.

  Args:
    cutouts: pictures with an alpha channel.
    splits: the split of each picture's group.
    backdrops: possible backdrops, by split.
    number: number of scenes per cut-out.
    seed: seeds every random draw.
  """
  by_split: dict[str, list[Picture]] = {}
  for picture in cutouts:
    by_split.setdefault(splits[picture.group], []).append(picture)
  scenes = []
  for picture in cutouts:
    split = splits[picture.group]
    for turn in range(number):
      key = f"{picture.key}#{turn}"
      shown = [picture]
      rng = _rng(key, seed)
      if rng.random() < 0.33:
        others = [p for p in by_split[split] if p.what != picture.what]
        shown += [others[int(rng.integers(len(others)))]] if others else []
      scenes.append(
        Scene(
          key=key,
          split=split,
          group=picture.group,
          tags=tuple(_tags(one) for one in shown),
          render=functools.partial(
            _render_cutouts, tuple(shown), tuple(backdrops.get(split, ())), key, seed
          ),
        )
      )
  return scenes


def _render_cutouts(
  pictures: tuple[Picture, ...], backdrops: tuple[Load, ...], key: str, seed: int
) -> Rendered:
  rng = _rng(key + "/pixels", seed)
  scene = _ground(backdrops, rng)
  alphas: list[np.ndarray] = []
  for number, picture in enumerate(pictures):
    layer = _lit(Image.fromarray(picture.load(), "RGBA"), rng)
    if rng.random() < 0.5:
      layer = layer.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turn = float(rng.uniform(-MOST_TURN, MOST_TURN))
    layer = layer.rotate(turn, Image.Resampling.BICUBIC, expand=True)
    layer = layer.crop(layer.getchannel("A").getbbox() or (0, 0, *layer.size))
    largest = LARGEST if len(pictures) == 1 else 0.6
    part = float(rng.uniform(SMALLEST, largest))
    scale = part * SIDE / max(layer.size)
    wide, high = (max(8, round(length * scale)) for length in layer.size)
    layer = layer.resize((wide, high), Image.Resampling.LANCZOS)
    free = [max(SIDE - length, 0) for length in layer.size]
    left, top = (int(rng.integers(room + 1)) for room in free)
    if len(pictures) == 2:  # side by side, so that neither hides the other
      left = left // 2 if number == 0 else free[0] - (free[0] - left) // 2
    place = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    place.paste(layer, (left, top))
    scene.paste(place.convert("RGB"), (0, 0), place.getchannel("A"))
    alpha = np.asarray(place.getchannel("A")).astype(np.float32) / 255
    alphas = [under * (1 - alpha) for under in alphas] + [alpha]
  return Rendered(np.asarray(scene), np.stack([_cells(alpha) for alpha in alphas]))


def texture_scenes(
  textures: Sequence[Picture],
  splits: Mapping[str, str],
  backdrops: Mapping[str, Sequence[Load]],
  *,
  number: int,
  seed: int,
) -> list[Scene]:
  """Lists scenes of textures that fill the picture, or a blob before a backdrop."""
  scenes = []
  for picture in textures:
    split = splits[picture.group]
    for turn in range(number):
      key = f"{picture.key}#{turn}"
      scenes.append(
        Scene(
          key=key,
          split=split,
          group=picture.group,
          tags=(_tags(picture),),
          render=functools.partial(
            _render_texture, picture, tuple(backdrops.get(split, ())), key, seed
          ),
        )
      )
  return scenes


def blob(rng: np.random.Generator) -> Float[np.ndarray, "56 56"]:
  """Returns a random smooth map, 0 to 1."""
  return filters.random_field(GRID, GRID / 9, rng)


def _render_texture(
  picture: Picture, backdrops: tuple[Load, ...], key: str, seed: int
) -> Rendered:
  rng = _rng(key + "/pixels", seed)
  surface = _lit(_crop(picture.load(), rng), rng)
  shape = blob(rng)
  if rng.random() < 0.6 or not backdrops:
    return Rendered(np.asarray(surface), shape[None])
  inside = np.clip((shape - np.quantile(shape, 0.55)) * 12, 0, 1)
  mask = Image.fromarray((inside * 255).astype(np.uint8)).resize((SIDE, SIDE))
  scene = _ground(backdrops, rng)
  scene.paste(surface, (0, 0), mask)
  part = _cells(np.asarray(mask).astype(np.float32) / 255)
  return Rendered(np.asarray(scene), part[None])


def whole_scenes(
  pictures: Sequence[Picture], splits: Mapping[str, str], *, number: int, seed: int
) -> list[Scene]:
  """Lists scenes of named photographs whose subject fills most of the picture."""
  scenes = []
  for picture in pictures:
    for turn in range(number):
      key = f"{picture.key}#{turn}"
      scenes.append(
        Scene(
          key=key,
          split=splits[picture.group],
          group=picture.group,
          tags=(_tags(picture),),
          render=functools.partial(_render_whole, picture, key, seed),
        )
      )
  return scenes


def _render_whole(picture: Picture, key: str, seed: int) -> Rendered:
  rng = _rng(key + "/pixels", seed)
  image = Image.fromarray(picture.load()[..., :3])
  shorter = min(image.size)
  side = shorter * float(rng.uniform(0.82, 1.0))
  left, top = ((length - side) / 2 for length in image.size)
  box = (left, top, left + side, top + side)
  scene = _lit(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box), rng)
  if rng.random() < 0.5:
    scene = scene.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
  middle = soft_shape((30.0, 30.0, 194.0, 194.0), round_=True)
  return Rendered(np.asarray(scene), middle[None])


def text_scenes(
  backdrops: Mapping[str, Sequence[Load]], *, number: Mapping[str, int], seed: int
) -> list[Scene]:
  """Lists scenes of words, numbers and lines of text in named colors on backdrops."""
  scenes = []
  names = sorted(COLORS)
  for split, count in number.items():
    for turn in range(count):
      key = f"text:{split}#{turn}"
      color = names[int(_rng(key, seed).integers(len(names)))]
      scenes.append(
        Scene(
          key=key,
          split=split,
          group=key,
          tags=(Tags("text", colors=(color,)),),
          render=functools.partial(
            _render_text, tuple(backdrops.get(split, ())), color, key, seed
          ),
        )
      )
  return scenes


def _render_text(
  backdrops: tuple[Load, ...], color: str, key: str, seed: int
) -> Rendered:
  rng = _rng(key + "/pixels", seed)
  scene = _ground(backdrops, rng)
  lines = letterings.lines(rng)
  height = float(rng.uniform(14, 70)) / len(lines) ** 0.5
  font = ImageFont.load_default(height)
  ink = Image.new("L", (2 * SIDE, 2 * SIDE), 0)
  draw = ImageDraw.Draw(ink)
  draw.multiline_text((20, 20), "\n".join(lines), fill=255, font=font, spacing=4)
  ink = ink.crop(ink.getbbox())
  if rng.random() < 0.4:
    turn = float(rng.uniform(-25, 25))
    ink = ink.rotate(turn, Image.Resampling.BICUBIC, expand=True)
  if max(ink.size) > SIDE - 8:
    scale = (SIDE - 8) / max(ink.size)
    ink = ink.resize([max(4, round(length * scale)) for length in ink.size])
  left, top = (int(rng.integers(SIDE - length + 1)) for length in ink.size)
  place = Image.new("L", (SIDE, SIDE), 0)
  place.paste(ink, (left, top))
  if rng.random() < 0.5:  # on a plate, like signs and labels
    light = sum(COLORS[color]) < 380
    plate = (240, 238, 230) if light else (25, 28, 35)
    around = (left - 8, top - 8, left + ink.width + 8, top + ink.height + 8)
    ImageDraw.Draw(scene).rectangle(around, fill=plate)
  scene.paste(Image.new("RGB", (SIDE, SIDE), COLORS[color]), (0, 0), place)
  strokes = _cells(np.asarray(place).astype(np.float32) / 255)
  soft = filters.filtered(strokes, 1.2)
  return Rendered(np.asarray(scene), (soft / max(soft.max(), 1e-6))[None])
