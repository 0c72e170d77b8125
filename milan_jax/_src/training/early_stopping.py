"""When to stop: after some epochs in a row that did not improve."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True, slots=True)
class EarlyStopping:
  """What the held-out parts of the epochs so far say.

  Attributes:
    patience: epochs without improvement that are forgiven. With 4, as in the original,
      the fifth in a row stops the run.
    best: the lowest value so far.
    best_epoch: the epoch that reached it; -1 before the first.
    epoch: number of epochs seen.
  """

  patience: int = 4
  best: float = math.inf
  best_epoch: int = -1
  epoch: int = 0

  def updated(self, value: float) -> "EarlyStopping":
    """Returns the state after an epoch. An equal value, or NaN, does not improve."""
    following = dataclasses.replace(self, epoch=self.epoch + 1)
    if value < self.best:
      return dataclasses.replace(following, best=value, best_epoch=self.epoch)
    return following

  @property
  def improved(self) -> bool:
    """Says whether the last epoch is the best."""
    return self.epoch > 0 and self.best_epoch == self.epoch - 1

  @property
  def stop(self) -> bool:
    """Says whether to stop now."""
    return self.epoch - 1 - self.best_epoch > self.patience
