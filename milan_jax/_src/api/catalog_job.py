"""`milan-catalog`: a catalog of finished runs and of folders of exemplars."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from milan_jax._src.api.pages import digest_of
from milan_jax._src.api.runs import Run, open_run
from milan_jax._src.catalog.exports import (
  write_neuronpedia,
  write_original_catalog,
)
from milan_jax._src.catalog.page import Network, PageUnit, write_site
from milan_jax._src.catalog.pictures import folder_name
from milan_jax._src.catalog.run_page import RunFacts, run_network
from milan_jax._src.errors import UserError
from milan_jax._src.files.names import shown
from milan_jax._src.files.tables import UnitsOnce, read_rows
from milan_jax._src.options.catalog import CatalogOptions
from milan_jax._src.records import Description, ExemplarSet, Unit
from milan_jax._src.runs.progress import say
from milan_jax._src.runs.workdir import job_of, read_run
from milan_jax._src.store.annotations import FILE, read_annotations
from milan_jax._src.store.exemplar_sets import open_exemplars, set_name

Annotations = Mapping[Unit, Sequence[str]]
# Descriptions by their source's name.
Others = Mapping[str, Mapping[Unit, str]]


def write_catalog(options: CatalogOptions) -> pathlib.Path:
  """Writes a catalog.

  Args:
    options: all of them.

  Returns:
    The path of its page.

  Raises:
    UserError: nothing is named, a run or a folder cannot be read, or a file is of none
      of its units.
  """
  runs, folders = _split(options.runs), _split(options.exemplars)
  if not runs and not folders:
    raise UserError("--runs, --exemplars: expected some folders; found none.")
  others = _others(options.descriptions)
  given = read_annotations(options.annotations) if options.annotations else {}
  networks = [_of_run(open_run(folder)) for folder in runs]
  networks += [_of_exemplars(folder, given, others) for folder in folders]
  networks = _distinct(networks)
  _check_used(networks, given, others)
  networks = [
    dataclasses.replace(network, units=_with_texts(network.units, given, others))
    for network in networks
  ]
  names = list(dict.fromkeys(network.info.architecture for network in networks))
  title = options.title or f"What the units of {' and '.join(names)} respond to"
  exports = [options.original, options.neuronpedia]
  for flag, folder in zip(("original", "neuronpedia"), exports, strict=True):
    if folder and pathlib.Path(folder).exists():
      raise UserError(f"--{flag}: {folder} exists already: choose a new folder.")
  if any(exports):
    # Read more than once; regions are read only when they are drawn.
    networks = [
      dataclasses.replace(network, units=list(network.units)) for network in networks
    ]
  page = write_site(options.out, title, networks)
  say(f"{page}: the catalog")
  if options.original:
    write_original_catalog(options.original, networks, base_url=options.base_url)
    say(f"{options.original}: the catalog in the original's form")
  if options.neuronpedia:
    write_neuronpedia(options.neuronpedia, networks)
    say(f"{options.neuronpedia}: files for Neuronpedia")
  return page


def _split(text: str | None) -> list[str]:
  return [part.strip() for part in (text or "").split(",") if part.strip()]


def _of_run(run: Run) -> Network:
  """The units of a finished run."""
  known = read_run(run.folder) or {}
  config = run.config
  given = config.get("exemplars")
  images = config.get("images") or "packaged photographs"
  if config.get("latents"):
    images = f"those that it makes of {config['latents']}"
  facts = RunFacts(
    network=run.network,
    images="" if given else str(images),
    captioner=run.captioner,
    weights=str(known.get("weights_from", "")),
    demo=not (given or config.get("images") or config.get("latents")),
    parity=bool(config.get("parity", False)),
    source=json.dumps(dict(job_of(known)), sort_keys=True),
  )
  network = run_network(run.exemplars, run.descriptions, facts, run.features)
  return _named(network, run.folder.name)


def _of_exemplars(folder: str, given: Annotations, others: Others) -> Network:
  """The units of a folder of exemplars, described by people or from elsewhere."""
  found = open_exemplars(folder)
  own = dict(given)
  if not own and (pathlib.Path(folder) / FILE).is_file():
    own = dict(read_annotations(folder))
  first = next(iter(others.values()), {})
  said = {unit: texts[0] for unit, texts in own.items()} | dict(first)
  units = [
    unit for layer in found.layers for unit in found.exemplars(layer).signed_units()
  ]
  if not any(unit in said for unit in units):
    raise UserError(
      f"{folder}: no unit of it is described: give --annotations or --descriptions "
      "with the names of its layers, such as "
      f"{', '.join(map(repr, found.layers[:3]))}."
    )
  dead = _dead_units(found)
  entries = [
    Description(unit, said.get(unit, ""), 0.0, 0.0, dead=unit in dead) for unit in units
  ]
  name = set_name(folder)
  source = "annotations" if not first else next(iter(others))
  facts = RunFacts(network=name, images="", captioner="", source=digest_of(found))
  network = run_network(found, entries, facts)
  info = dataclasses.replace(
    network.info, facts={**network.info.facts, "Descriptions": shown(source)}
  )
  shown_units = (
    dataclasses.replace(each, scores={}, annotations=tuple(own.get(each.unit, ())))
    for each in network.units
  )
  return _named(dataclasses.replace(network, info=info, units=shown_units), name)


def _dead_units(found: ExemplarSet) -> set[Unit]:
  dead = set()
  for layer in found.layers:
    known = found.exemplars(layer)
    marked = zip(known.signed_units(), known.dead.tolist(), strict=True)
    dead |= {unit for unit, is_dead in marked if is_dead}
  return dead


def _named(network: Network, name: str) -> Network:
  info = dataclasses.replace(network.info, title=shown(name))
  return dataclasses.replace(network, info=info, key=folder_name(shown(name)))


def _distinct(networks: list[Network]) -> list[Network]:
  """Numbers networks of the same name."""
  found: list[Network] = []
  taken = {network.key for network in networks}
  seen = set[str]()
  for network in networks:
    own, number = network, 1
    while own.key in seen or (number > 1 and own.key in taken):
      number += 1
      own = _named(network, f"{network.info.title} {number}")
    seen.add(own.key)
    found.append(own)
  return found


def _others(text: str | None) -> dict[str, dict[Unit, str]]:
  """Reads descriptions from elsewhere, by the name of their source."""
  found: dict[str, dict[Unit, str]] = {}
  for part in _split(text):
    name, equals, path = part.partition("=")
    if not equals:
      name, path = pathlib.PurePath(part).stem, part
    if name in found:
      raise UserError(f"--descriptions: {name} is named twice: use NAME=FILE.")
    once, table = UnitsOnce(), {}
    columns = ("layer", "unit", "description")
    for row in read_rows(path, columns, optional=("sign",)):
      table[once.check(row)] = row.values["description"].strip()
    found[name] = table
  return found


def _check_used(
  networks: Sequence[Network], given: Annotations, others: Others
) -> None:
  """Raises UserError if a file has no layer of any network."""
  layers = {layer for network in networks for layer in network.layers}
  for name, table in {"--annotations": given, **others}.items():
    if table and not any(unit.layer in layers for unit in table):
      raise UserError(
        f"{name}: expected layers such as {', '.join(map(shown, sorted(layers)[:5]))}; "
        f"found {', '.join(map(shown, sorted({u.layer for u in table})[:5]))}: "
        "give a file of these units."
      )


def _with_texts(
  units: Iterable[PageUnit],
  given: Annotations,
  others: Others,
) -> Iterator[PageUnit]:
  """Adds annotations and descriptions from elsewhere to units."""
  for each in units:
    said = {
      name: table[each.unit] for name, table in others.items() if table.get(each.unit)
    }
    people = each.annotations or tuple(given.get(each.unit, ()))
    yield dataclasses.replace(each, annotations=people, others=said)
