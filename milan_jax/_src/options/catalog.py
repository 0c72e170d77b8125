"""The options of `milan-catalog`."""

import dataclasses

from milan_jax._src.errors import UserError
from milan_jax._src.options.fields import Options, option


@dataclasses.dataclass(frozen=True, slots=True)
class CatalogOptions(Options):
  """Writes a catalog of finished runs, or of folders of exemplars, and exports it."""

  runs: str | None = option(
    None, "directories of finished runs of milan-describe, comma-separated"
  )
  exemplars: str | None = option(
    None,
    "folders of exemplars, in the original's layout or of milan-jax, comma-separated",
  )
  annotations: str | None = option(
    None,
    "CSV with columns layer,unit,summary, or a folder that holds annotations.csv; "
    "default: annotations.csv of each folder of exemplars, if it has one",
  )
  descriptions: str | None = option(
    None,
    "CSVs with columns layer,unit,description from elsewhere, shown beside: FILE or "
    "NAME=FILE, comma-separated",
  )
  out: str = option("catalog", "folder for the catalog")
  title: str | None = option(
    None, "heading of the catalog; default: from the networks", remote=True
  )
  original: str | None = option(
    None,
    "also write the catalog in the original's form, with a picture for each region, "
    "into this new folder",
  )
  base_url: str | None = option(
    None,
    "with --original: the address of its folder of pictures; default: ../../images",
    remote=True,
  )
  neuronpedia: str | None = option(
    None, "also write files for Neuronpedia's import into this new folder"
  )

  def _check_ranges(self) -> None:
    if self.base_url is not None and not self.original:
      raise UserError("--base_url: only --original uses it; leave it out.")
