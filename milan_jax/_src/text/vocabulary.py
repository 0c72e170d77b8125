"""Maps tokens to ids and back."""

import collections
import dataclasses
import functools
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int

from milan_jax._src.errors import UserError

SPECIAL_TOKENS = ("<start>", "<stop>", "<pad>", "<unk>")


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """The tokens that a captioner knows. A token's id is its index.

  The ids of the four special tokens come last: start, stop, pad, unk.

  Attributes:
    tokens: the ordinary tokens, most frequent first.

  Raises:
    UserError: if a token is repeated, is empty or is the name of a special token.
  """

  tokens: tuple[str, ...]

  def __post_init__(self) -> None:
    # A repeated token would have two ids, of which `encode` could use only one.
    if len(self._ids) != len(self.tokens):
      counts = collections.Counter(self.tokens)
      twice = sorted(token for token, count in counts.items() if count > 1)
      raise UserError(
        f"a vocabulary holds each token once, but {', '.join(map(repr, twice[:5]))} "
        "is repeated: remove the copies"
      )
    for token in ("", *SPECIAL_TOKENS):
      if token in self._ids:
        raise UserError(
          f"a vocabulary holds ordinary tokens only, but token {self._ids[token]} "
          f"is {token!r}: remove it; the special tokens are added automatically"
        )

  @functools.cached_property
  def _ids(self) -> dict[str, int]:
    return {token: index for index, token in enumerate(self.tokens)}

  @property
  def vocab_size(self) -> int:
    """Number of ids, including the four special ones."""
    return len(self.tokens) + len(SPECIAL_TOKENS)

  @property
  def start_id(self) -> int:
    """Id of the token at the start of a caption."""
    return len(self.tokens)

  @property
  def stop_id(self) -> int:
    """Id of the token at the end of a caption."""
    return len(self.tokens) + 1

  @property
  def pad_id(self) -> int:
    """Id of the token that pads a caption after its end."""
    return len(self.tokens) + 2

  @property
  def unk_id(self) -> int:
    """Id of every token outside the vocabulary."""
    return len(self.tokens) + 3

  def __contains__(self, token: str) -> bool:
    """Returns whether `token` is an ordinary token of the vocabulary."""
    return token in self._ids

  def token(self, token_id: int) -> str:
    """Returns the ordinary or special token with this id."""
    if token_id < 0:
      raise IndexError(f"ids start at 0, but got {token_id}")
    if token_id < len(self.tokens):
      return self.tokens[token_id]
    return SPECIAL_TOKENS[token_id - len(self.tokens)]

  def encode(
    self,
    tokens: Sequence[str],
    *,
    start: bool = True,
    stop: bool = True,
    pad: bool = True,
    unk: bool = True,
    length: int | None = None,
  ) -> list[int]:
    """Returns the ids of one caption's tokens.

    Args:
      tokens: the tokens of one caption.
      start: begin with the start id.
      stop: end with the stop id.
      pad: pad to `length` tokens plus the start and stop ids.
      unk: replace unknown tokens with the unk id; otherwise drop them. Padding replaces
        dropped tokens, so captions encoded with one `length` have one length.
      length: maximum number of tokens kept, not counting start and stop; by default
        the caption's own number of tokens.
    """
    if length is None:
      length = len(tokens)
    known = (self._ids.get(token, self.unk_id) for token in tokens[:length])
    ids = [token_id for token_id in known if unk or token_id != self.unk_id]
    ids = [self.start_id] * start + ids + [self.stop_id] * stop
    if pad:
      ids += [self.pad_id] * (length + start + stop - len(ids))
    return ids

  def encode_batch(
    self,
    captions: Sequence[Sequence[str]],
    *,
    start: bool = True,
    stop: bool = True,
    unk: bool = True,
    length: int | None = None,
  ) -> Int[np.ndarray, "batch length"]:
    """Returns the ids of many captions, padded to one length.

    Args:
      captions: the tokens of each caption.
      start: begin with the start id.
      stop: end with the stop id.
      unk: replace unknown tokens with the unk id; otherwise drop them.
      length: maximum number of tokens kept from each caption, not counting start and
        stop; by default the length of the longest caption.
    """
    if length is None:
      length = max(map(len, captions), default=0)
    ids = np.full((len(captions), length + start + stop), self.pad_id, np.int32)
    for row, tokens in zip(ids, captions, strict=True):
      row[:] = self.encode(tokens, start=start, stop=stop, unk=unk, length=length)
    return ids

  def decode(self, ids: Sequence[int] | Int[np.ndarray, "length"]) -> list[str]:
    """Returns the ordinary tokens before the first stop; drops special tokens."""
    tokens = []
    for token_id in ids:
      if token_id == self.stop_id:
        break
      if token_id < len(self.tokens):
        tokens.append(self.token(int(token_id)))
    return tokens


def build_vocabulary(
  captions: Iterable[Sequence[str]], *, size: int | None = None, min_count: int = 1
) -> Vocabulary:
  """Builds a vocabulary sorted by frequency, ties in order of first appearance.

  Args:
    captions: the tokens of each caption.
    size: maximum number of ordinary tokens; None keeps all.
    min_count: minimum number of occurrences of a kept token.
  """
  counts = collections.Counter(token for tokens in captions for token in tokens)
  # The sort is stable and a Counter iterates in order of first appearance.
  kept = [token for token, count in counts.most_common(size) if count >= min_count]
  return Vocabulary(tuple(kept))
