"""The options of a command that several processes can run together."""

import dataclasses

from milan_jax._src.options.fields import Checked, option


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessOptions(Checked):
  """Who takes part in a run."""

  coordinator: str | None = option(
    None,
    "HOST:PORT of the first of several processes that work together, the same for all; "
    "each is started with all the same options but --process_id, and can reach workdir",
    remote=True,
  )
  num_processes: int = option(1, "number of processes")
  process_id: int = option(0, "index of this process; process 0 writes")
