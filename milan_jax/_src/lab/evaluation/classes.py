"""ImageNet's 1,000 classes and the right words for each, from WordNet.

A level is a distance in WordNet: a class's own names are at level 0, those of its
direct hypernyms at level 1, and so on. Uninformative synsets are skipped and have no
level.
"""

import functools
import importlib.resources
import json
from typing import Any

from milan_jax._src.text.judge import Truth

FILE = "imagenet_classes.json"
# A strict description names the class or a hypernym within this many levels and with at
# most this many classes ("hunting dog" has 63, "vehicle" 67, "dog" 118).
LOWER_LEVELS = 3
MOST_CLASSES = 70

# Uninformative synsets, by the first of their names. Some, such as "device", are not
# visible in a picture.
UNINFORMATIVE = frozenset(
  {
    *("entity", "physical entity", "object", "whole", "artifact", "matter"),
    *("living thing", "organism", "instrumentality", "causal agent", "abstraction"),
    *("natural object", "thing", "unit", "part", "piece", "substance", "solid"),
    *("fluid", "liquid", "agent", "article", "relation", "attribute", "group"),
    *("collection", "body part", "measure", "psychological feature", "state"),
    *("device", "covering", "protective covering", "commodity", "consumer goods"),
    *("durables", "equipment", "restraint", "mechanism", "mechanical device"),
    *("obstruction", "obstacle", "establishment", "support", "supporting structure"),
    *("ware", "system", "way", "reproductive structure", "plant organ", "plant part"),
    *("material", "creation", "product", "plaything", "drug", "drug of abuse"),
    *("communication", "signal", "indication", "cause", "force", "line", "surface"),
    *("top", "cover", "component", "fixture", "attachment", "connection"),
    *("process", "physical process", "phenomenon", "natural phenomenon"),
  }
)
# Names that have another meaning in descriptions of pictures.
AMBIGUOUS = frozenset(
  {
    *("part", "portion", "piece", "top", "cover", "toy", "good", "game", "wind"),
    *("wood", "arm", "lid", "course", "article", "support", "formation", "ray"),
    *("protection", "case", "span", "hose", "base", "being", "tie", "sweet", "bit"),
    *("cause", "key", "light", "line", "body", "blower", "turn", "unit", "way"),
    *("instrumentality", "component part", "fall", "drop", "ring", "head", "back"),
  }
)
# Everyday words for a synset, by the first of its names, or by its id if several
# synsets share that name.
EVERYDAY = {
  "canine": {"dog"},
  "wild dog": {"dog"},
  "domestic animal": {"pet"},
  "feline": {"cat"},
  "equine": {"horse"},
  "bovid": {"cow", "cattle", "sheep", "goat"},
  "bovine": {"cow", "cattle"},
  "ruminant": {"cow", "deer"},
  "swine": {"pig"},
  "primate": {"monkey", "ape"},
  "procyonid": {"panda", "bear", "raccoon"},
  "rodent": {"mouse", "rat"},
  "leporid": {"rabbit", "bunny"},
  "musteline mammal": {"weasel"},
  "cetacean": {"whale", "dolphin"},
  "aquatic mammal": {"whale", "seal"},
  "proboscidean": {"elephant"},
  "marsupial": {"kangaroo", "koala"},
  "aquatic bird": {"water bird", "duck"},
  "waterfowl": {"duck", "goose"},
  "wading bird": {"heron"},
  "gallinaceous bird": {"chicken", "hen"},
  "bird of prey": {"eagle", "owl", "hawk"},
  "snake": {"reptile"},
  "saurian": {"lizard"},
  "chelonian": {"turtle", "tortoise"},
  "crocodilian reptile": {"crocodile", "alligator"},
  "amphibian": {"frog", "salamander"},
  "arachnid": {"spider", "bug"},
  "insect": {"bug"},
  "arthropod": {"bug"},
  "lepidopterous insect": {"butterfly", "moth"},
  "crustacean": {"crab", "lobster", "shellfish"},
  "mollusk": {"shell", "snail"},
  "coelenterate": {"coral", "jellyfish"},
  "elasmobranch": {"shark"},
  "fungus": {"mushroom"},
  "person": {"man", "woman", "people", "human"},
  "conveyance": {"vehicle"},
  "wheeled vehicle": {"car", "vehicle"},
  "self-propelled vehicle": {"car", "vehicle"},
  "motor vehicle": {"car", "truck"},
  "public transport": {"bus", "train"},
  "military vehicle": {"tank"},
  "craft": {"boat", "ship"},
  "n04530566": {"boat", "ship"},  # a watercraft
  "aircraft": {"plane", "airplane"},
  "structure": {"building"},
  "building": {"house"},
  "dwelling": {"house", "building"},
  "housing": {"house", "building"},
  "place of worship": {"church", "building"},
  "mercantile establishment": {"shop", "store", "building"},
  "place of business": {"shop", "building"},
  "memorial": {"statue", "monument"},
  "clothing": {"clothes", "garment"},
  "garment": {"clothes", "clothing"},
  "footwear": {"shoe"},
  "headdress": {"hat", "helmet"},
  "neckwear": {"tie", "scarf", "necktie"},
  "armor": {"helmet"},
  "fabric": {"cloth", "textile"},
  "furnishing": {"furniture"},
  "seat": {"chair", "furniture"},
  "baby bed": {"crib", "bed"},
  "bedroom furniture": {"bed"},
  "implement": {"tool"},
  "edge tool": {"knife", "blade"},
  "weapon": {"gun"},
  "gun": {"weapon"},
  "musical instrument": {"music"},
  "stringed instrument": {"guitar", "violin"},
  "percussion instrument": {"drum"},
  "wind instrument": {"horn", "flute"},
  "keyboard instrument": {"piano"},
  "timepiece": {"clock", "watch"},
  "electronic equipment": {"electronics", "electronic", "electronic device"},
  "machine": {"machinery"},
  "computer": {"electronics", "screen", "laptop"},
  "peripheral": {"computer", "electronics"},
  "telephone": {"phone", "electronics"},
  "optical instrument": {"glasses", "camera", "lens"},
  "home appliance": {"appliance", "electronics"},
  "appliance": {"machine"},
  "kitchen utensil": {"kitchen", "pan", "pot"},
  "cooking utensil": {"pan", "pot"},
  "tableware": {"cup", "plate", "bowl", "dish"},
  "crockery": {"cup", "plate", "bowl", "dish"},
  "n04531098": {"bowl", "cup"},  # a container
  "bottle": {"glass"},
  "lamp": {"light"},
  "source of illumination": {"light", "lamp"},
  "game equipment": {"ball", "sports"},
  "sports equipment": {"sports"},
  "signboard": {"sign", "text"},
  "food": {"meal"},
  "foodstuff": {"food"},
  "nutriment": {"food", "dish", "meal"},
  "beverage": {"drink", "cup", "glass"},
  "produce": {"food", "fruit", "vegetable"},
  "edible fruit": {"fruit"},
  "fruit": {"food"},
  "baked goods": {"bread", "pastry", "food"},
  "dessert": {"food"},
  "vegetable": {"food"},
  "angiosperm": {"flower", "plant"},
  "flower": {"plant"},
  "geological formation": {"landscape", "mountain", "rock", "land", "scenery"},
  "natural elevation": {"mountain", "hill", "land"},
  "shore": {"beach", "coast", "water"},
  "barrier": {"fence", "wall"},
  "movable barrier": {"door", "gate"},
  "screen": {"monitor", "television"},
  "hosiery": {"sock"},
  "toiletry": {"bottle"},
  "bag": {"purse"},
  "box": {"container"},
  "roof": {"building"},
  "publication": {"book", "text"},
  "web site": {"text", "screen"},
}


