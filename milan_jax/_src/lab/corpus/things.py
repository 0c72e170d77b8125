"""Everyday categories of everyday nouns.

A noun's categories are listed from specific to general: a beetle is an insect, then an
animal. They follow everyday use, not a scientific taxonomy.
"""

import functools

_CATEGORIES = {
  "bird": """
    bird guinea-fowl owl duck goose swan chicken hen rooster eagle hawk vulture parrot
    macaw penguin flamingo heron crane pelican gull seagull ostrich rhea peacock turkey
    pigeon crow magpie blackbird cuckoo lark toucan lorikeet quail grouse partridge
    hummingbird kingfisher finch jay rooster gosling spoonbill harrier quetzal
    guineafowl stork cockatoo robin bunting bulbul ptarmigan albatross jacamar hornbill
    coucal egret bustard limpkin redshank sandpiper oystercatcher drake falcon rosella
    kite
  """,
  "fish": """
    fish shark ray stingray goldfish clownfish eel seahorse tench sturgeon gar
    pufferfish lionfish hammerhead trout
  """,
  "sea animal": """
    whale dolphin orca seal walrus octopus squid jellyfish crab lobster shrimp starfish
    sea-urchin coral anemone sea-slug clam mussel abalone chiton sea-cucumber crayfish
    fish shark ray stingray sea-lion isopod narwhal manatee dugong
  """,
  "reptile": """
    lizard snake turtle tortoise alligator crocodile iguana chameleon gecko dinosaur
    viper dragon cobra
  """,
  "amphibian": "frog toad salamander newt tadpole axolotl",
  "insect": """
    insect beetle bee wasp hornet ant fly butterfly moth dragonfly damselfly cricket
    grasshopper mantis cockroach cicada lacewing ladybug caterpillar mosquito weevil
    leafhopper walking-stick hoverfly bug
  """,
  "bug": """
    insect beetle bee wasp hornet ant fly butterfly moth dragonfly damselfly cricket
    grasshopper mantis cockroach cicada lacewing ladybug caterpillar mosquito weevil
    leafhopper spider tarantula scorpion centipede tick woodlouse snail slug hoverfly
    harvestman worm walking-stick bug
  """,
  "monkey": """
    monkey ape gorilla chimpanzee orangutan baboon lemur gibbon macaque tamarin
  """,
  "wild cat": "lion tiger leopard cheetah jaguar lynx panther cougar",
  "farm animal": """
    cow bull ox calf sheep lamb ram goat pig horse donkey zebu yak buffalo llama alpaca
    chicken hen rooster
  """,
  "pet": "dog cat kitten puppy hamster guinea-pig rabbit",
  "rodent": """
    mouse rat hamster squirrel beaver guinea-pig marmot porcupine capybara chipmunk pika
  """,
  "mammal": """
    dog cat kitten puppy wolf fox coyote dingo bear panda lion tiger leopard cheetah
    jaguar lynx cougar cow bull ox calf sheep lamb ram goat pig boar horse zebra donkey
    deer antelope gazelle moose elk caribou wapiti bison buffalo camel llama alpaca
    giraffe elephant rhinoceros hippopotamus mouse rat hamster squirrel beaver
    guinea-pig marmot porcupine capybara rabbit hare weasel ferret otter skunk badger
    mongoose meerkat raccoon sloth armadillo anteater kangaroo wallaby koala wombat
    hedgehog bat monkey ape gorilla chimpanzee orangutan baboon lemur gibbon macaque
    tamarin hyena ibex bighorn yak zebu warthog tapir platypus echidna pika red-panda
    polar-bear flying-fox gnu blackbuck impala hartebeest whale dolphin orca seal
    sea-lion walrus mink polecat
  """,
  "person": "person man woman child baby boy girl people crowd",
  "flower": "flower rose daisy tulip sunflower orchid poppy lily iris daffodil blossom",
  "plant": """
    plant tree flower rose daisy tulip sunflower orchid poppy lily iris daffodil leaf
    leaves branch branches bush bushes cactus vine moss fern grass palm hay forest weed
    hedge seaweed reed stem blossom twig log ivy
  """,
  "mushroom": "mushroom fungus",
  "fruit": """
    fruit apple orange banana lemon strawberry pineapple pear grape grapes peach apricot
    cherry plum raspberry fig pomegranate mango kiwi watermelon melon coconut mandarin
    avocado lime berry blueberry
  """,
  "vegetable": """
    vegetable carrot broccoli cauliflower cabbage cucumber pepper onion potato tomato
    squash zucchini pumpkin corn eggplant artichoke lettuce garlic mushroom yam radish
    spinach bean
  """,
  "food": """
    food fruit apple orange banana lemon strawberry pineapple pear grape grapes peach
    apricot cherry plum raspberry fig pomegranate mango kiwi watermelon melon coconut
    mandarin avocado lime vegetable carrot broccoli cauliflower cabbage cucumber pepper
    onion potato tomato squash zucchini pumpkin corn eggplant artichoke lettuce garlic
    mushroom bread bagel pretzel pizza burger hot-dog sandwich burrito cake cookie
    ice-cream chocolate meat steak sausage cheese soup pasta spaghetti guacamole egg nut
    walnut almond pecan dough meatloaf potpie trifle popcorn acorn ginger chili dessert
    salad loaf pie
  """,
  "boat": """
    boat ship canoe kayak sailboat speedboat yacht gondola raft ferry submarine lifeboat
    aircraft-carrier catamaran
  """,
  "aircraft": "airplane plane helicopter glider airship balloon jet missile rocket",
  "vehicle": """
    car truck bus van taxi train tram locomotive boat ship canoe kayak sailboat
    speedboat yacht gondola airplane plane helicopter airship motorcycle scooter moped
    bicycle bike tricycle unicycle tractor trailer cart wagon ambulance jeep limousine
    vehicle tank snowmobile golf-cart forklift bulldozer minivan fire-truck race-car
    garbage-truck pickup convertible rickshaw sled plow submarine carriage aircraft
    go-kart mower harvester excavator lifeboat
  """,
  "car": "car taxi jeep limousine convertible race-car van minivan pickup sedan",
  "building": """
    building house church castle palace tower lighthouse barn store shop mosque temple
    monastery cabin hut skyscraper stupa library theater greenhouse windmill school
    cathedral monument pyramid birdhouse dome shed boathouse igloo tent mausoleum fort
    opera-house village amphitheater ruin townhouse cottage
  """,
  "structure": """
    bridge fence gate wall pier dock dam tower water-tower column arch crane scaffold
    railing post pole obelisk statue fountain stairs roof arch ruin gravestone
  """,
  "furniture": """
    chair table desk couch sofa bed bench cabinet dresser shelf bookshelf bookcase crib
    stool wardrobe cupboard throne cradle armchair rocking-chair sideboard nightstand
  """,
  "hat": "hat cap helmet bonnet sombrero hood fedora turban wig crown",
  "footwear": "shoe boot sandal sneaker clog sock slipper loafer",
  "clothing": """
    clothing shirt pants jeans shorts dress skirt jacket coat sweater robe vest tie
    bowtie hat cap helmet bonnet sombrero scarf glove mitten sock shoe boot sandal
    sneaker clog slipper loafer suit uniform apron swimsuit bikini stocking bra poncho
    cloak kimono jersey pajamas gown underwear t-shirt blouse hood cardigan tights
    life-jacket mask belt
  """,
  "instrument": """
    guitar violin cello drum drums piano organ flute trumpet trombone saxophone
    accordion harp harmonica banjo maraca gong cymbal bassoon oboe horn marimba
    xylophone bell whistle panpipe ocarina keyboard bagpipes instrument
  """,
  "musical instrument": """
    guitar violin cello drum drums piano organ flute trumpet trombone saxophone
    accordion harp harmonica banjo maraca gong cymbal bassoon oboe horn marimba
    xylophone panpipe ocarina bagpipes instrument
  """,
  "electronic device": """
    computer laptop keyboard mouse-device monitor screen television phone camera radio
    printer speaker microphone remote ipod projector hard-drive modem circuit-board
    photocopier calculator stereo tape-player headphones watch clock scanner connector
    console joystick cassette cd-player game-console loudspeaker multimeter typewriter
    cash-register oscilloscope scale
  """,
  "appliance": """
    oven stove refrigerator microwave toaster dishwasher washing-machine iron vacuum fan
    hair-dryer sewing-machine heater coffee-maker blender vending-machine lamp
    waffle-iron espresso-maker dryer
  """,
  "tool": """
    tool hammer screwdriver wrench pliers saw drill axe hatchet shovel broom knife
    scissors plane nail screw ladle rake plunger plow hook can-opener corkscrew
    screw-driver tweezers tape-measure measuring-tape multimeter sickle file paintbrush
    brush pen pencil spatula cleaver chainsaw mop swab sickle padlock safety-pin
  """,
  "weapon": "gun rifle pistol revolver cannon missile sword bow tank knife shield",
  "container": """
    bottle bowl cup mug glass jar jug pot pan bucket barrel basket box crate can bag
    purse backpack suitcase vase pitcher teapot kettle flask beaker tub tray package
    envelope wallet mailbag trash-can carton chest safe pouch canister thermos washbasin
    bin mailbox plate crock cauldron wok goblet saucer
  """,
  "dish": "bowl cup mug glass plate saucer teapot pitcher goblet wok spoon fork dish",
  "ball": """
    ball baseball basketball volleyball golf-ball tennis-ball soccer-ball rugby-ball
    ping-pong-ball croquet-ball balloon bead
  """,
  "sports equipment": """
    ball baseball basketball volleyball golf-ball tennis-ball soccer-ball rugby-ball
    racket bat ski snowboard skateboard helmet dumbbell barbell parallel-bars
    balance-beam paddle football net puck oar surfboard reel swing
  """,
  "toy": "toy doll teddy-bear puzzle kite balloon top pinwheel yo-yo chess puppet",
  "sign": "sign street-sign traffic-light poster label logo billboard flag banner",
  "text": "text letter number logo label menu poster book page newspaper calendar",
  "jewelry": "ring necklace bracelet earring bead crown brooch chain coin",
  "water": "water sea ocean lake river pool waterfall wave pond",
  "landscape": """
    mountain mountains hill valley cliff beach desert field forest lake river sea
    volcano meadow sky canyon
  """,
  "wall": """
    brick-wall stone-wall plaster wallpaper half-timbered-wall graffiti bricks
  """,
  "wood": "wooden-planks wood-floor wooden-crate planks tree-rings wood-chips bark",
  "metal": "rusty-metal corrugated-metal metal-plate metal-grate",
  "stone": """
    rock cobblestones paving-stones pebbles gravel marble stone-wall concrete
  """,
  "ground": """
    ground floor dirt road sand gravel pavement carpet grass snow rug asphalt path
    sidewalk mud soil field wood-floor cobblestones paving-stones
  """,
}


