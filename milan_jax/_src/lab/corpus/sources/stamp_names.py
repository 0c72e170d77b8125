"""What each photographic stamp of Tux Paint shows.

Made by looking at every stamp; drawings, symbols and stamps without a plain name are
left out. Paths are below `usr/share/tuxpaint/stamps`.
"""

from milan_jax._src.lab.corpus.sources.names import parse

NAMES = parse("""
airplane, blue: vehicles/flight/planes/747.png
almond, brown: food/nuts/almond.png
antelope: animals/mammals/bovines/indian_blackbuck.png
apple: food/fruit/apple_fuji.png food/fruit/apple_granny_smith.png
  food/fruit/apple_sierra_beauty.png
apple, green: food/fruit/apple_green.png
apple, red: food/fruit/apple_red.png
apricot, orange: food/fruit/Apricot_whole.png food/fruit/apricot.png
armored car, gray: military/vehicles/infantry-stryker.png
artillery shell, yellow: military/ammunition/old_naval_shell.png
astronaut, white: space/spacewalk.png
avocado, dark: food/fruit/avocado.png
badger: animals/mammals/badger.png
banana, yellow: food/fruit/banana.png
bandage, tan: medical/bandage_adhesive.png
basketball, orange: sports/basketball.png
bassoon, dark: hobbies/music/wind/bassoon.png
bear: animals/mammals/bears/european-bear.png
bear, dark: animals/mammals/bears/bear.png
beaver: animals/mammals/rodents/beaver.png
bell pepper, green: food/vegetables/pepper.png
bell pepper, yellow: food/vegetables/yellowpepper.png
binoculars: hobbies/binoculars.png
bird, white: animals/birds/albino_peahen.png
bison, dark: animals/mammals/bovines/bison.png
blackbird, black: animals/birds/blackbird.png
broccoli, green: food/vegetables/broccoli.png
bull, black: animals/mammals/bovines/bull.png
bus, green: vehicles/masstransit/green_korean_bus.png
bush: plants/thyme.png
camel, brown: animals/mammals/camel/camel.png animals/mammals/camel/dromedary.png
camera, black: hobbies/camera_35mm.png
candle: seasonal/candle.png
candy cane, striped: seasonal/christmas/Candy_cane_photo_1.png@candy-cane
  seasonal/christmas/Candy_cane_photo_2.png@candy-cane
capybara, brown: animals/mammals/rodents/capybara.png
car, blue: vehicles/auto/sedan.png
car, red: vehicles/auto/beetle.png vehicles/auto/sportscar2.png
carrot, orange: food/vegetables/carrot.png
cello, brown: hobbies/music/string/cello.png
cement mixer: household/tools/cementmixer.png
chamois, brown: animals/mammals/bovines/mountaingoat.png
cherimoya: food/fruit/cherimoya.png
cherry, red: food/fruit/Cherry_Stella.png
chicken, gray: animals/birds/chicken_profile.png
chicken, orange: animals/birds/hen.png
chili pepper, red: food/vegetables/chilepepper.png
chimpanzee, black: animals/mammals/apes/chimp.png
christmas pudding, brown: seasonal/christmas/Christmas_pudding.png
christmas tree, green: seasonal/christmas/Christmas_Tree_photo.png
clothespin, wooden: clothes/clothespin_new.png clothes/clothespin_old.png
coin: symbols/money/canadian/coins/025quarter.png
  symbols/money/euro/coins/001.png@euro-copper
  symbols/money/euro/coins/002.png@euro-copper
  symbols/money/euro/coins/005.png@euro-copper
  symbols/money/euro/coins/100.png@euro-two-colors
  symbols/money/euro/coins/200.png@euro-two-colors symbols/money/japanese/yen500.png
coin, brown: symbols/money/canadian/coins/001penny.png
  symbols/money/japanese/yen010.png symbols/money/us/coins/001penny.png
coin, golden: symbols/money/canadian/coins/100loonie.png
  symbols/money/canadian/coins/200toonie.png
  symbols/money/euro/coins/010.png@euro-gold
  symbols/money/euro/coins/020.png@euro-gold
  symbols/money/euro/coins/050.png@euro-gold symbols/money/japanese/yen005.png
  symbols/money/us/coins/100sacagawea.png
coin, gray: symbols/money/canadian/coins/005nickel.png
  symbols/money/canadian/coins/010dime.png symbols/money/japanese/yen001.png
  symbols/money/japanese/yen050.png symbols/money/japanese/yen100.png
  symbols/money/us/coins/005nickel.png symbols/money/us/coins/010dime.png
  symbols/money/us/coins/025quarter.png
  symbols/money/us/coins/050kennedy-halfdollar.png
compost bin, gray: household/home_compost_bin.png
corn, yellow: food/vegetables/corn.png
cow, brown: animals/mammals/bovines/cow.png
cow, white: animals/mammals/bovines/cow_white.png
crane: animals/birds/crowned_crane.png
cricket ball, red: sports/cricketball.png
cross, stone: seasonal/halloween/grave-c.png
crow, black: animals/birds/crow.png
cuckoo, brown: animals/birds/cuckoo.png
cymbal, brown: hobbies/music/percussion/cymbal_crash.png
daffodil, yellow: plants/flowers/daffodil.png
deer, brown: animals/mammals/deer/deer.png animals/mammals/deer/wapiti.png
deer, brown, spotted: animals/mammals/deer/doe.png
dog, gray: animals/mammals/dogs/dog.png
dog, tan: animals/mammals/dogs/dingo.png
doll: people/toys/grannysmith.png
dolphin: animals/mammals/aquatic/dolphin.png
donkey, brown: animals/mammals/equines/donkey.png
donkey, gray: animals/mammals/equines/donkey_eating.png
drum, red: hobbies/music/percussion/drum_tomtom_floor.png
drum kit: hobbies/music/percussion/drumkit.png
duck: animals/birds/drake.png animals/birds/duck.png
dump truck: vehicles/construction/dumper.png@dumper
  vehicles/construction/dumper_mirror.png@dumper
earth, blue: space/planets/3_earth.png@earth
eggplant, dark: food/vegetables/eggplant.png
elephant, brown: animals/mammals/elephant.png
ferret: animals/mammals/ferret.png
fighter jet, gray: military/vehicles/f22_raptor.png
figurine, wooden: seasonal/christmas/German_Christmas_toy.png
fire, orange: naturalforces/fire.png
fire truck, red: vehicles/emergency/firetruck.png
firefighter, gray: military/fireman240a.png@firefighter
  people/fireman200b.png@firefighter
fish, blue: animals/fish/bluegroper.png animals/fish/dolphinfish.png
  animals/fish/moonwrasse.png
fish, blue, striped: animals/fish/clownfish.png
fish, gray: animals/fish/coraltrout.png
fish, striped: animals/fish/butterflyfish.png animals/fish/stripedfish.png
flamingo, pink: animals/birds/pink_flamingo.png
flower: plants/flowers/flower5.png
flower, orange: plants/flowers/flower7.png
flower, pink: plants/flowers/adeenia.png plants/flowers/anthoorium.png
  plants/flowers/chemparathi.png plants/flowers/flower6.png plants/flowers/flower8.png
  plants/flowers/flower9.png plants/flowers/plastic/chuvanna_plastic_poo.png
flower, purple: plants/flowers/flower1.png plants/flowers/flower4.png
  plants/flowers/pigface.png
flower, purple, white: plants/flowers/whitestar-petunia.png
flower, red: plants/flowers/anemone_red.png plants/flowers/flower10.png
  plants/flowers/red-gazania.png
flower, white: plants/flowers/bolsom.png
flower, yellow: plants/flowers/flower2.png plants/flowers/flower3.png
  plants/flowers/yellow-flower.png
fly, gray: animals/insects/fly.png
football, brown: sports/football.png
football, red: sports/australian_rules_football.png
fox, orange: animals/mammals/dogs/fox.png
frog: animals/amphibians/frog.png
frog, brown: animals/amphibians/frog-1.png
garbage truck: vehicles/garbagetruck.png
garlic, white: food/vegetables/garlic.png food/vegetables/garlics.png
gas cylinder, red: household/cylinder.png
ginger: food/spices/ginger.png
giraffe, brown, spotted: animals/mammals/giraffe.png
gnu: animals/mammals/bovines/gnu-baby-stand.png@gnu-calf
gnu, brown: animals/mammals/bovines/gnu-baby.png@gnu-calf
gnu, gray: animals/mammals/bovines/gnu-sitting.png
  animals/mammals/bovines/gnu-stand.png
goat, brown, white: animals/mammals/bovines/goat.png
goose, gray: animals/birds/gander.png
gorilla, black: animals/mammals/apes/gorilla.png
grapes, dark: food/fruit/grapes.png
grasshopper, green: animals/insects/grasshopper.png
gravestone: seasonal/halloween/grave-i.png
gravestone, brown: seasonal/halloween/grave-a.png
gravestone, green: seasonal/halloween/grave-f.png
gravestone, white: seasonal/halloween/grave-d.png seasonal/halloween/grave-e.png
guinea fowl, dark: animals/birds/helmeted_guineafowl.png
guinea fowl, gray: animals/birds/guineafowl.png
guitar, black: hobbies/music/string/guitar_electric.png
guitar, brown: hobbies/music/string/guitar2.png
  hobbies/music/string/guitar_classical.png
  hobbies/music/string/guitar_electric_bass.png
gull, white: animals/birds/silver-gull.png
gull, white, flying: animals/birds/seagull.png
hammer: household/tools/hammer.png
hammer, dark: household/tools/mallet_metal.png
heron: animals/birds/heron_greatblue.png
heron, flying: animals/birds/heron_greatblue_flying.png
hippopotamus: animals/mammals/hippopotamus.png
holly, green: plants/trees/holly_leaves.png
hornet, orange: animals/insects/hornet.png
horse, brown: animals/mammals/equines/horse.png
hot air balloon, colorful: vehicles/flight/balloon360.png
hoverfly, black: animals/insects/hoverfly.png
iguana, green: animals/lizards/iguana.png
iris, purple: plants/flowers/iris.png
kangaroo: animals/marsupials/kangaroo.png
kettle, metallic: household/kettle.png
key, metallic: household/key.png
kiwi, brown: food/fruit/kiwi.png
koala, gray: animals/marsupials/koala.png
lamb, black, white: animals/mammals/bovines/sheep_lamb.png
lark, brown: animals/birds/lark.png
lavender: plants/lavender.png
lemon, yellow: food/fruit/lemon.png
lettuce: food/vegetables/redlettuce.png
lettuce, green: food/vegetables/lettuce.png plants/lettuce_bolted.png
light bulb, clear: household/Lightbulb.png
lime, sliced: food/fruit/sliced_lime.png
lion: animals/mammals/cats/lion-2.png
lion, brown: animals/mammals/cats/lion.png
lionfish, striped: animals/fish/lionfish.png
lobster: animals/fish/lobster.png
lunar lander: space/apollo_lander.png
magpie, black, white: animals/birds/magpie.png
mailbox, blue: town/usps_mailbox.png
mailbox, red: town/uk_post_box.png
mandarin, orange: food/fruit/mandarine.png
mango: food/fruit/mango.png
mantis, yellow: animals/insects/mantis.png
marigold, yellow: plants/flowers/marigold.png
marker, white, red: household/arttools/pen_dryerase.png
marmot, brown: animals/mammals/rodents/marmot.png
measuring tape: household/tools/measuring_tape.png@measuring-tape
  household/tools/measuring_tape_mirror.png@measuring-tape
monkey: animals/mammals/apes/tamarin_emperor.png
moon: space/moon/moon_crescent.png@moon
moon, gray: space/moon/moon_3qt.png@moon space/moon/moon_full.png@moon
moth, orange: animals/insects/xanthia.png
mouse, dark: animals/mammals/rodents/mouse.png
mug, white: household/dishes/mug.png
mushroom: plants/mushrooms/cep-2.png
mushroom, brown: plants/mushrooms/cep-1.png plants/mushrooms/cep.png
mushroom, white: food/vegetables/mushroom.png
nutcracker, metallic: household/dishes/utensils/nutcracker.png
onion, brown: food/vegetables/onion.png
orange, orange: food/fruit/orange.png food/fruit/orange_seville.png
orange, orange, sliced: food/fruit/sliced_orange.png
orca, black, white: animals/mammals/aquatic/orca.png
ostrich, white: animals/birds/ostrich.png
otter, brown: animals/mammals/aquatic/otter.png
owl, white: animals/birds/owl.png
paintbrush: household/tools/paintbrush_large.png
palm tree, green: plants/trees/liberia-palm.png
parachute, white: military/paratrooper.png
parrot, colorful: animals/birds/adelaide-rosella.png
  animals/birds/rainbow-lorikeet.png
peacock: animals/birds/peacock.png
pear, brown: food/fruit/pear.png
pecan, brown: food/nuts/pecan.png
pelican, white, flying: animals/birds/pelican.png
penguin, black, white: animals/birds/magellanic_penguin.png
penguin, gray: animals/birds/little-penguin.png
penguin, white: animals/birds/penguin.png
pepper mill, wooden: household/dishes/utensils/pepper_grinder.png
pickup truck, blue: vehicles/auto/truck.png
pie, brown: seasonal/christmas/Mince_Pie.png
pig: animals/mammals/pig.png
pig, orange: animals/mammals/pig_golden.png@tamworth-pig
  animals/mammals/pig_golden2.png@tamworth-pig
pigeon, gray: animals/birds/pigeon.png
pine cone, brown: plants/trees/pinecone.png
pineapple: food/fruit/pineapple.png
pitcher, white, blue: household/dishes/pitcher_small.png
planet: space/planets/1_mercury.png@mercury space/planets/4_mars.png@mars
planet, blue: space/planets/7_uranus.png@uranus space/planets/8_neptune.png@neptune
planet, brown: space/planets/9_pluto.png
planet, orange, striped: space/planets/5_jupiter.png@jupiter
planet, yellow: space/planets/2_venus.png@venus
planet, yellow, ringed: space/planets/6_saturn.png@saturn
plant, green: plants/eggplant.png
pliers, red: household/tools/plyers.png
pomegranate, red: food/fruit/pomegranate.png
potato, brown: food/vegetables/potato.png
pumpkin, orange: food/vegetables/pumpkin_small.png
quetzal, colorful: animals/birds/quetzal.png
rabbit: animals/mammals/rodents/rabbit.png
rabbit, white: animals/mammals/rabbit_little.png animals/mammals/rodents/rabbit-2.png
race car, red: vehicles/race/indycar.png
raspberry, red: food/fruit/raspberry.png
rat, brown: animals/mammals/rodents/rat.png
reindeer, gray: animals/mammals/deer/caribou.png
rhea: animals/birds/nandou.png
rhinoceros, dark: animals/mammals/rhino_black.png
road sign, blue: town/roadsigns/dead_end_sign.png
road sign, red: town/roadsigns/no_entry_sign.png
road sign, red, white: town/roadsigns/give_way_sign.png town/roadsigns/school_sign.png
roast turkey, brown: seasonal/christmas/Roast_turkey.png
rock pile, gray: town/monuments/inukshuk-photo.png
rooster: animals/birds/rooster.png
rose, red: plants/flowers/rose.png
rubber duck, yellow: household/rubberduck.png
sailboat: vehicles/ship/chineseJunk.png
sailboat, brown: vehicles/ship/walnutBoat.png
saw: household/tools/saw.png
scissors, metallic: household/arttools/scissors_small_closed.png
  household/arttools/scissors_small_open.png
sea lion, dark: animals/mammals/aquatic/sea_lion.png
seahorse: animals/fish/seahorse.png
sheep, horned: animals/mammals/bovines/ram.png
sheep, white: animals/mammals/bovines/sheep.png
shell, rough: animals/shellfish/abalone.png
shell, shiny: animals/shellfish/murray-mussel.png
shrimp: animals/fish/shrimp.png
slug, brown: animals/insects/Brown_slug.png
smoke: naturalforces/explosion.png
soccer ball, white: sports/soccer.png
space probe: space/voyager2.png
spade: household/tools/spade.png
squash, white: food/vegetables/pattypan_squash.png
squirrel, brown: animals/mammals/rodents/squirrel.png
stethoscope, black: medical/stethoscope.png
strawberry, red: food/fruit/Strawberry2.png food/fruit/strawberry.png
syringe: medical/syringe.png
tank: military/vehicles/bradley.png@bradley
  military/vehicles/bradley_mirror.png@bradley military/vehicles/ww2_german_gun.png
teapot, black: household/dishes/teapot.png
teddy bear, brown: animals/mammals/bears/toys/edward_bear.png
tennis ball, green: sports/tennis_ball.png
tennis racket: sports/tennis_racket.png
thermometer: medical/mercurythermometer.png
tiger, striped: animals/mammals/cats/tiger.png animals/mammals/cats/tiger_sumatran.png
toilet, white: household/toilet.png
tomato, red: food/vegetables/tomato.png
toolbox, red: household/tools/toolbox.png
toucan, black: animals/birds/tucan.png
traffic cone, red: town/roadsigns/traffic_cone.png
trash can, green: household/wheelie_bin.png
trash can, metallic: household/garbagecan.png
tree: plants/trees/holm_oak.png
tree, bare: plants/trees/birch.png
tree, green: plants/trees/tree336.png
tricycle, pink: vehicles/cycle/pink_tricycle.png
trophy: sports/trophy_cup.png
trumpet, golden: hobbies/music/brass/trumpet.png
turkey, black: animals/birds/turkey.png
violin, brown: hobbies/music/string/violin.png
vulture, brown: animals/birds/vulture.png
walnut, brown: food/nuts/walnut.png
whale, blue: animals/mammals/aquatic/whale.png
wheel: vehicles/wheel_tractor.png
wild boar, dark: animals/mammals/wildboar.png
wombat, gray: animals/marsupials/wombat.png
woodlouse, black: animals/insects/Woodlouse.png
wreath, green: seasonal/christmas/xmaswreath.png
wrench, metallic: household/tools/wrench.png
wrench, rusty: household/tools/wrench_plumbers.png
yak, dark: animals/mammals/bovines/yak.png
yam, purple: food/vegetables/yam.png
zebra, black, white, striped: animals/mammals/equines/zebra.png
zebu, white: animals/mammals/bovines/zebu.png
""")
