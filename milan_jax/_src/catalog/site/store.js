"use strict";
// The site's data: columns of all units, and what is loaded when it is needed. A page
// from disk may not read files, so each file of data is a script that calls one of the
// functions here.
const milan = {};

(() => {
  const waiting = new Map();
  const store = {
    facts: null,
    loaded: 0,       // units
    texts: [],
    details: new Map(),
    words: null,
    near: new Map(),
    vectors: new Map(),
  };
  milan.store = store;

  // Runs a script of data once; resolves when it has run.
  milan.load = (name) => {
    if (!waiting.has(name)) {
      waiting.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = `site/data/${name}`;
        script.onload = () => { script.remove(); resolve(); };
        script.onerror = () => {
          waiting.delete(name);
          script.remove();
          reject(new Error(`site/data/${name} cannot be read`));
        };
        document.head.append(script);
      }));
    }
    return waiting.get(name);
  };

  const bytesOf = (text) => {
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  };
  milan.bytesOf = bytesOf;
  const columnOf = (text, Kind) => new Kind(bytesOf(text).buffer);

  milan.meta = (facts) => {
    store.facts = facts;
    const n = facts.units;
    store.layer = new Uint16Array(n);
    store.unit = new Uint32Array(n);
    store.flags = new Uint8Array(n);
    store.text = new Uint32Array(n);
    store.confidence = new Float32Array(n).fill(NaN);
    store.maximum = new Float32Array(n).fill(NaN);
    store.fires = new Int32Array(n).fill(-1);
    store.images = new Int32Array(n).fill(-1);
    store.photographs = new Int32Array(n).fill(-1);
    store.tiles = new Uint8Array(n);
    store.scores = facts.scores.map(() => new Float32Array(n).fill(NaN));
    store.others = new Map();
    store.kinds = new Uint16Array(facts.texts);
    store.ranks = new Uint32Array(facts.texts); // in alphabetical order
    store.fileLoaded = [];
  };

  const KINDS = {
    layer: Uint16Array, unit: Uint32Array, flags: Uint8Array, text: Uint32Array,
    confidence: Float32Array, maximum: Float32Array, fires: Int32Array,
    images: Int32Array, photographs: Int32Array, tiles: Uint8Array,
  };
  milan.units = (number, columns) => {
    const first = number * store.facts.units_per_file;
    let length = 0;
    for (const [name, Kind] of Object.entries(KINDS)) {
      const values = columnOf(columns[name], Kind);
      store[name].set(values, first);
      length = values.length;
    }
    columns.scores.forEach((text, i) => {
      store.scores[i].set(columnOf(text, Float32Array), first);
    });
    for (const [place, texts] of Object.entries(columns.others)) {
      store.others.set(Number(place), texts);
    }
    columns.texts.forEach((text, i) => { store.texts[columns.first_text + i] = text; });
    store.kinds.set(columnOf(columns.kinds, Uint16Array), columns.first_text);
    store.ranks.set(columnOf(columns.ranks, Uint32Array), columns.first_text);
    store.loaded += length;
  };
  milan.words = (index) => { store.words = index; };
  milan.details = (layer, chunk, units) => { store.details.set(`${layer}-${chunk}`, units); };
  milan.near = (number, columns) => {
    store.near.set(number, {
      units: columnOf(columns.units, Int32Array),
      cosines: columnOf(columns.cosines, Float32Array),
    });
  };
  milan.vectors = (number, text) => {
    store.vectors.set(number, new Int8Array(bytesOf(text).buffer));
  };

  const OFF = 1, DEAD = 2, WITHHELD = 4;
  Object.assign(milan, { OFF, DEAD, WITHHELD });

  // What the columns say of a unit, by its place in the site.
  milan.layerOf = (place) => store.facts.layers[store.layer[place]];
  milan.networkOf = (place) => store.facts.networks[milan.layerOf(place).network];
  milan.isOff = (place) => (store.flags[place] & OFF) > 0;
  milan.isDead = (place) => (store.flags[place] & DEAD) > 0;
  milan.isWithheld = (place) => (store.flags[place] & WITHHELD) > 0;
  milan.isDescribed = (place) => Boolean(store.texts[store.text[place]]);
  // A layer's name, after its network's where there are several.
  milan.layerName = (layer) => (store.facts.networks.length > 1
    ? `${store.facts.networks[layer.network].title}: ${layer.name}` : layer.name);
  milan.nameOf = (place) =>
    `${milan.layerName(milan.layerOf(place))}, unit ${store.unit[place]}`
    + (milan.isOff(place) ? " (off)" : "");
  milan.textOf = (place) =>
    milan.isDead(place) ? "Never varies" : store.texts[store.text[place]] || "Not described";
  milan.linkOf = (place) => {
    const parts = [
      milan.networkOf(place).key, milan.layerOf(place).name,
      store.unit[place] + (milan.isOff(place) ? "-off" : ""),
    ];
    return `#/unit/${parts.map(encodeURIComponent).join("/")}`;
  };
  milan.pictureOf = (place, suffix) => {
    const network = milan.networkOf(place), layer = milan.layerOf(place);
    const folders = ["images", ...(network.key ? [network.key] : []), layer.folder];
    const name = store.unit[place] + (milan.isOff(place) ? "-off" : "");
    return `${folders.map(encodeURIComponent).join("/")}/${name}${suffix}`;
  };
  milan.tilesAcross = (place) => Math.min(5, store.tiles[place]);

  // The place of a unit, by the parts of its link; null if there is none.
  milan.find = async (key, name, unit) => {
    const { facts } = store;
    // The only network has an empty key in the catalog of a run, and its name in others.
    const network = facts.networks.length === 1 ? 0 : facts.networks.findIndex((each) => each.key === key);
    const number = facts.layers.findIndex(
      (each) => each.network === network && each.name === name,
    );
    const wanted = /^(\d+)(-off)?$/.exec(unit);
    if (number < 0 || !wanted) return null;
    const { first, counts } = facts.layers[number];
    const size = facts.units_per_file;
    for (let i = Math.floor(first / size); i * size < first + counts.units; i++) {
      await milan.load(`units-${i}.js`);
    }
    const index = Number(wanted[1]), off = wanted[2] ? OFF : 0;
    let other = null;
    for (let place = first; place < first + counts.units; place++) {
      if (store.unit[place] !== index) continue;
      if ((store.flags[place] & OFF) === off) return place;
      other = place;
    }
    // What lowers a unit is shown where nothing else is known of it.
    return off ? null : other;
  };
  milan.detailsOf = async (place) => {
    const number = store.layer[place];
    const row = place - store.facts.layers[number].first;
    const size = store.facts.details_per_file;
    const chunk = Math.floor(row / size);
    await milan.load(`${number}-${chunk}.js`);
    return store.details.get(`${number}-${chunk}`)[row % size];
  };
  milan.allUnits = async (report) => {
    const files = Math.ceil(store.facts.units / store.facts.units_per_file);
    for (let i = 0; i < files; i++) {
      await milan.load(`units-${i}.js`);
      // Lets the page draw and answer between two files.
      await new Promise((resolve) => { setTimeout(resolve); });
      if (report) report();
    }
  };
})();
