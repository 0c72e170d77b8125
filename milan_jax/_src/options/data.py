"""The options of `milan-data`."""

import dataclasses

from milan_jax._src.options.fields import Options, option


@dataclasses.dataclass(frozen=True, slots=True)
class AnnotatedDataOptions(Options):
  """Downloads, merges, counts, checks or exports annotated exemplars.

  The action comes first: download, merge, stats, check, export or records.
  """

  data: str | None = option(
    None,
    "networks or groups of MILANNOTATIONS (alexnet/imagenet, base, "
    "not-alexnet-imagenet) or folders, comma-separated; downloaded if missing",
  )
  data_root: str | None = option(
    None,
    "folder of these networks, as MODEL/DATASET; default: milannotations in the cache",
  )
  images: str | None = option(
    None,
    "merge: the data set's validation pictures, with a folder per class, or the "
    "folder of DATASET/val; default: the data root",
  )
  parity: bool = option(
    False,
    "merge: squash pictures to the masks' size, as the original does, instead of "
    "cropping their center, as was done for the exemplars",
  )
  out: str | None = option(
    None,
    "export: the folder to write; records: the folder for the data sets of TFDS, local "
    "or remote (gs://); stats: a JSON file for the numbers",
    remote=True,
  )
