"""Words for colors, brightness and orientations."""

# Synonyms of each color name, including the name itself.
COLOR_WORDS = {
  "red": {"red", "reddish", "maroon", "crimson", "scarlet"},
  "orange": {"orange", "orangish", "red", "brown", "tan"},
  "yellow": {"yellow", "yellowish", "gold", "golden"},
  "green": {"green", "greenish", "teal"},
  "blue": {"blue", "bluish", "teal", "cyan", "navy", "turquoise"},
  "purple": {"purple", "pink", "violet", "magenta", "lavender"},
  "pink": {"pink", "purple", "violet", "magenta", "rose"},
  "brown": {"brown", "brownish", "orange", "tan", "red"},
  "white": {"white", "whitish", "bright", "light", "lightest", "brightest"}
  | {"shiny", "shining", "highlight", "overexposed", "lit"},
  "gray": {"gray", "grayish", "dull", "silver", "colorless"},
  "black": {"black", "dark", "darkest", "shadow", "shaded", "unlit"},
}
BRIGHT_WORDS = COLOR_WORDS["white"] | {"glowing", "glare", "reflection", "pale"}
DARK_WORDS = COLOR_WORDS["black"] | {"darker", "shade"}
ORIENTATION_WORDS = {
  "horizontal": {"horizontal", "level", "sideways", "across", "top", "bottom", "above"}
  | {"below", "left to right", "right to left", "side to side", "horizon", "lying"}
  | {"horizontally"},
  "vertical": {"vertical", "upright", "up and down", "top to bottom", "left", "right"}
  | {"side", "standing", "pole", "vertically"},
  "rising": {"diagonal", "slanted", "slanting", "angle", "rising", "leaning", "slope"}
  | {"lean", "diagonally", "climb", "angled"},
  "falling": {"diagonal", "slanted", "slanting", "angle", "falling", "leaning", "slope"}
  | {"lean", "diagonally", "drop", "angled"},
}
EDGE_WORDS = {"edge", "line", "border", "boundary", "outline", "contour", "stripe"} | {
  *("bar", "strip", "rim", "side", "stroke", "band", "pole", "string", "wire"),
  *("ridge", "slat", "top", "bottom", "horizon", "end"),
}
STRIPE_WORDS = {
  "stripe",
  "striped",
  "line",
  "bar",
  "slat",
  "row",
  "band",
  "parallel",
} | {
  *("grid", "ridge", "repeated", "repeating", "lined", "fence", "grating", "column"),
}
SPOT_WORDS = {"spot", "dot", "speck", "speckled", "spotted", "dotted", "blob"} | {
  *("point", "hole", "highlight", "circle", "eye", "round", "tip", "bit", "mark"),
  *("light", "button", "bead"),
}
SMOOTH_WORDS = {"smooth", "plain", "flat", "blank", "empty", "uniform", "even"} | {
  *("blurry", "blurred", "sky", "background", "soft", "clear", "evenly", "solid"),
  *("blur", "clean", "focus"),
}
TEXTURE_WORDS = {"texture", "textured", "rough", "fine", "grainy", "detail", "busy"} | {
  *("speckled", "mottled", "pattern", "bumpy", "fur", "grass", "hair", "leaf"),
  *("foliage", "gravel", "mesh", "fuzzy", "coarse", "finely", "detailed", "grain"),
  *("scale", "feather", "knit", "woven", "gridded", "grid", "covered"),
}
TEXT_WORDS = {"text", "letter", "word", "writing", "lettering", "print", "sign"} | {
  *("written", "printed", "number", "label", "caption", "font", "logo", "character"),
  *("digit", "alphabet", "signage", "typed", "inscription"),
}
