"""Sizes of images: one number for squares, else height and width, in pixels."""

Size = int | tuple[int, int]


def sides(size: Size) -> tuple[int, int]:
  """Height and width."""
  return (size, size) if isinstance(size, int) else size


def of_sides(height: int, width: int) -> Size:
  """The size of an image; a number if it is a square."""
  return height if height == width else (height, width)


def by(size: Size) -> str:
  """A size as people read it: `128 x 64`."""
  height, width = sides(size)
  return f"{height} x {width}"
