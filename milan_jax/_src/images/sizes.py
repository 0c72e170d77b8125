"""Sizes of images in pixels: one number for a square, or height and width."""

Size = int | tuple[int, int]


def sides(size: Size) -> tuple[int, int]:
  """Height and width."""
  return (size, size) if isinstance(size, int) else size


def size_from_sides(height: int, width: int) -> Size:
  """The size of an image; one number if it is square."""
  return height if height == width else (height, width)


def size_text(size: Size) -> str:
  """A size as text: `128 x 64`."""
  height, width = sides(size)
  return f"{height} x {width}"
