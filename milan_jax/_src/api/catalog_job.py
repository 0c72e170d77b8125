"""`milan-catalog`: a catalog of finished runs and of folders of exemplars."""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from milan_jax._src.api.exemplar_digests import digest_of
from milan_jax._src.api.runs import Run, open_run
from milan_jax._src.api.unit_regions import unit_name
from milan_jax._src.catalog.exports import write_original_catalog
from milan_jax._src.catalog.neuronpedia import write_neuronpedia
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

# Options that name the folder of an export.
_EXPORTS = ("original", "neuronpedia")
# From the files of the export in the original's form to its folder of pictures.
_PICTURES = "../../images"
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
    UserError: nothing is named, a run or a folder cannot be read, a file is of none of
      its units, or a folder for an export exists or is not apart from the catalog.
  """
  runs, folders = _split(options.runs), _split(options.exemplars)
  if not runs and not folders:
    raise UserError("--runs, --exemplars: expected some folders; found none.")
  _check_folders(options)
  others = _others(options.descriptions)
  given = read_annotations(options.annotations) if options.annotations else {}
  found = [_of_run(open_run(folder)) for folder in runs]
  found += [_of_exemplars(folder, given, others) for folder in folders]
  units = list(itertools.chain.from_iterable(units for _, units in found))
  tables: dict[str, Collection[Unit]] = {"--annotations": given, **others}
  for name, table in tables.items():
    _check_used(name, table, units)
  networks = _distinct([network for network, _ in found])
  networks = [
    dataclasses.replace(network, units=_with_texts(network.units, given, others))
    for network in networks
  ]
  names = list(dict.fromkeys(network.info.architecture for network in networks))
  title = options.title or f"What the units of {' and '.join(names)} respond to"
  if options.original or options.neuronpedia:
    # Read more than once; regions are read only when they are drawn.
    networks = [
      dataclasses.replace(network, units=list(network.units)) for network in networks
    ]
  page = write_site(options.out, title, networks)
  say(f"{page}: the catalog")
  if options.original:
    base_url = options.base_url or _PICTURES
    write_original_catalog(options.original, networks, base_url=base_url)
    say(f"{options.original}: the catalog in the original's form")
  if options.neuronpedia:
    write_neuronpedia(options.neuronpedia, networks)
    say(f"{options.neuronpedia}: files for Neuronpedia")
  return page


def _split(text: str | None) -> list[str]:
  return [part.strip() for part in (text or "").split(",") if part.strip()]


def _check_folders(options: CatalogOptions) -> None:
  """Raises UserError if a folder is inside of another, or one for an export exists."""
  places = {
    flag: pathlib.Path(folder).resolve()
    for flag in ("out", *_EXPORTS)
    if (folder := getattr(options, flag))
  }
  for one, other in itertools.permutations(places, 2):
    if places[other].is_relative_to(places[one]):
      raise UserError(
        f"--{other}: expected a folder that is not inside of --{one}, "
        f"{getattr(options, one)}; found {getattr(options, other)}: choose another "
        "folder."
      )
  for flag in _EXPORTS:
    if flag in places and places[flag].exists():
      raise UserError(
        f"--{flag}: {getattr(options, flag)} exists already: choose a new folder."
      )


def _of_run(run: Run) -> tuple[Network, list[Unit]]:
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
  return _named(network, run.folder.name), [entry.unit for entry in run.descriptions]


def _of_exemplars(
  folder: str, given: Annotations, others: Others
) -> tuple[Network, list[Unit]]:
  """The units of a folder of exemplars, described by people or from elsewhere."""
  found = open_exemplars(folder)
  units = [
    unit for layer in found.layers for unit in found.exemplars(layer).signed_units()
  ]
  own = dict(given)
  if not own and (pathlib.Path(folder) / FILE).is_file():
    own = dict(read_annotations(folder))
    _check_used(str(pathlib.Path(folder) / FILE), own, units)
  first = next(iter(others.values()), {})
  said = {unit: texts[0] for unit, texts in own.items()} | dict(first)
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
  network = dataclasses.replace(network, info=info, units=shown_units)
  return _named(network, name), units


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
    if not table:
      raise UserError(f"{path} has no descriptions, only the names of the columns.")
    found[name] = table
  return found


def _check_used(name: str, table: Collection[Unit], units: Collection[Unit]) -> None:
  """Raises UserError if a file has none of the units.

  Args:
    name: of the file, or of its option.
    table: its units.
    units: all that it may be of.
  """
  if not table or not set(units).isdisjoint(table):
    return
  layers, theirs = (sorted({unit.layer for unit in some}) for some in (units, table))
  what, expected, found = "layers", layers, theirs
  if not set(layers).isdisjoint(theirs):
    what = "units"
    expected, found = ([unit_name(unit) for unit in some] for some in (units, table))
  raise UserError(
    f"{name}: expected {what} such as {', '.join(map(shown, expected[:5]))}; found "
    f"{', '.join(map(shown, found[:5]))}: give a file of these units."
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
