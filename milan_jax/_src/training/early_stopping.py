"""Early stopping after consecutive epochs without improvement."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True, slots=True)
class EarlyStopping:
  """The validation history that decides when to stop.

  Attributes:
    patience: allowed consecutive epochs without improvement. With 4, as in the
      original, the fifth such epoch stops the run.
    best: the lowest value so far.
    best_epoch: the epoch of the lowest value; -1 before the first epoch.
    epoch: number of epochs so far.
  """

  patience: int = 4
  best: float = math.inf
  best_epoch: int = -1
  epoch: int = 0

  def updated(self, value: float) -> "EarlyStopping":
    """Returns the state after an epoch; an equal value or NaN is not an improvement."""
    following = dataclasses.replace(self, epoch=self.epoch + 1)
    if value < self.best:
      return dataclasses.replace(following, best=value, best_epoch=self.epoch)
    return following

  @property
  def improved(self) -> bool:
    """Whether the last epoch is the best so far."""
    return self.epoch > 0 and self.best_epoch == self.epoch - 1

  @property
  def stop(self) -> bool:
    """Whether to stop now."""
    return self.epoch - 1 - self.best_epoch > self.patience
