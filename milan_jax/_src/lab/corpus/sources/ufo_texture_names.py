"""What each kept texture of UFO: Alien Invasion shows.

Made by looking at every picture: plain materials and parts of buildings, no atlas, no
map of normals or gloss. An `@label` joins recoloured and otherwise near copies. Paths
are below `textures/tex_`.
"""

from milan_jax._src.lab.corpus.sources.names import parse

NAMES = parse("""
asphalt: buildings/floor005.png ctp1/asphalt_b_1.jpg mattn/floor004.jpg
  mattn/floor029.png mattn/street010.jpg streets/street001.png@ufo-streets-street001
bamboo, yellow: material/wood005.png
bark: mattn/bark001.jpg nature/tree_bark_001.jpg nature/tree_bark_002.jpg
bark, brown: ctp1/bark_b_1.jpg nature/tree002.png
bark, mossy: mattn/bark002.jpg nature/tree001.png
blinds: buildings/window020.jpg@ufo-buildings-window020
  buildings/window021.jpg@ufo-buildings-window020 mattn/window007.jpg
bookshelf: misc/bookshelf.png
brick wall: ctp1/bricks_r_6.jpg ctp1/bricks_t_2.jpg@ufo-ctp1-bricks_r_2
  ctp1/bricks_t_4.jpg@ufo-ctp1-bricks_b_1 ctp1/bricks_w_1.jpg mattn/wall003.jpg
  mattn/wall053.jpg mattn/wall070.jpg mattn/wall_bricks001.jpg
  mattn/wall_bricks005.jpg mattn/wall_bricks006.png
  trak/trak4_brick2.png@ufo-trak-trak4_brick2
brick wall, blue: ctp1/bricks_b_1.jpg@ufo-ctp1-bricks_b_1
brick wall, brown: buildings/streetbricks14.jpg
  ctp1/bricks_r_3.jpg@ufo-ctp1-bricks_b_1 mattn/brick03a.jpg@ufo-mattn-brick03
  mattn/wall079.jpg trak/trak4_brick2a.png
brick wall, gray: ctp1/bricks_g_1.jpg ctp1/bricks_g_2.jpg mattn/wall035.jpg
  mattn/wall077.png trak/trak4_brick2b.png@ufo-trak-trak4_brick2
brick wall, purple: ctp1/bricks_p_1.jpg@ufo-ctp1-bricks_b_1
brick wall, red: buildings/wall043.png@ufo-buildings-wall043
  buildings/wall_brick01.png ctp1/bricks_r_2.jpg@ufo-ctp1-bricks_r_2
  ctp1/bricks_r_4.jpg ctp1/bricks_r_5.jpg@ufo-ctp1-bricks_b_1 mattn/wall005.jpg
  mattn/wall006.jpg mattn/wall054.jpg mattn/wall055.jpg mattn/wall066.jpg
  mattn/wall069.jpg mattn/wall088.png mattn/wall_bricks002.jpg
brick wall, red, dark: buildings/wall044.png@ufo-buildings-wall043
brick wall, tan: ctp1/bricks_m_1.jpg ctp1/bricks_t_1.jpg ctp1/bricks_t_5.jpg
  ctp1/bricks_t_6.jpg mattn/brick03.jpg@ufo-mattn-brick03
brick wall, yellow: ctp1/bricks_y_1.jpg@ufo-ctp1-bricks_b_1
carpet: buildings/carpet006.jpg buildings/carpet027.png buildings/carpet031.png
  furniture/jap_carpet001.png
carpet, blue: buildings/carpet030.png
carpet, brown: mattn/floor014.jpg@ufo-mattn-floor013
carpet, gray: buildings/carpet029.png
carpet, patterned: buildings/carpet001.png buildings/carpet002.png
  buildings/carpet003.png buildings/carpet004.png buildings/carpet005.png
  buildings/carpet007.png buildings/carpet009.png buildings/carpet010.png
  buildings/carpet012.png buildings/carpet025.png
carpet, red: buildings/carpet028.png mattn/floor013.jpg@ufo-mattn-floor013
cobblestones: buildings/floor_se01.png@ufo-buildings-floor_se01
  buildings/floor_se02.png@ufo-buildings-floor_se01 buildings/floor_se03.png
  buildings/floor_se04.png mattn/floor009.jpg@ufo-mattn-floor009
  mattn/floor010.jpg@ufo-mattn-floor009 mattn/floor011.jpg@ufo-mattn-floor009
  mattn/street012.jpg
concrete: buildings/cementwall.jpg buildings/concrete001.jpg
  buildings/concrete005.png@ufo-buildings-concrete002
  buildings/concrete006.png@ufo-buildings-concrete002 buildings/concrete007.png
  buildings/concrete008.png buildings/concrete009.png@ufo-buildings-concrete009
  buildings/concrete012.png@ufo-buildings-concrete012
  buildings/concrete014.png@ufo-buildings-concrete014
  buildings/concrete015.png@ufo-buildings-concrete014
  buildings/concrete016.png@ufo-buildings-concrete014
  buildings/concrete017.png@ufo-buildings-concrete014
  buildings/concrete018.png@ufo-buildings-concrete014 buildings/concrete01dark.jpg
  buildings/concrete020.png buildings/concrete024.png@ufo-buildings-concrete024
  buildings/concrete_slabs01.png@ufo-buildings-concrete024
  buildings/concrete_slabs02.png@ufo-buildings-concrete024
  buildings/e8crete03.jpg@ufo-buildings-e8crete03 buildings/floor025.png
  ctp1/concrete_g_10.jpg ctp1/concrete_g_11.jpg ctp1/concrete_g_4.jpg
  ctp1/concrete_g_5.jpg@ufo-ctp1-concrete_b_1 ctp1/concrete_g_7.jpg
  ctp1/concrete_g_8.jpg material/conc01.png material/conc02.png
  trak/trak4_concrete1a.png@ufo-trak-trak4_concrete1a
  trak/trak4_concrete1b.png@ufo-trak-trak4_concrete1a trak/trak4_concrete2a.png
  trak/trak4_concrete4b.png
concrete, blue: ctp1/concrete_b_1.jpg@ufo-ctp1-concrete_b_1
concrete, gray: buildings/concrete002.jpg@ufo-buildings-concrete002
  buildings/concrete003.png@ufo-buildings-concrete002
  buildings/concrete004.png@ufo-buildings-concrete002
  buildings/concrete013.png@ufo-buildings-concrete012 buildings/concrete022.jpg
  buildings/e8crete03c.jpg@ufo-buildings-e8crete03c
  buildings/e8crete03cc.jpg@ufo-buildings-e8crete03c buildings/e8crete03d.jpg
  buildings/e8crete03e.jpg@ufo-buildings-e8crete_pillar
  buildings/e8crete_pillar.jpg@ufo-buildings-e8crete_pillar
  buildings/e8crete_pillarb.jpg@ufo-buildings-e8crete_pillar
  buildings/e8crete_pillarc.jpg@ufo-buildings-e8crete_pillar
  buildings_snow/concrete001.png@ufo-buildings-concrete009 ctp1/concrete_g_9.jpg
  mattn/concrete001.jpg mattn/concrete003.jpg mattn/wall073.jpg mattn/wall075.jpg
  trak/trak4_concrete4a.png trak/trak4_concrete5a.png
concrete, red: ctp1/concrete_r_1.jpg
corrugated metal: buildings/roof007.png@ufo-buildings-roof006
corrugated metal, blue: buildings/roof006.png@ufo-buildings-roof006 ctp1/metal_b_1.jpg
corrugated metal, gray: ctp1/metal_r_2.jpg@ufo-ctp1-metal_r_1 mattn/metal5.jpg
  mattn/plate.jpg
corrugated metal, red: ctp1/metal_r_1.jpg@ufo-ctp1-metal_r_1
crosswalk: streets/street010.png@ufo-streets-street001
dirt: ctp1/dirt_b_4.jpg mattn/dirt002.jpg mattn/dirt003.png@ufo-mattn-dirt003
  nature/dirt001.png@ufo-mattn-dirt003 nature/dirt002.png nature/dirt003.png
  nature/soil001.jpg nature/soil002.jpg
dirt, brown: ctp1/dirt_01.jpg ctp1/dirt_b_3.jpg ctp1/ground_b_1.jpg
  ctp1/ground_b_2.jpg mattn/dirt001.jpg nature/dirt_se01.png
dirt, cracked: ctp1/dirt_b_1.jpg@ufo-ctp1-dirt_b_2 ctp1/dirt_b_2.jpg@ufo-ctp1-dirt_b_2
  nature/dirt.png@ufo-nature-dirt nature/drymud.jpg@ufo-nature-dirt
  terrain/desert.jpg@ufo-ctp1-dirt_b_2
door: ctp1/door_w_2.jpg doors/door003.jpg@ufo-doors-door003
  doors/door005.jpg@ufo-doors-door003 doors/door020.png
  mattn/door001.jpg@ufo-mattn-door001 mattn/door004.jpg mattn/door021.jpg
  mattn/door022.jpg@ufo-mattn-door001 mattn/door024.jpg mattn/door025.jpg
  mattn/door027.jpg mattn/door030.jpg mattn/door044.jpg mattn/door045.jpg
  mattn/door048.jpg mattn/door052.jpg mattn/door053.jpg
  trak/trak4_door1e.png@ufo-trak-trak4_door1
door, blue: mattn/door015.jpg mattn/door050.jpg
door, green: mattn/door037.jpg trak/trak4_door1c.png@ufo-trak-trak4_door1
door, metallic: doors/door002.png doors/door006.png
  doors/door007.png@ufo-doors-door007 doors/door008.png@ufo-doors-door007
  doors/door012.png doors/door013.png mattn/door003.jpg mattn/door023.jpg
  mattn/door031.jpg@ufo-mattn-door031 mattn/door032.jpg@ufo-mattn-door031
  mattn/door035.jpg mattn/door036.jpg mattn/door038.jpg
  mattn/door039.jpg@ufo-mattn-door039 mattn/door040.jpg@ufo-mattn-door039
  mattn/door041.jpg@ufo-mattn-door039 mattn/door055.jpg mattn/door061.png
door, red: trak/trak4_door1.png@ufo-trak-trak4_door1
door, white: ctp1/door_w_1.jpg doors/door014.png doors/door015.png doors/door021.png
door, wooden: doors/door016.jpg@ufo-doors-door016 doors/door017.jpg@ufo-doors-door016
  doors/door019.png mattn/door002.jpg mattn/door017.jpg mattn/door018.jpg
  mattn/door019.jpg mattn/door020.jpg mattn/door026.jpg mattn/door028.jpg
  mattn/door034.jpg mattn/door043.jpg mattn/door047.jpg mattn/door051.jpg
  mattn/door057.jpg mattn/door060.jpg mattn/door064.png
fabric: ctp1/curtains_m_1.jpg furniture/couch_d.png@ufo-furniture-couch_e
  furniture/couch_e.png@ufo-furniture-couch_e
  furniture/textil001.png@ufo-furniture-couch_e
  furniture/textil003.png@ufo-furniture-couch_e mattn/jute.jpg
fabric, blue: furniture/textil002.png@ufo-furniture-couch_e furniture/textil004.png
  furniture/textil005.png
fabric, striped: furniture/textil006.png
flowers, red: nature/flower.jpg
garage door: doors/door001.jpg mattn/door005.jpg mattn/door016.jpg mattn/door046.jpg
  mattn/door059.jpg
garage door, blue: ctp1/door_b_1.jpg mattn/door058.jpg
garage door, red: ctp1/door_r_1.jpg
graffiti: mattn/door054.jpg mattn/wall060.jpg mattn/wall074.jpg mattn/wall086.png
grass: ctp1/grass_g_4.jpg@ufo-terrain-mountain ctp1/grass_g_8.jpg mattn/grass002.jpg
  nature/jungle001.png terrain/mountain.jpg@ufo-terrain-mountain
  terrain/tropical.jpg@ufo-terrain-mountain
grass, dry: nature/grass_mowed_dry_a.jpg@ufo-nature-grass_mowed_dry_a
  nature/grass_mowed_dry_b.jpg@ufo-nature-grass_mowed_dry_b
  nature/grass_mowed_dry_c.jpg@ufo-ctp1-grass_g_7
  nature/grass_tall_dry_a.jpg@ufo-terrain-mountain
  nature/grass_tall_dry_b.jpg@ufo-nature-grass_tall_dry_b
  nature/grass_tall_dry_c.jpg@ufo-nature-grass_tall_dry_c
grass, flowery: mattn/grass001.jpg mattn/grass003.jpg nature/pjrock6.png
grass, green: ctp1/grass_g_7.jpg@ufo-ctp1-grass_g_7 ctp1/hedge01.jpg
  nature/grass001.jpg nature/grass003.jpg nature/grass004.jpg nature/grass_lush.png
  nature/grass_mowed_green_a.jpg@ufo-nature-grass_mowed_dry_a
  nature/grass_mowed_green_b.jpg@ufo-nature-grass_mowed_dry_b
  nature/grass_mowed_green_c.jpg@ufo-ctp1-grass_g_7
  nature/grass_tall_green_a.jpg@ufo-terrain-mountain
  nature/grass_tall_green_b.jpg@ufo-nature-grass_tall_dry_b
  nature/grass_tall_green_c.jpg@ufo-nature-grass_tall_dry_c nature/jungle002.png
  terrain/dummy.jpg@ufo-nature-grass_mowed_dry_a
gravel: ctp1/concrete_g_6.jpg mattn/floor006.jpg mattn/floor028.png mattn/sand001.jpg
gravel, gray: mattn/concrete002.jpg mattn/ground_dirt2.jpg nature/railway.png
half-timbered wall: mattn/wall007.png@ufo-mattn-wall007
  mattn/wall007_2.png@ufo-mattn-wall007 mattn/wall007_3.png@ufo-mattn-wall007
  mattn/wall007_4.png@ufo-mattn-wall007
hedge, green: ctp1/hedge02.jpg@ufo-ctp1-hedge02 mattn/hedge001.jpg
  nature/hedge001.jpg@ufo-ctp1-hedge02
ice: nature/ice001.jpg nature/ice002.png
lemon, yellow: shop/fruits003.png
marble: ctp1/marble_m_1.jpg
metal: material/metal001.png material/metall012.png
  material/metall014.png@ufo-material-metall016
  material/metall017.png@ufo-material-metall016
  material/metall018.png@ufo-material-metall016
metal, dark: buildings/pewter.jpg material/metall005.png
  material/metall016.png@ufo-material-metall016
metal, gray: buildings/metal01.png buildings/mtl_gray.jpg material/metal012.png
  material/metall002.png material/metall008.png
  material/metall010.png@ufo-material-metall010
  material/metall010a.png@ufo-material-metall010
  material/metall015.png@ufo-material-metall016 misc/stainless001.jpg
metal, peeling, yellow: mattn/rust.jpg@ufo-mattn-rust mattn/rust2.jpg@ufo-mattn-rust
metal grate: buildings/9gratefloor01b.jpg buildings/9gratefloor02.jpg
  buildings/clanggrate.jpg buildings/clanggrate2.jpg buildings/mtl_fnce.jpg
  buildings/tin_floor04ach.jpg mattn/grate1.jpg mattn/grate5.png misc/grate_rusty.png
  trak/grate1a.png trak/trak4_grate2a.png
metal plate: buildings/clangdark.jpg buildings/floor_gray.jpg buildings/metal02.png
  material/metal002.png material/metall007.png material/metall009.jpg
  mattn/metal.jpg@ufo-mattn-metal mattn/metal2.jpg@ufo-mattn-metal mattn/metal3.jpg
orange: shop/fruits010.png
paving stones: buildings/floor021.png buildings/floor033.jpg buildings/paving001.png
  mattn/street011.jpg
paving stones, mossy: mattn/floor001.jpg
pear: shop/fruits001.png
pebbles: ctp1/pebbles_m_1.jpg mattn/floor027.jpg
pipes: misc/pipes001.png
plaster: buildings/wall027.png buildings/wall_se07.png@ufo-buildings-wall_se07
  buildings/wall_se12.png@ufo-buildings-e8crete03 ctp1/concrete_p_10.jpg
  mattn/wall021.jpg mattn/wall042.jpg mattn/wall045.jpg mattn/wall068.jpg
plaster, blue: mattn/wall036.jpg
plaster, brown: mattn/wall046.jpg
plaster, damaged: buildings/wall012.png@ufo-buildings-wall011
  buildings/wall014.png@ufo-buildings-wall011
  buildings/wall024.png@ufo-buildings-wall011
  buildings/wall025.png@ufo-buildings-wall011
  buildings/wall_dirt2.png@ufo-buildings-wall_dirt1
  buildings/wall_dirt4.png@ufo-buildings-wall_dirt1
  buildings/wall_se08.png@ufo-buildings-wall_se07
  buildings/wall_se13.png@ufo-buildings-e8crete03
plaster, dark: mattn/wall038.jpg
plaster, dirty: buildings/wall007.png@ufo-buildings-wall007
  buildings/wall007_2.png@ufo-buildings-wall007 buildings/wall020.png
  buildings/wall023.png@ufo-buildings-wall011 mattn/wall085.png@ufo-buildings-wall011
plaster, gray: buildings/wall011.png@ufo-buildings-wall011
  buildings/wall019.png@ufo-buildings-wall011
  buildings/wall034.jpg@ufo-buildings-concrete002
  buildings/wall035.jpg@ufo-buildings-wall011 buildings/wall036.jpg mattn/wall020.jpg
plaster, green: mattn/wall039.jpg
plaster, red: ctp1/stucco_o_1.jpg
plaster, tan: buildings/wall_dirt1.png@ufo-buildings-wall_dirt1
  buildings/wall_dirt3.png@ufo-buildings-wall_dirt1
  buildings/wall_se14.png@ufo-buildings-wall_dirt1
  buildings/wall_se15.png@ufo-buildings-wall_dirt1
plaster, white: mattn/wall019.jpg
plaster, yellow: mattn/wall037.jpg
road: mattn/street001.jpg mattn/street002.jpg
  streets/street002.png@ufo-streets-street001
rock: mattn/rock004.png mattn/stone001.jpg nature/desert002.png
  nature/pjrock21.png@ufo-nature-pjrock21 nature/rock009.png@ufo-nature-pjrock21
  nature/rock012.png nature/rock013.png
rock, black: nature/stone001.png
rock, brown: mattn/rock001.png mattn/rock003.png mattn/rock005.png
  nature/desert005.png nature/rock017.png
rock, dark: ctp1/volcano_b_1.jpg
rock, gray: nature/pjrock1.png@kart-rockMountain nature/pjrock17.png@kart-rockMountain
  nature/rock008.png nature/rock010.png nature/rock011.png nature/rock014.png
  nature/rock015.png nature/rock016.png nature/rock018.png
rock, mossy: nature/pjrock16.png nature/rock001.png nature/rock002.png
  nature/rock003.png
rock, tan: nature/rock004.png nature/rock005.png nature/rock006.png nature/rock007.png
roof tiles: buildings/roof10.jpg buildings/roof11.jpg ctp1/roof_w_1.jpg
  mattn/roof001.jpg mattn/roof002.jpg@ufo-mattn-roof002 mattn/roof004.jpg
  mattn/roof005.jpg mattn/roof008.jpg mattn/roof009.jpg mattn/roof010.jpg
roof tiles, blue: mattn/roof012.png@ufo-mattn-roof002
roof tiles, pink: ctp1/roof_t_3.jpg@ufo-ctp1-roof_t_2 mattn/roof007.jpg
roof tiles, red: buildings/roof008.png ctp1/roof_t_1.jpg@ufo-ctp1-roof_t_2
  ctp1/roof_t_2.jpg@ufo-ctp1-roof_t_2 mattn/roof003.jpg
rusty metal: buildings/surface2.jpg material/metall001.png@kart-stkt_rustedMetal_a
  material/metall003.png material/metall006.jpg
  material/metall013.png@ufo-material-metall016
  material/metall020.png@ufo-material-metall016 material/metall021.png
  material/metall022.png@ufo-material-metall016 material/metall023.png
  mattn/metal_rust.jpg misc/cable.jpg
sand: nature/desert001.png@ufo-nature-desert001
  nature/desert003.png@ufo-nature-desert001 nature/desert004.png@ufo-nature-desert001
  nature/sand.jpg@ufo-nature-desert001
sand, rippled: ctp1/sand_s_1.jpg nature/desert006.png
  nature/desert007.png@ufo-nature-desert007 nature/desert008.png@ufo-nature-desert007
  nature/desert009.png
shipping container: mattn/container001.jpg
shipping container, blue: misc/container001.png@ufo-misc-container001
  misc/container002.png@ufo-misc-container001
  misc/container007.png@ufo-misc-container004
  misc/container008.png@ufo-misc-container006
shipping container, brown: misc/container001b.png@ufo-misc-container001
  misc/container002b.png@ufo-misc-container001
shipping container, red: misc/container004.png@ufo-misc-container004
  misc/container006.png@ufo-misc-container006
shop shelf: shop/outlay8.jpg shop/outlay9.jpg
shutter: mattn/wall071.jpg mattn/window009.jpg mattn/window12.png mattn/wood014.jpg
sign: misc/verbot.png misc/yellowcamelcrossing.jpg
snow: nature/snow003.png terrain/arctic.png terrain/cold.png
snow, white: nature/snow001.png nature/snow002.png nature/snowey.jpg
stone wall: ctp1/bricks_c_1.jpg mattn/wall051.jpg mattn/wall064st.png
  mattn/wall084.png
stone wall, gray: buildings/wall041.png@ufo-buildings-wall041
  buildings/wall042.png@ufo-buildings-wall041
  buildings_snow/wall002.png@ufo-buildings_snow-wall002
  buildings_snow/wall005.png@ufo-buildings_snow-wall002 ctp1/bricks_g_3.jpg
  mattn/wall040.jpg mattn/wall049.jpg mattn/wall067.jpg trak/trak4_brick1.png
stone wall, mossy: buildings/wall5_4.jpg
stone wall, tan: mattn/wall041.jpg
straw: mattn/dung.jpg@ufo-mattn-dung mattn/dung2.jpg@ufo-mattn-dung mattn/straw2.jpg
straw, yellow: mattn/hay.jpg@ufo-mattn-hay mattn/hay2.jpg@ufo-mattn-hay
  mattn/straw.jpg misc/straw.png misc/straw_zyl.png
tiles: buildings/floor004.png@kart-city_checker buildings/floor008.png
  buildings/floor009.png buildings/floor012.jpg buildings/floor013.png
  buildings/floor015.png@ufo-buildings-floor006
  buildings/floor029.jpg@ufo-buildings-floor018
  buildings/floor030.jpg@ufo-buildings-floor018 buildings/q1metal7_99.jpg
  buildings/sfloor1_2.jpg ctp1/bricks_r_1.jpg ctp1/concrete_s_1.jpg ctp1/tiles_g_2.jpg
  ctp1/tiles_g_4.jpg ctp1/tiles_m_1.jpg ctp1/tiles_m_2.jpg ctp1/tiles_m_4.jpg
tiles, blue: buildings/tile_teracotablue.png@ufo-buildings-tile_teracotablue
  buildings/window012.png@ufo-buildings-window012
  buildings/window013.png@ufo-buildings-window012
  ctp1/tiles_b_2.jpg@ufo-ctp1-tiles_b_2 ctp1/tiles_b_3.jpg mattn/floor024.jpg
tiles, brown: buildings/floor018.png@ufo-buildings-floor018
  buildings/floor019.png@ufo-buildings-floor018 buildings/floor020.jpg
tiles, checkered: ctp1/tiles_b_1.jpg@kart-city_checker
tiles, gray: buildings/floor006.png@ufo-buildings-floor006
  buildings/floor016.png@ufo-buildings-concrete009 buildings/floor017.png
  buildings/tile01.png@ufo-buildings-tile01 buildings/tile02.png@ufo-buildings-tile01
  ctp1/tiles_g_1.jpg ctp1/tiles_g_3.jpg@ufo-ctp1-tiles_b_2
tiles, green: buildings/tile03.png@ufo-buildings-tile01
tiles, patterned: buildings/floor010.png ctp1/tiles_m_5.jpg ctp1/tiles_m_6.jpg
  ctp1/tiles_w_1.jpg mattn/floor012.png
tiles, red: ctp1/tiles_m_3.jpg ctp1/tiles_r_2.jpg
  nature/tile_teracota.png@ufo-buildings-tile_teracotablue
tree rings: mattn/wood003.jpg mattn/wood026.png nature/tree_chopped.jpg
  nature/tree_chopped2.jpg
wallpaper, blue: ctp1/wallpaper_b_1.jpg ctp1/wallpaper_bl_1.jpg
wallpaper, brown: ctp1/wallpaper_t_1.jpg
wallpaper, gray: ctp1/wallpaper_g_1.jpg ctp1/wallpaper_g_3.jpg
wallpaper, patterned: buildings/wallpaper004.jpg@ufo-buildings-wallpaper007
  buildings/wallpaper005.jpg@ufo-buildings-wallpaper007
  buildings/wallpaper008.jpg@ufo-buildings-wallpaper007
  buildings/wallpaper011.jpg@ufo-buildings-wallpaper011
  buildings/wallpaper012.jpg@ufo-buildings-wallpaper011
wallpaper, red: ctp1/wallpaper_r_1.jpg
wallpaper, striped: buildings/wallpaper001.jpg@ufo-buildings-wallpaper001
  buildings/wallpaper002.jpg@ufo-buildings-wallpaper001
wallpaper, torn: buildings/wallpaper003.jpg@ufo-buildings-wallpaper001
  buildings/wallpaper007.jpg@ufo-buildings-wallpaper007
  buildings/wallpaper009.jpg@ufo-buildings-wallpaper007
  buildings/wallpaper010.jpg@ufo-buildings-wallpaper007
watermelon: shop/fruits002.png
window: ctp1/window_m_1.jpg mattn/wall008.jpg mattn/wall014.png mattn/wall047.jpg
  mattn/wall052.jpg mattn/wall056.jpg@ufo-mattn-wall056
  mattn/wall057.jpg@ufo-mattn-wall056 mattn/wall065.jpg mattn/window002.jpg
  mattn/window003.jpg mattn/window004.jpg mattn/window006.jpg mattn/window10.jpg
  mattn/window11.png
wood: buildings/wall_wood_001.jpg material/wood013.png
wood, brown: buildings/wizwood1_2.jpg ctp1/wood_b_9.jpg material/wood002.png
  material/wood008.png material/wood009.png material/wood010.png@ufo-material-wood010
  material/wood011.png@ufo-material-wood010 material/wood012.png material/wood014.png
  material/wood015.png material/wood016.png material/wood018.png
wood, dark: mattn/wood009.jpg mattn/wood010.jpg
wood, gray: material/s_wood002.png material/s_wood003.png
wood, light: ctp1/wood_b_10.jpg mattn/wood012.jpg
wood chips: mattn/wood006.jpg
wood chips, brown: nature/wood_chips01.jpg@ufo-nature-wood_chips01
  nature/wood_chips02.jpg@ufo-nature-wood_chips01
wood floor, brown: buildings/floor002.png@ufo-buildings-floor002
  buildings/floor022.png@ufo-buildings-floor002 buildings/floor034.png
  buildings/floor035.png buildings/floor036.png buildings/floor037.png
  buildings/floor038.png buildings/floor039.png buildings/woodceiling1a.jpg
wooden crate: mattn/crate001.jpg
wooden planks: buildings/floor_wood01.png ctp1/wood_b_4.jpg ctp1/wood_b_6.jpg
  doors/door009.png mattn/wall033.jpg mattn/wall034.jpg mattn/wood002.jpg
  mattn/wood005.jpg@ufo-mattn-wall001 mattn/wood013.jpg mattn/wood015.jpg
  mattn/wood016.jpg mattn/wood017.jpg@ufo-mattn-wood017 mattn/wood021.jpg
  mattn/wood022.jpg mattn/wood027.png mattn/wood028.png mattn/wood029.png
wooden planks, blue: mattn/wall078.jpg
wooden planks, brown: buildings/floor026.jpg@ufo-buildings-floor026
  buildings/floor027.jpg@ufo-buildings-floor026
  material/wood001.png@ufo-material-s_wood001 material/wood003.png
  material/wood017.png mattn/wood004.jpg mattn/wood008.jpg
wooden planks, dark: buildings/floor028.jpg@ufo-buildings-floor026
wooden planks, gray: material/s_wood001.png@ufo-material-s_wood001
  mattn/wall001.jpg@ufo-mattn-wall001 mattn/wood001.jpg mattn/wood020.jpg
  mattn/wood025.jpg
wooden planks, green: mattn/wood024.jpg
wooden planks, red: ctp1/woodb_5.jpg mattn/wall089.png
wooden planks, yellow: mattn/wood018.jpg@ufo-mattn-wood017
""")