def _read() -> dict[str, tuple[str, ...]]:
  found: dict[str, list[str]] = {}
  sizes = {name: len(nouns.split()) for name, nouns in _CATEGORIES.items()}
  for name in sorted(sizes, key=lambda name: (sizes[name], name)):
    for noun in _CATEGORIES[name].split():
      if noun.replace("-", " ") != name:
        found.setdefault(noun.replace("-", " "), []).append(name)
  for name, nearest in list(found.items()):
    if _ANIMALS & {name, *nearest} and "person" not in nearest:
      nearest.append("animal")
  for name in _ANIMALS:
    found.setdefault(name, []).append("animal")
  return {name: tuple(dict.fromkeys(nearest)) for name, nearest in found.items()}


_ANIMALS = frozenset(
  {"bird", "fish", "sea animal", "reptile", "amphibian", "insect", "bug", "mammal"}
)


@functools.cache
def _table() -> dict[str, tuple[str, ...]]:
  return _read()


def categories(noun: str) -> tuple[str, ...]:
  """Returns the categories of a noun, the smallest first; empty for unlisted nouns."""
  return _table().get(noun, ())


# Synonyms among the annotators' nouns.
ALIASES = {
  "plane": "airplane",
  "stone": "rock",
  "stones": "rock",
  "pebbles": "gravel",
  "rocks": "rock",
  "ocean": "sea",
  "bike": "bicycle",
  "flowers": "flower",
  "bushes": "bush",
  "trees": "tree",
  "mountain": "mountains",
  "branch": "branches",
  "leaf": "leaves",
  "tile": "tiles",
  "brick": "bricks",
  "cloud": "clouds",
  "tv": "television",
  "sofa": "couch",
  "rug": "carpet",
  "soil": "dirt",
  "ground": "dirt",
  "mud": "dirt",
  "asphalt": "road",
  "cloth": "fabric",
  "lettering": "text",
  "writing": "text",
  "number": "text",
  "numbers": "text",
  "letters": "text",
  "words": "text",
  "hen": "chicken",
  "rooster": "chicken",
  "people": "person",
  "wolf spider": "spider",
  "tarantula": "spider",
  "gull": "seagull",
}
PART_ALIASES = {
  "legs": "leg",
  "eyes": "eye",
  "ears": "ear",
  "horns": "horn",
  "antler": "horn",
  "antlers": "horn",
  "paws": "paw",
  "claws": "claw",
  "hands": "hand",
  "arms": "arm",
  "feet": "foot",
  "fingers": "finger",
  "wings": "wing",
  "wheels": "wheel",
  "tire": "wheel",
  "tires": "wheel",
  "windows": "window",
  "doors": "door",
  "petals": "petal",
  "buttons": "button",
  "keys": "key",
  "snout": "nose",
  "muzzle": "nose",
  "headlight": "light",
  "headlights": "light",
  "lights": "light",
  "teeth": "tooth",
  "spikes": "spine",
  "spines": "spine",
  "torso": "body",
  "strings": "string",
  "stripes": "stripe",
  "sleeves": "sleeve",
}
