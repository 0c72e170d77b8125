"""What each kept texture of SuperTuxKart shows.

Made by looking at every picture: plain materials and parts of buildings, no atlas, no
map of normals or gloss. An `@label` joins recoloured and otherwise near copies. Paths
are below `usr/share/games/supertuxkart/data`.
"""

from milan_jax._src.lab.corpus.sources.names import parse

NAMES = parse("""
asphalt: textures/tarmac.jpg
bamboo: textures/stktex_generic_bambooB.png
bamboo, gray: textures/stktex_generic_bambooA.png
bark: textures/stktex_treeBark_b.png
bark, brown: textures/TiZeta_barkM.png textures/deprecated/logs.png
  textures/palmBark.jpg textures/stktex_palmTreeBark_a.png
  textures/stktex_treeBark_a.png tracks/black_forest/fir_bark.png
  tracks/lighthouse/tree_zen.jpg
  tracks/lighthouse/trunk_bark.png@kart-lighthouse-trunk_bark
  tracks/minigolf/trunk_bark.png@kart-lighthouse-trunk_bark
bark, mossy: tracks/black_forest/trees_bark_001_col.jpg
brick wall: tracks/black_forest/brick_wall_06.jpg
brick wall, brown: tracks/scotland/brick1.png
brick wall, gray: tracks/volcano_island/wall1.jpg
brick wall, red: textures/city_bricks.png textures/stk_generic_brickA.png
brick wall, tan: textures/beige_bricks.jpg
brick wall, yellow: tracks/ancient_colosseum_labyrinth/texture_egypte.jpg
carpet, patterned: textures/stktex_pupleCarpet_a.png textures/tapis.png
  tracks/endcutscene/carpet.jpg
cobblestones: tracks/volcano_island/road2.jpg
concrete, dirty: textures/stktex_generic_waterConcreteA.png
concrete, gray: textures/city_concrete.png textures/concrete2.png
  textures/concrete_plain.png textures/stktex_generic_concreteA.png
corrugated metal: textures/ribbed_steel.jpg tracks/overworld/wall.png
corrugated metal, gray: textures/stk_corrugMetal_a.png
  tracks/stadium/racetrack_roof.jpg
dirt: textures/hd_rock_01_d.png textures/stklama_gravelSide_a.png
dirt, brown: textures/dirt.jpg textures/earth.png textures/stk_generic_dirtA.png
  textures/stktex_generic_earth_a.png@kart-stkgeneric_earth_a
  tracks/lighthouse/earth.png@kart-stkgeneric_earth_a tracks/mines/mine_rock2.jpg
dirt, cracked: textures/cracked-earth-texture.jpg
door: tracks/black_forest/door.jpg tracks/overworld/metaldoor.jpg
door, blue: textures/cottage_wall2.jpg
door, metallic: textures/stk_metalDoor_a.png
fabric, black: tracks/black_forest/blackTowel.jpg@kart-black_forest-blackTowel
fabric, blue: textures/stk_generic_plasticFabric_a.png
fabric, red: tracks/black_forest/redTowel.jpg@kart-black_forest-blackTowel
fabric, white: tracks/black_forest/whiteTowel.jpg@kart-black_forest-blackTowel
garage door: textures/garagedoor.jpg
grass: textures/grass2.jpg@kart-grass2 textures/stk_generic_dirtGrassA.png
  tracks/lighthouse/racetrack_grass.jpg
grass, dark: tracks/introcutscene/grass.jpg@kart-grass2
grass, green: textures/grass3.jpg textures/racetrack_grass.jpg@kart-racetrack_grass
  tracks/minigolf/racetrack_grass-dark.jpg@kart-racetrack_grass
  tracks/volcano_island/grass.jpg
half-timbered wall: tracks/black_forest/half-timbered_house.jpg
ice: textures/greenice.png@kart-greenice textures/stk_generic_ice_a.png@kart-greenice
ice, blue: textures/ice.png textures/stktex_frozenWaterFall_a.png
lava: textures/lava.png@kart-lava tracks/fortmagma/lava.png@kart-lava
lava, orange: textures/stktex_generic_lavaA.png
  tracks/ancient_colosseum_labyrinth/magma.jpg
leaves, brown: tracks/black_forest/forest_floor.jpg
leaves, green: textures/TiZeta_ivy.png
marble, white: textures/marble.jpg
metal, blue: textures/stk_blueMetal_a.png
metal, dark: tracks/black_forest/metal_rusted.jpg
metal, gray: textures/stk_darkGrayMetal_a.png@kart-stk_darkGrayMetal_a
  textures/stk_greyMetal_a.png
  textures/stk_lightGrayMetal_a.png@kart-stk_darkGrayMetal_a
  textures/stk_metalRustedBlue_a.png textures/stk_metaloverlap_a.png
metal, red: textures/stk_redMetal_a.png@kart-stk_darkGrayMetal_a
palm leaf, green: textures/palm.png
paper: textures/stk_generic_cardboard_a.png
paper, white: textures/stk_generic_paper_a.png
paving stones: textures/Paving_stones_2.jpg textures/bow_tile.jpg
  textures/hacienda_ground.jpg@kart-castelwall textures/stk_generic_brickRoad_a.png
  textures/stk_generic_hexaBasaltRoad_a.png
pebbles: textures/stktex_generic_gravelA.png
plaster: textures/stk_generic_Stucco_a.png@kart-stk_generic_Stucco_a
  textures/stk_generic_Stucco_c.png@kart-stk_generic_Stucco_a
plaster, gray: textures/stk_generic_plaster_a.png
plaster, red: textures/stk_generic_Stucco_b.png@kart-stk_generic_Stucco_a
plaster, white: tracks/lighthouse/lighthouseWall_diff.png
road: textures/city_asphalt_1.jpg@kart-city_asphalt_1
  textures/city_asphalt_2.jpg@kart-city_asphalt_1
  textures/racetrack_asphalt.jpg@kart-city_asphalt_1 textures/roadway.png
  textures/stk_generic_runway_a.png
road, snowy: textures/stktex_generic_roadSnow_a.png
rock: textures/stk_generic_rockSnow_a.png@kart-stk_generic_rockSnow_a
  textures/stk_karstRock_a.png textures/stktex_cliff_a.png
  textures/stktex_generic_underwaterRock_a.png textures/stktex_snowRock_a.png
  tracks/zengarden/rockMountainWater.jpg@kart-rockMountain
rock, black: textures/black_rockMountain.jpg textures/blackrock.jpg@kart-blackrock
  tracks/fortmagma/blackrock.jpg@kart-blackrock
rock, brown: textures/rock.jpg
rock, dark: tracks/scotland/rock_grey.png
rock, gray: textures/city_rock.jpg textures/rockMountain.jpg@kart-rockMountain
  textures/rock_mountain.jpg@kart-rock_mountain
  textures/rockwaterfall.jpg@kart-rockMountain textures/snowrock.jpg@kart-rockMountain
  textures/stk_generic_bedRock_a.png@kart-blackrock
  textures/to_black_rockMountain.jpg@kart-rockMountain tracks/lighthouse/rock_grey.png
  tracks/volcano_island/rock02.jpg tracks/zengarden/rock_grey.png
  tracks/zengarden/stk_generic_rockSnow_b.png@kart-stk_generic_rockSnow_a
rock, mossy: textures/stktex_generic_rockA.png
  tracks/black_forest/rock_gray.jpg@kart-rock_mountain
rock, snowy: textures/snowyrock.png
rock, tan: textures/stk_generic_rock_b.png
roof tiles: textures/roof.png@kart-roof textures/stk_generic_asianRoof_a.png
roof tiles, brown: tracks/black_forest/roof_3.jpg
roof tiles, red: tracks/fortmagma/roof.jpg@kart-roof
rope: textures/stktex_rope_a.png@kart-stkrope_a tracks/endcutscene/rope.jpg
  tracks/lighthouse/natural_rope.jpg@kart-stkrope_a
rusty metal: textures/metal_plates.png textures/stk_generic_corrugatedIronA.png
  textures/stkt_rustedMetal_a.png@kart-stkt_rustedMetal_a
  tracks/snowtuxpeak/oldmetal.png
sand: textures/hd_beach_01_d.png textures/sand.png textures/sand2.jpg@kart-sand2
  textures/yellow_dirt.jpg@kart-sandtrack-road
  tracks/ancient_colosseum_labyrinth/sand.png@kart-sand2 tracks/minigolf/sand.jpg
  tracks/sandtrack/road.jpg@kart-sandtrack-road
sand, rippled: tracks/sandtrack/sand.png
sky, cloudy: textures/clouds.png textures/sky.jpg textures/sky3.jpg
  textures/stk_generic_cloudsPattern_a.png@kart-stk_generic_cloudsPattern_a
  textures/stk_generic_clouds_a.png@kart-stk_generic_cloudsPattern_a
  textures/summersky_t.jpg tracks/soccer_field/racetrack_sky.jpg
snow, white: textures/snow.png textures/stk_generic_snow_a.png
stone wall: textures/deprecated/stonewall.png textures/stk_generic_oldbricks_a.png
  textures/stktex_generic_aztekWall_a.png textures/stktex_generic_stoneWallA.png
stone wall, gray: textures/HortonRockWall.jpg textures/HortonRockWall2.jpg
  textures/HortonStone6.jpg@kart-HortonStone6 textures/castelwall.jpg@kart-castelwall
  textures/rockwall.jpg@kart-rockwall textures/stk_generic_greyWall_a.png
  textures/stk_generic_wallRock_a.png@kart-rockwall
  tracks/ancient_colosseum_labyrinth/3td_BrickOldRound_01.jpg
  tracks/fortmagma/castelwall.png tracks/scotland/HortonStone7.jpg@kart-HortonStone6
  tracks/volcano_island/wall2.jpg
straw: textures/stk_generic_thatch_a.png
tiles, checkered: textures/city_checker.png@kart-city_checker
tiles, gray: textures/toll_roof.png
tree rings: textures/tree_cut.jpg
wallpaper, patterned: textures/stk_wallpaperOld_a.png
water, blue: textures/canyon_water.png textures/sea.jpg textures/sea2.jpg
  textures/water_light.png@kart-water_light tracks/fortmagma/backeffect.jpg
  tracks/scotland/water_dark.png@kart-water_light
wicker: textures/stk_generic_wickerA.png
window: textures/cottage_wall1.jpg textures/stk_generic_modernWindows_a.png
  textures/stk_generic_modernWindows_b.png tracks/scotland/Factory4b.png
  tracks/scotland/Window6.png tracks/scotland/pub1.png
wood, brown: textures/stktex_generic_WoodB.png@kart-stkgeneric_WoodB
  textures/stktex_generic_WoodC.png@kart-stkgeneric_WoodB
wooden crate: textures/crate1_diffuse.jpg@kart-crate1_diffuse
  textures/crate1_diffuseBIS.jpg@kart-crate1_diffuse
  textures/crate2_diffuse.jpg@kart-crate1_diffuse tracks/hacienda/crate.png
  tracks/mines/crate_wood.jpg@kart-mines-crate_wood
  tracks/mines/crate_wood_colored.jpg@kart-mines-crate_wood
wooden planks: textures/stktex_generic_WoodG.png
  textures/woodBridge.jpg@kart-JapanwoodBridge
  tracks/hacienda/woodBridge.jpg@kart-JapanwoodBridge tracks/mines/wall_wood1.jpg
  tracks/snowtuxpeak/snowoodbridge.jpg
wooden planks, brown: textures/dark-wall-wood.png textures/oldWood.png
  textures/stktex_generic_WoodA.png@kart-stkgeneric_WoodA
  tracks/black_forest/stktex_generic_WoodA._unlit.jpg@kart-stkgeneric_WoodA
  tracks/cornfield_crossing/slowdown.png@kart-stkgeneric_WoodA
  tracks/hacienda/hacienda_roof.jpg
wooden planks, gray: textures/canyon_boards.png
wooden planks, green: textures/stktex_generic_WoodD.png@kart-stkgeneric_WoodA
wooden planks, red: textures/JapanwoodBridge.jpg@kart-JapanwoodBridge
  textures/stktex_generic_WoodF.png@kart-stkgeneric_WoodA
wooden planks, white: textures/stktex_generic_WoodH.png@kart-stkgeneric_WoodA
""")
