"""What each photograph in GCompris shows.

Made by looking at every picture; drawings, paintings and photographs without a plain
name are left out. The first part of a path is the archive (`erase` is `erase.rcc`), the
whole is the path in it below `gcompris/src/activities`.
"""

from milan_jax._src.lab.corpus.sources.names import parse

NAMES = parse("""
alpaca, white: erase/resource/alpaca.webp
amphitheater, stone: categorization/resource/images/monuments/colosseum.webp@colosseum
  explore_monuments/resource/france/arlesAmphitheater.webp
  explore_monuments/resource/wonders/colosseum.webp@colosseum
aqueduct, stone: explore_monuments/resource/france/pontduGard.webp
arch: explore_monuments/resource/india/gatewayofIndia.webp
arch, stone: categorization/resource/images/monuments/IndiaGate.webp
  categorization/resource/images/monuments/arcDeTriomphe.webp
baseball, white: categorization/resource/images/others/baseball.webp
bat, brown: erase/resource/flying_fox.webp
bee: erase/resource/bee.webp
bison, brown: explore_world_animals/resource/animals/bison.webp
blackboard: categorization/resource/images/others/blackslate.webp
bridge: details/resource/image/TowerBridgeLondon_background.webp
bucket, wooden: categorization/resource/images/others/bucket.webp
building: louis-braille/resource/rnib.webp
butterfly: erase/resource/butterfly.webp
calf, brown: erase/resource/calf.webp
camel, brown: erase/resource/camels.webp
canyon: explore_monuments/resource/usa/canyondeChelly.webp
capitol, white: categorization/resource/images/monuments/usCapitol.webp
castle: details/resource/image/Chenonceau_background.webp@chenonceau
  details/resource/image/EgeskovSlotSpejling_background.webp
  details/resource/image/EilanDonanCastle_background.webp
  explore_monuments/resource/france/chateaudeChambord.webp
  explore_monuments/resource/france/chateaudeChenonceau.webp@chenonceau
  explore_monuments/resource/germany/schwerinPalace.webp
castle, stone: explore_monuments/resource/france/citedeCarcassonne.webp
castle, white: details/resource/image/Nagoya_background.webp
  details/resource/image/Neuschwanstein_background.webp@neuschwanstein
  explore_monuments/resource/germany/neuschwansteinCastle.webp@neuschwanstein
cat: explore_farm_animals/resource/animals/cat.webp
caterpillar, green: erase/resource/caterpillar.webp
cathedral: details/resource/image/NDP_background.webp
  explore_monuments/resource/france/reimsCathedral.webp
  explore_monuments/resource/germany/berlinCathedral.webp
  explore_monuments/resource/germany/wormsCathedral.webp
cathedral, stone: categorization/resource/images/monuments/cathedral.webp
cave: explore_monuments/resource/india/ajantaCave.webp
chair, white: categorization/resource/images/others/chair.webp
chameleon: explore_world_animals/resource/animals/chameleon.webp
chameleon, green: erase/resource/chamaeleon.webp
cheetah, spotted: erase/resource/cheetah.webp
chicken, brown: explore_farm_animals/resource/animals/chicken.webp
church: categorization/resource/images/monuments/monument3.webp
coral: clickgame/resource/sea3.webp
cow, black, white: explore_farm_animals/resource/animals/cow.webp
crab: erase/resource/crab.webp
crocodile: explore_world_animals/resource/animals/crocodile.webp
cup: categorization/resource/images/others/cup.webp
cup, white: categorization/resource/images/others/buffetset.webp
cutlery, metallic: categorization/resource/images/others/knife.webp
dam: categorization/resource/images/renewable/dam1.webp
  categorization/resource/images/renewable/dam2.webp
  categorization/resource/images/renewable/dam3.webp
  categorization/resource/images/renewable/dam4.webp
  categorization/resource/images/renewable/dam5.webp
dog: explore_farm_animals/resource/animals/dog.webp
dolphin: erase/resource/dolphin.webp
drum: explore_world_music/resource/music/africa.webp
drum kit: explore_world_music/resource/music/america.webp
duck, white: explore_farm_animals/resource/animals/duck.webp
earth, blue: solar_system/resource/earth.webp@earth
eraser: categorization/resource/images/others/erasers.webp
fish: categorization/resource/images/fishes/fish11.webp
  categorization/resource/images/fishes/fish12.webp
  categorization/resource/images/fishes/fish13.webp
  categorization/resource/images/fishes/fish16.webp
  categorization/resource/images/fishes/fish17.webp
  categorization/resource/images/fishes/fish2.webp
  categorization/resource/images/fishes/fish20.webp
  categorization/resource/images/fishes/fish21.webp
  categorization/resource/images/fishes/fish22.webp
  categorization/resource/images/fishes/fish23.webp
  categorization/resource/images/fishes/fish24.webp
  categorization/resource/images/fishes/fish26.webp
  categorization/resource/images/fishes/fish27.webp
  categorization/resource/images/fishes/fish28.webp
  categorization/resource/images/fishes/fish5.webp
  categorization/resource/images/fishes/fish7.webp
  categorization/resource/images/fishes/fish8.webp
fish, blue, striped: categorization/resource/images/fishes/fish1.webp
fish, green: categorization/resource/images/fishes/fish15.webp
fish, orange: categorization/resource/images/fishes/fish10.webp
  categorization/resource/images/fishes/fish19.webp
  categorization/resource/images/fishes/fish25.webp
  categorization/resource/images/fishes/fish6.webp
fish, orange, striped: categorization/resource/images/fishes/fish9.webp
fish, red: categorization/resource/images/fishes/fish14.webp
  categorization/resource/images/fishes/fish18.webp
fish, striped: categorization/resource/images/fishes/fish3.webp
  categorization/resource/images/fishes/fish4.webp
fist: leftright/resource/poing_droit_dessus_0.webp@fists
  leftright/resource/poing_droit_paume_0.webp@fists
  leftright/resource/poing_gauche_dessus_0.webp@fists
  leftright/resource/poing_gauche_paume_0.webp@fists
fort: explore_monuments/resource/usa/castillodeSanMarcos.webp
  explore_monuments/resource/usa/fortSumter.webp
gate, stone:
  categorization/resource/images/monuments/brandenburgGate.webp@brandenburg-gate
  explore_monuments/resource/germany/brandenburgGate.webp@brandenburg-gate
giraffe: erase/resource/giraffe.webp
  explore_world_animals/resource/animals/giraffe.webp
goat: erase/resource/goat.webp
gorilla, black: erase/resource/gorilla.webp
gosling, yellow: erase/resource/gosling.webp
hammer: categorization/resource/images/tools/hammer1.webp
  categorization/resource/images/tools/hammer2.webp
  categorization/resource/images/tools/hammer3.webp
  categorization/resource/images/tools/hammer4.webp
  categorization/resource/images/tools/hammer6.webp
  categorization/resource/images/tools/hammer8.webp
  categorization/resource/images/tools/hammer9.webp
hammer, brown: categorization/resource/images/tools/hammer7.webp
hammer, red: categorization/resource/images/tools/hammer5.webp
hand: leftright/resource/main_droite_dessus_0.webp@hands
  leftright/resource/main_droite_paume_0.webp@hands
  leftright/resource/main_gauche_dessus_0.webp@hands
  leftright/resource/main_gauche_paume_0.webp@hands
hawk, brown: erase/resource/northern_harrier.webp
hedgehog, brown: explore_world_animals/resource/animals/hedgehog.webp
heron, gray: erase/resource/heron.webp
horse: explore_farm_animals/resource/animals/horse.webp
horse, brown: erase/resource/horse.webp
house: explore_monuments/resource/usa/georgeWashingtonBirthplace.webp
ibex, brown: erase/resource/nubian_ibex.webp
igloo, white: categorization/resource/images/others/igloo.webp
island: explore_monuments/resource/france/montStMichel.webp
jaguar, spotted: explore_world_animals/resource/animals/jaguar.webp
kangaroo: explore_world_animals/resource/animals/kangaroo.webp
kingfisher: erase/resource/kingfisher.webp
kitten, orange: erase/resource/kitten.webp
koala, gray: explore_world_animals/resource/animals/koala.webp
lemur: explore_world_animals/resource/animals/lemur.webp
light bulb, white: categorization/resource/images/others/bulb.webp
lizard, gray: explore_world_animals/resource/animals/dragon.webp
lute: explore_world_music/resource/music/middleeast.webp
mausoleum, white: categorization/resource/images/monuments/tajMahal.webp@taj-mahal
  details/resource/image/TajMahal_background.webp@taj-mahal
  explore_monuments/resource/wonders/tajMahal.webp@taj-mahal
measuring tape: categorization/resource/images/tools/measuringTape1.webp
  categorization/resource/images/tools/measuringTape2.webp
  categorization/resource/images/tools/measuringTape3.webp
  categorization/resource/images/tools/measuringTape4.webp
  categorization/resource/images/tools/measuringTape5.webp
measuring tape, black: categorization/resource/images/tools/measuringTape6.webp
meerkat: erase/resource/meerkats.webp
monkey: erase/resource/gibbon.webp
monkey, brown: erase/resource/macaque.webp
monkey, orange: erase/resource/long_nosed_monkey.webp
monument: categorization/resource/images/monuments/mountRushmore.webp@rushmore
  explore_monuments/resource/usa/lincolnMemorial.webp
  explore_monuments/resource/usa/mountRushmore.webp@rushmore
  louis-braille/resource/statue.webp
monument, white: categorization/resource/images/monuments/victoriaMemorial.webp
moose: explore_world_animals/resource/animals/moose.webp
mosque: categorization/resource/images/monuments/monument1.webp
multimeter: categorization/resource/images/tools/multimeter1.webp
  categorization/resource/images/tools/multimeter3.webp
multimeter, blue: categorization/resource/images/tools/multimeter2.webp
nail clipper, metallic: categorization/resource/images/tools/nailCutter.webp
opera house: details/resource/image/OperaSidney_background.webp@opera-house
opera house, white:
  categorization/resource/images/monuments/operaHouse.webp@opera-house
orchestra: explore_world_music/resource/music/orchestra.webp
owl: explore_farm_animals/resource/animals/owl.webp
palace: categorization/resource/images/monuments/leMusee.webp@louvre
  categorization/resource/images/monuments/zimniPalace.webp
  details/resource/image/Louvre_2007_02_24_c_background.webp@louvre
  explore_monuments/resource/india/hawaMahal.webp
  explore_monuments/resource/india/mysorePalace.webp
palace, stone: explore_monuments/resource/france/palaisdesPapes.webp
palace, white: explore_monuments/resource/india/victoriaMemorial.webp
pan: categorization/resource/images/others/pan.webp
panda, black, white: explore_world_animals/resource/animals/panda.webp
parrot, red: explore_world_animals/resource/animals/scarlet_macaw.webp
pavilion: explore_monuments/resource/india/rangGhar.webp
pencil, orange: categorization/resource/images/others/pencil.webp
penguin: erase/resource/penguin.webp
pig: explore_farm_animals/resource/animals/pig.webp
pika: erase/resource/pika.webp
pillow: categorization/resource/images/others/pillow.webp
planet: solar_system/resource/jupiter.webp@jupiter
  solar_system/resource/uranus.webp@uranus
planet, blue: solar_system/resource/neptune.webp@neptune
planet, gray: solar_system/resource/mercury.webp@mercury
planet, orange: solar_system/resource/mars.webp@mars
  solar_system/resource/venus.webp@venus
planet, ringed: solar_system/resource/saturn.webp@saturn
plate, white: categorization/resource/images/others/plate.webp
pliers: categorization/resource/images/tools/sideCutter1.webp
pliers, blue: categorization/resource/images/tools/cuttingTool.webp
pliers, brown: categorization/resource/images/tools/plier2.webp
pliers, metallic: categorization/resource/images/tools/plier4.webp
pliers, red: categorization/resource/images/tools/plier1.webp
  categorization/resource/images/tools/plier3.webp
polar bear, white: explore_world_animals/resource/animals/polar_bear.webp
pyramid: details/resource/image/GizahPyramids_background.webp
  explore_monuments/resource/egypt/bentPyramid.webp
  explore_monuments/resource/egypt/meidumPyramid.webp
  explore_monuments/resource/egypt/redPyramid.webp
pyramid, stone:
  categorization/resource/images/monuments/greatPyramid.webp@great-pyramid
  explore_monuments/resource/egypt/greatPyramidOfGiza.webp@great-pyramid
  explore_monuments/resource/wonders/chichenItza.webp
red panda: erase/resource/red_panda.webp
rhinoceros, gray: erase/resource/rhinoceros.webp
ruin: explore_monuments/resource/germany/trierImperialBaths.webp
  explore_monuments/resource/wonders/machuPicchu.webp
ruin, stone: categorization/resource/images/monuments/monument2.webp
scale: categorization/resource/images/others/weighingMachine.webp
scissors, black: categorization/resource/images/tools/scissors2.webp
scissors, metallic: categorization/resource/images/tools/scissors3.webp
scissors, orange: categorization/resource/images/tools/scissors1.webp
  categorization/resource/images/tools/scissors4.webp
screwdriver: categorization/resource/images/tools/screwDriver2.webp
screwdriver, red: categorization/resource/images/tools/screwDriver.webp
screwdriver, yellow: categorization/resource/images/tools/screwDriver1.webp
sea: clickgame/resource/sea2.webp
sea, blue: clickgame/resource/sea5.webp
sea, green: clickgame/resource/sea4.webp
sheep, white: explore_farm_animals/resource/animals/sheep.webp
sickle: categorization/resource/images/tools/sickle.webp
skyscraper: categorization/resource/images/monuments/burj.webp
  categorization/resource/images/monuments/empireState.webp
solar panel: categorization/resource/images/renewable/solar5.webp
  categorization/resource/images/renewable/solar6.webp
  categorization/resource/images/renewable/solar7.webp
  categorization/resource/images/renewable/solar8.webp
solar panel, blue: categorization/resource/images/renewable/solar4.webp
spoon, metallic: categorization/resource/images/others/spoons.webp
spoonbill, white: erase/resource/spoonbills.webp
spray bottle, red: categorization/resource/images/tools/spray.webp
squirrel: erase/resource/squirrel.webp
statue: categorization/resource/images/monuments/christTheRedeemer.webp@rio
  explore_monuments/resource/usa/cabrillo.webp
  explore_monuments/resource/wonders/christTheRedeemer.webp@rio
statue, green: categorization/resource/images/monuments/statueOfLiberty.webp@liberty
  explore_monuments/resource/usa/statueofLiberty.webp@liberty
steam, white: categorization/resource/images/renewable/geothermal.webp
stone wall: categorization/resource/images/monuments/greatWall.webp@great-wall
  explore_monuments/resource/wonders/greatWallofChina.webp@great-wall
sun, orange: solar_system/resource/sun.webp
swan, white: erase/resource/swans.webp
temple: explore_monuments/resource/wonders/petra.webp
temple, golden: explore_monuments/resource/india/goldenTemple.webp
temple, stone: categorization/resource/images/monuments/parthenon.webp
  explore_monuments/resource/india/konarkSunTemple.webp
tool: louis-braille/resource/workshop.webp
toucan: erase/resource/toucan.webp
tower: categorization/resource/images/monuments/kutubMinar.webp@qutub-minar
  explore_monuments/resource/india/charminar.webp
  explore_monuments/resource/india/qutubMinar.webp@qutub-minar
tower, metallic:
  categorization/resource/images/monuments/eiffelTower.webp@eiffel-tower
  details/resource/image/TourEiffel_background.webp@eiffel-tower
  explore_monuments/resource/france/eiffelTower.webp@eiffel-tower
tower, white: categorization/resource/images/monuments/bayterek.webp
  categorization/resource/images/monuments/leaningTowerOfPisa.webp
tweezers: categorization/resource/images/tools/tweezer1.webp
tweezers, metallic: categorization/resource/images/tools/tweezer.webp
village: explore_monuments/resource/france/rocamadour.webp
volleyball: categorization/resource/images/others/volleyball.webp
wind turbine, white: categorization/resource/images/renewable/windmill6.webp
windmill: categorization/resource/images/renewable/windmill.webp
  categorization/resource/images/renewable/windmill1.webp
  categorization/resource/images/renewable/windmill11.webp
  categorization/resource/images/renewable/windmill12.webp
  categorization/resource/images/renewable/windmill13.webp
  categorization/resource/images/renewable/windmill14.webp
  categorization/resource/images/renewable/windmill15.webp
  categorization/resource/images/renewable/windmill3.webp
  categorization/resource/images/renewable/windmill4.webp
  categorization/resource/images/renewable/windmill7.webp
  details/resource/image/FanoeWindmill_background.webp
windmill, brown: categorization/resource/images/renewable/windmill5.webp
windmill, dark: categorization/resource/images/renewable/windmill9.webp
windmill, white: categorization/resource/images/renewable/windmill2.webp
  categorization/resource/images/renewable/windmill8.webp
wrench, metallic: categorization/resource/images/tools/wrench.webp
  categorization/resource/images/tools/wrench1.webp
""")