@functools.cache
def _table() -> dict[str, Any]:
  file = importlib.resources.files("milan_jax._src.lab.evaluation") / FILE
  table: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
  return table


def wnids() -> tuple[str, ...]:
  """Returns the WordNet ids of the classes in the order of the logits."""
  return tuple(_table()["classes"])


def lemmas(wnid: str) -> tuple[str, ...]:
  """Returns the names of a class or of a hypernym of a class."""
  return tuple(_table()["synsets"][wnid]["lemmas"])


@functools.cache
def levels(wnid: str) -> tuple[frozenset[str], ...]:
  """Returns the informative hypernyms of a class by level, nearest first."""
  synsets = _table()["synsets"]
  seen, frontier, found = {wnid}, {wnid}, []
  while frontier:
    above: set[str] = set()
    waiting = [name for each in frontier for name in synsets[each]["above"]]
    while waiting:
      name = waiting.pop()
      if name in seen:
        continue
      seen.add(name)
      if synsets[name]["lemmas"][0] in UNINFORMATIVE:
        waiting += synsets[name]["above"]
      else:
        above.add(name)
    if above:
      found.append(frozenset(above))
    frontier = above
  return tuple(found)


@functools.cache
def num_classes(wnid: str) -> int:
  """Returns the number of classes below a synset."""
  return sum(wnid in level for each in wnids() for level in levels(each))


@functools.cache
def lower(wnid: str) -> frozenset[str]:
  """Returns the class and its near hypernyms; related classes share one of these."""
  near = frozenset().union(*levels(wnid)[:LOWER_LEVELS])
  return frozenset(
    {wnid, *(name for name in near if num_classes(name) <= MOST_CLASSES)}
  )


@functools.cache
def truth(wnid: str) -> Truth:
  """Returns the truth of a class.

  Lenient: the names of the class and of all its hypernyms, with their everyday words.
  Strict: those of the class and its near hypernyms only.
  """
  above = frozenset().union(*levels(wnid))
  own = lemmas(wnid)
  nearest = [lemmas(name)[0] for level in levels(wnid)[:LOWER_LEVELS] for name in level]
  return Truth(
    name=own[0],
    lenient=_names({wnid, *above}),
    strict=(_names(lower(wnid)),),
    references=tuple(dict.fromkeys([own[0], *sorted(nearest)])),
  )


def _names(synsets: set[str] | frozenset[str]) -> frozenset[str]:
  names = {name for each in synsets for name in lemmas(each)} - AMBIGUOUS
  keys = (key for each in synsets for key in (each, lemmas(each)[0]))
  return frozenset(names.union(*(EVERYDAY.get(key, set()) for key in keys)))
