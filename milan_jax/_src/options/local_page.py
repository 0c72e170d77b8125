"""The options of `milan-demo`."""

import dataclasses

from milan_jax._src.errors import UserError
from milan_jax._src.options.fields import Options, option


@dataclasses.dataclass(frozen=True, slots=True)
class LocalPageOptions(Options):
  """Opens a local page to describe units again, your own pictures, and to search."""

  runs: str = option(
    "runs/describe",
    "run directories of milan-describe, comma-separated; empty for none: then only "
    "pictures can be described",
  )
  milan: str | None = option(
    None,
    "captioners to offer beside those of the runs: keys or released folders, "
    "comma-separated; default: starter if there is no run",
    remote=True,
  )
  port: int | None = option(None, "port; default: the first free one from 7860 on")
  share: bool = option(
    False,
    "also make a public link through Gradio's servers: whoever has it can use this "
    "machine, and what is shown and uploaded passes through them",
  )

  def _check_ranges(self) -> None:
    if self.port is not None and not 1 <= self.port <= 65535:
      raise UserError(f"--port={self.port}: expected 1 to 65535.")

  @property
  def run_folders(self) -> list[str]:
    """The run directories, each once."""
    return _items(self.runs)

  @property
  def captioner_names(self) -> list[str]:
    """The captioners to offer beside those of the runs."""
    default = "" if self.run_folders else "starter"
    return _items(default if self.milan is None else self.milan)


def _items(text: str) -> list[str]:
  items = (item.strip() for item in text.split(","))
  return list(dict.fromkeys(item for item in items if item))
