import pytest

from milan_jax._src.lab.corpus import things, words

PLURALS = {
  "dog": "dogs",
  "bush": "bushes",
  "box": "boxes",
  "wrench": "wrenches",
  "dress": "dresses",
  "fox": "foxes",
  "bus": "buses",
  "butterfly": "butterflies",
  "donkey": "donkeys",
  "toy": "toys",
  "leaf": "leaves",
  "knife": "knives",
  "shelf": "shelves",
  "person": "people",
  "woman": "women",
  "fireman": "firemen",
  "human": "humans",
  "fish": "fish",
  "goldfish": "goldfish",
  "starfish": "starfish",
  "sheep": "sheep",
  "deer": "deer",
  "goose": "geese",
  "mouse": "mice",
  "potato": "potatoes",
  "cactus": "cacti",
  "foot": "feet",
  "tooth": "teeth",
  "hot dog": "hot dogs",
  "polar bear": "polar bears",
  "palm tree": "palm trees",
  "traffic light": "traffic lights",
  "police officer": "police officers",
  "life jacket": "life jackets",
  "brick wall": "brick walls",
  "electronic device": "electronic devices",
}
ALONE = (
  *("grass", "water", "sky", "fur", "text", "furniture", "footwear", "ice cream"),
  *("rusty metal", "sports equipment", "pants", "scissors", "leaves", "roof tiles"),
  *("wooden planks", "swimming trunks", "lights", "seeds", "eyebrows", "toes"),
)
ARTICLES = {
  "dog": "a dog",
  "apple": "an apple",
  "orca": "an orca",
  "umbrella": "an umbrella",
  "unicycle": "a unicycle",
  "uniform": "a uniform",
  "ukulele": "a ukulele",
  "hourglass": "an hourglass",
  "horse": "a horse",
  "hot air balloon": "a hot air balloon",
  "electronic device": "an electronic device",
}


@pytest.mark.parametrize(("one", "many"), PLURALS.items())
def test_a_noun_that_is_counted_has_a_plural(one, many):
  assert words.plural(one) == many
  assert not words.is_uncountable(one)


@pytest.mark.parametrize("noun", ALONE)
def test_what_is_not_counted_stays_as_it_is(noun):
  assert words.is_uncountable(noun)
  assert words.plural(noun) == words.with_article(noun) == noun


@pytest.mark.parametrize(("noun", "said"), ARTICLES.items())
def test_articles_go_by_the_sound(noun, said):
  assert words.with_article(noun) == said


@pytest.mark.parametrize(
  ("noun", "expected"),
  [
    ("beetle", ("insect", "bug", "animal")),
    ("spider", ("bug", "animal")),
    ("dog", ("pet", "mammal", "animal")),
    ("eagle", ("bird", "animal")),
    ("lion", ("wild cat", "mammal", "animal")),
    ("shark", ("fish", "sea animal", "animal")),
    ("fish", ("sea animal", "animal")),
    ("bird", ("animal",)),
    ("insect", ("bug", "animal")),
    ("woman", ("person",)),
    ("person", ()),
    ("orange", ("fruit", "food")),
    ("guinea pig", ("pet", "rodent", "mammal", "animal")),
    ("fire truck", ("vehicle",)),
    ("taxi", ("car", "vehicle")),
    ("brick wall", ("wall",)),
    ("thought", ()),
  ],
)
def test_categories_come_nearest_first(noun, expected):
  assert things.categories(noun) == expected


def test_every_noun_of_a_category_has_it_and_smaller_ones_come_first():
  lists = {name: set(text.split()) for name, text in things._CATEGORIES.items()}
  for name, nouns in lists.items():
    for noun in nouns:
      plain = noun.replace("-", " ")
      found = things.categories(plain)
      assert (name in found) == (plain != name), (name, noun)
      assert len(set(found)) == len(found)
      assert plain not in found
      sizes = [
        len(things._CATEGORIES[each].split()) for each in found if each != "animal"
      ]
      assert sizes == sorted(sizes)
      assert "animal" not in found[:-1]


def test_aliases_name_one_thing_each():
  for table in (things.ALIASES, things.PART_ALIASES):
    for other, name in table.items():
      assert name not in table, f"{other} would need to be looked up twice"
