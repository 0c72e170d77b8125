"""Which sentences give persons a color or judge them."""

import pytest

from milan_jax._src.text.persons import judges_persons, judgments


@pytest.mark.parametrize(
  "text",
  [
    *("Different black people", "Men that are white", "black and white people"),
    *(
      "tan man faces",
      "White faces of people",
      "a person's white face",
      "people in white",
    ),
    *("black colored legs", "eyes in black", "white heads of things", "black hair"),
    *("skin colored areas", "Light-skinned persons", "dark skin", "eyes that are dark"),
    *("an old man", "people who look ugly", "beautiful women", "a fat, bald man"),
    *(
      "Red areas. White women.",
      "dogs and brown people",
      "either tables or white hands",
    ),
  ],
)
def test_colors_and_judgments_of_persons_are_found(text):
  assert judges_persons(text)


@pytest.mark.parametrize(
  "text",
  [
    *("People in white shirts", "a red shirt on a man", "the woman's red dress"),
    *("white faces of dogs", "a dog's white face", "the animals' legs are furry"),
    *("dog noses that are black", "black table legs", "brown legs of the table"),
    *("white clothing and people", "things that are black and people", "blurry people"),
    *("a light or people", "black bodies of water", "white face masks", "old cars"),
    *("small heads of people", "dark areas on people's faces", "black dogs and hands"),
    *(
      "people wearing black hats",
      "different people",
      "A black and white photo of a man",
    ),
  ],
)
def test_colors_of_other_things_are_not(text):
  assert judgments(text) == ()


def test_the_place_is_quoted():
  assert judgments("Dogs, and different black people") == ("black people",)
  assert judgments("white men and hands that are dark") == (
    "white men",
    "hands that are dark",
  )
