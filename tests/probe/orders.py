"""Small torch modules whose tokens have the orders of well-known architectures."""

import torch
from torch import nn


class Patches(nn.Module):
  """Patches in row-major order, and layers on each: `norm`, then `fc1`."""

  def __init__(self, dim: int = 24):
    super().__init__()
    torch.manual_seed(0)
    self.cut = nn.Conv2d(3, dim, 4, 4)
    self.norm = nn.LayerNorm(dim)
    self.fc1 = nn.Linear(dim, 2 * dim)

  def order(self, tokens: torch.Tensor) -> torch.Tensor:
    return tokens

  def forward(self, pixels: torch.Tensor) -> torch.Tensor:
    tokens = self.cut(pixels).flatten(2).transpose(1, 2)
    return self.fc1(self.norm(self.order(tokens)))


class Unrolled(Patches):
  """Hiera's order: by position in a 2 x 2 square, and in a 2 x 2 square of squares."""

  def order(self, tokens):
    batch, number, dim = tokens.shape
    side = round(number**0.5)
    maps = tokens.reshape(batch, side // 4, 2, 2, side // 4, 2, 2, dim)
    return maps.permute(0, 3, 6, 2, 5, 1, 4, 7).reshape(batch, number, dim)


class Blocks(Patches):
  """NesT's order: blocks of neighbors on a separate axis."""

  def order(self, tokens):
    batch, number, dim = tokens.shape
    half = round(number**0.5) // 2
    maps = tokens.reshape(batch, 2, half, 2, half, dim).transpose(2, 3)
    return maps.reshape(batch, 4, number // 4, dim)


class BlocksInOneAxis(Blocks):
  """The same, with blocks concatenated."""

  def order(self, tokens):
    return super().order(tokens).flatten(1, 2)


class Columns(Patches):
  """Column-major order, which no layout expresses."""

  def order(self, tokens):
    batch, number, dim = tokens.shape
    side = round(number**0.5)
    return tokens.reshape(batch, side, side, dim).transpose(1, 2).flatten(1, 2)


class Beside(Patches):
  """Leading and trailing tokens that are not patches; YOLOS has 1 and 5."""

  def __init__(self, front: int, behind: int):
    super().__init__()
    self.front = nn.Parameter(torch.randn(front, 24))
    self.behind = nn.Parameter(torch.randn(behind, 24))

  def order(self, tokens):
    front, behind = (one.expand(len(tokens), -1, -1) for one in self.parts())
    return torch.cat([front, tokens, behind], dim=1)

  def parts(self):
    return self.front, self.behind


class Mixer(Patches):
  """Mixes tokens within each channel; the number of channels is a square."""

  def __init__(self):
    super().__init__(36)
    self.mlp_tokens = nn.Sequential(nn.Linear(64, 16), nn.GELU(), nn.Linear(16, 64))

  def order(self, tokens):
    return tokens + self.mlp_tokens(tokens.transpose(1, 2)).transpose(1, 2)


class Pooled(Patches):
  """Like Swin: a pooled vector (batch, units, 1) with a square number of units."""

  def __init__(self):
    super().__init__(18)
    self.pooler = nn.AdaptiveAvgPool1d(1)

  def forward(self, pixels):
    return self.pooler(super().forward(pixels).transpose(1, 2))


class Queries(Patches):
  """Like a perceiver: 49 learned tokens, which are not positions."""

  def __init__(self):
    super().__init__()
    self.queries = nn.Parameter(torch.randn(49, 48))
    self.attention = nn.MultiheadAttention(48, 2, batch_first=True)
    self.out = nn.Linear(48, 20)

  def forward(self, pixels):
    tokens = super().forward(pixels)
    queries = self.queries.expand(len(tokens), -1, -1)
    return self.out(self.attention(queries, tokens, tokens, need_weights=False)[0])


class Turned(nn.Module):
  """A map rotated by a right angle."""

  def __init__(self):
    super().__init__()
    torch.manual_seed(0)
    self.cut = nn.Conv2d(3, 8, 4, 4)
    self.turned = nn.Conv2d(8, 6, 1)

  def forward(self, pixels):
    return self.turned(torch.rot90(self.cut(pixels), 1, (2, 3)))
