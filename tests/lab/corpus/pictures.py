"""Pictures of which a person knows the answer."""

import numpy as np

SIZE = 224
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]


def flat(color):
  return np.full((SIZE, SIZE, 3), color, np.uint8)


def disc(color, ground, row=112, column=112, radius=50):
  image = flat(ground)
  image[(ROWS - row) ** 2 + (COLUMNS - column) ** 2 < radius**2] = color
  return image


def halves(first, second, angle=0.0):
  """`first` above `second`, split by a line turned clockwise by `angle` degrees."""
  turn = np.radians(angle)
  depth = np.cos(turn) * (ROWS - 111.5) - np.sin(turn) * (COLUMNS - 111.5)
  return np.where((depth < 0)[..., None], flat(first), flat(second))


def bars(angle=0.0, period=16):
  """A wave of gray whose crests are level, turned clockwise by `angle` degrees."""
  turn = np.radians(angle)
  depth = np.cos(turn) * ROWS - np.sin(turn) * COLUMNS
  wave = 128 + 100 * np.sin(2 * np.pi * depth / period)
  return np.repeat(wave[..., None], 3, -1).astype(np.uint8)


def line(color, ground, angle=0.0, width=3):
  """A line through the middle, level, turned clockwise by `angle` degrees."""
  turn = np.radians(angle)
  depth = np.cos(turn) * (ROWS - 112) - np.sin(turn) * (COLUMNS - 112)
  return np.where((np.abs(depth) < width / 2)[..., None], flat(color), flat(ground))


def noise(seed=0, low=0, high=255):
  rng = np.random.default_rng(seed)
  gray = rng.integers(low, high + 1, (SIZE, SIZE, 1), np.uint8)
  return np.repeat(gray, 3, -1)
