"use strict";
// Searches, filters and sorts the units.
(() => {
  const { store } = milan;
  let index = null; // of words: sorted words, and the place of each one's texts

  const wordIndex = () => {
    // One reading, however many searches wait for it.
    index ??= (async () => {
      await milan.load("words.js");
      const { words, counts, texts } = store.words;
      const bytes = milan.bytesOf(texts);
      const starts = new Uint32Array(words.length + 1);
      for (let word = 0, at = 0; word < words.length; word++) {
        starts[word] = at;
        for (let left = counts[word]; left > 0; at++) if (bytes[at] < 128) left--;
        starts[word + 1] = at;
      }
      store.words = null;
      return { words, starts, bytes };
    })();
    return index;
  };

  const firstAtLeast = (words, wanted) => {
    let low = 0, high = words.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (words[middle] < wanted) low = middle + 1; else high = middle;
    }
    return low;
  };

  milan.wordsOf = (text) => text.normalize("NFC").toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];

  // For each text, the words of the query that begin one of its words, as bits.
  const textMarks = (found, wanted) => {
    const marks = new Uint32Array(store.facts.texts);
    wanted.forEach((word, bit) => {
      for (
        let at = firstAtLeast(found.words, word);
        at < found.words.length && found.words[at].startsWith(word);
        at++
      ) {
        let text = 0, step = 0, shift = 0;
        for (let i = found.starts[at]; i < found.starts[at + 1]; i++) {
          step |= (found.bytes[i] & 127) << shift;
          shift += 7;
          if (found.bytes[i] < 128) {
            text += step;
            marks[text] |= 1 << bit;
            step = 0;
            shift = 0;
          }
        }
      }
    });
    return marks;
  };

  // Which units have all words: in their texts, their layer's name or their number.
  const unitsWith = async (query) => {
    const wanted = milan.wordsOf(query).slice(0, 31);
    if (!wanted.length) return null;
    const marks = textMarks(await wordIndex(), wanted);
    const all = 2 ** wanted.length - 1;
    const layers = store.facts.layers.map((layer) => {
      const parts = milan.wordsOf(layer.name), name = layer.name.toLowerCase();
      return wanted.reduce(
        (bits, word, bit) =>
          parts.includes(word) || (word.length > 2 && name.includes(word))
            ? bits | (1 << bit) : bits,
        0,
      );
    });
    const numbers = new Map();
    wanted.forEach((word, bit) => {
      if (/^\d+$/.test(word)) numbers.set(Number(word), (numbers.get(Number(word)) ?? 0) | (1 << bit));
    });
    return (place) => {
      let bits = marks[store.text[place]] | layers[store.layer[place]];
      if (numbers.size) bits |= numbers.get(store.unit[place]) ?? 0;
      if (store.others.size) for (const text of store.others.get(place) ?? []) bits |= marks[text];
      return bits === all;
    };
  };

  // Cosines of all texts with a direction: a text's own, or the mean of several.
  const allVectors = async () => {
    const { facts } = store;
    const files = Math.ceil(facts.texts / facts.units_per_file);
    for (let i = 0; i < files; i++) await milan.load(`vectors-${i}.js`);
    const width = facts.vector_width;
    return (text) => {
      const file = store.vectors.get(Math.floor(text / facts.units_per_file));
      const at = (text % facts.units_per_file) * width;
      return file.subarray(at, at + width);
    };
  };
  const cosinesWith = async (texts) => {
    const vector = await allVectors();
    const width = store.facts.vector_width;
    const direction = new Float32Array(width);
    for (const text of texts) {
      const own = vector(text);
      const norm = Math.hypot(...own) || 1;
      for (let i = 0; i < width; i++) direction[i] += own[i] / norm;
    }
    const length = Math.hypot(...direction) || 1;
    const cosines = new Float32Array(store.facts.texts);
    for (let text = 0; text < cosines.length; text++) {
      const own = vector(text);
      let product = 0, square = 0;
      for (let i = 0; i < width; i++) {
        product += own[i] * direction[i];
        square += own[i] * own[i];
      }
      cosines[text] = product / (length * (Math.sqrt(square) || 1));
    }
    return cosines;
  };

  // Without vectors: how many words two texts share.
  const overlapsWith = async (text) => {
    const wanted = [...new Set(milan.wordsOf(store.texts[text] ?? ""))].filter(
      (word) => word.length > 2 && !STOP.has(word),
    ).slice(0, 31);
    const overlaps = new Float32Array(store.facts.texts);
    if (!wanted.length) return overlaps;
    const marks = textMarks(await wordIndex(), wanted);
    for (let other = 0; other < overlaps.length; other++) {
      let bits = marks[other], shared = 0;
      for (; bits; bits &= bits - 1) shared++;
      if (shared) {
        const count = milan.wordsOf(store.texts[other] ?? "").filter(
          (word) => word.length > 2 && !STOP.has(word),
        ).length;
        overlaps[other] = (2 * shared) / (wanted.length + count);
      }
    }
    return overlaps;
  };
  const STOP = new Set("the and with that are for from has have its their some many lot most part parts other than into over under".split(" "));

  milan.likeness = (text) =>
    store.facts.vector_width ? cosinesWith([text]) : overlapsWith(text);

  // What a query means: a description itself, or what the descriptions with its words
  // have in common.
  const meaningOf = async (query) => {
    const plain = query.trim().toLowerCase();
    const same = store.texts.findIndex((text) => text?.toLowerCase() === plain);
    if (same >= 0) return { cosines: await cosinesWith([same]), by: "text" };
    const wanted = milan.wordsOf(query).slice(0, 31);
    const marks = textMarks(await wordIndex(), wanted);
    const all = 2 ** wanted.length - 1;
    const texts = [];
    for (let text = 0; text < marks.length && texts.length < 500; text++) {
      if (marks[text] === all) texts.push(text);
    }
    if (!texts.length) return null;
    return { cosines: await cosinesWith(texts), by: "words" };
  };

  // Places in the order of a column; unknown values come last.
  const orders = new Map();
  const SPACE = 2 ** 21;
  const ordered = (name, values, descending) => {
    const key = `${name} ${descending} ${store.loaded}`;
    if (!orders.has(key)) {
      const n = store.facts.units;
      const bits = new DataView(new ArrayBuffer(4));
      const keys = new Float64Array(n);
      for (let place = 0; place < n; place++) {
        const value = values(place);
        let rank = 2 ** 32 - 1;
        if (!Number.isNaN(value)) {
          bits.setFloat32(0, value);
          const raw = bits.getUint32(0);
          rank = raw & 0x80000000 ? 0x80000000 - (raw & 0x7fffffff) : 0x80000000 + raw;
          rank = descending ? 2 ** 32 - 2 - rank : rank;
        }
        keys[place] = rank * SPACE + place;
      }
      keys.sort();
      const places = new Uint32Array(n);
      for (let i = 0; i < n; i++) places[i] = keys[i] % SPACE;
      if (orders.size > 8) orders.clear();
      orders.set(key, places);
    }
    return orders.get(key);
  };

  milan.sorts = () => {
    const sorts = [{ id: "layer", name: "layer order" }];
    const has = (values) => values.some((value) => !Number.isNaN(value));
    if (has(store.confidence)) sorts.push({ id: "confidence", name: "confidence" });
    store.facts.scores.forEach((name, i) => {
      if (has(store.scores[i])) sorts.push({ id: `score-${i}`, name });
    });
    if (has(store.maximum)) sorts.push({ id: "maximum", name: "maximum activation" });
    if (store.fires.some((value, place) => value >= 0 && value !== store.images[place])) sorts.push({ id: "fires", name: "share of images it fires on" });
    sorts.push({ id: "text", name: "description, from A" });
    return sorts;
  };

  const sortedBy = (sort, ascending) => {
    if (sort === "confidence") return ordered(sort, (p) => store.confidence[p], !ascending);
    if (sort === "maximum") return ordered(sort, (p) => store.maximum[p], !ascending);
    if (sort === "fires") {
      return ordered(sort, (p) => (store.fires[p] < 0 ? NaN : store.fires[p] / store.images[p]), !ascending);
    }
    if (sort?.startsWith("score-")) {
      const values = store.scores[Number(sort.slice(6))];
      if (values) return ordered(sort, (p) => values[p], !ascending);
    }
    if (sort === "text") {
      return ordered(sort, (p) => (store.texts[store.text[p]] ? store.ranks[store.text[p]] : NaN), ascending);
    }
    return null;
  };

  // The places that fit, in their order.
  milan.search = async (state) => {
    const { facts } = store;
    const byMeaning = state.by === "meaning" && facts.vector_width && milan.wordsOf(state.q).length > 0;
    const meaning = byMeaning ? await meaningOf(state.q) : null;
    const hasWords = byMeaning ? null : await unitsWith(state.q);
    const kind = facts.kinds.indexOf(state.kind);
    // As the column has it: 90% is not less than 90%.
    const least = Math.fround(Number(state.confidence) / 100);
    const network = facts.networks.findIndex((each) => each.key === state.network);
    const layers = facts.layers.map((layer) =>
      (network < 0 || facts.networks.length < 2 || layer.network === network)
      && (!state.layer || layer.name === state.layer));
    const wanted = { described: 0, withheld: milan.WITHHELD, dead: milan.DEAD }[state.state];
    const fits = (place) => {
      const flags = store.flags[place];
      if (!layers[store.layer[place]]) return false;
      if (wanted !== undefined && (flags & (milan.DEAD | milan.WITHHELD)) !== wanted) return false;
      if (wanted === 0 && !milan.isDescribed(place)) return false;
      if (state.sign && (state.sign === "off") !== ((flags & milan.OFF) > 0)) return false;
      if (least > 0 && !(store.confidence[place] >= least)) return false;
      if (kind >= 0 && !(store.kinds[store.text[place]] & (1 << kind))) return false;
      return hasWords === null || hasWords(place);
    };
    const found = new Uint32Array(facts.units);
    let count = 0;
    const places = meaning
      ? ordered(`meaning ${state.q}`, (p) => meaning.cosines[store.text[p]], true)
      : sortedBy(state.sort, state.up);
    const most = meaning ? 500 : byMeaning ? 0 : Infinity;
    for (let i = 0; i < facts.units && count < most; i++) {
      const place = places ? places[i] : i;
      // Layer order, reversed, is from the last unit.
      const at = !places && state.up ? facts.units - 1 - place : place;
      if (isLoaded(at) && fits(at) && !(meaning && !milan.isDescribed(at))) found[count++] = at;
    }
    return {
      places: found.subarray(0, count),
      likeness: meaning?.cosines ?? null,
      by: byMeaning ? meaning?.by ?? "none" : "",
    };
  };
  const isLoaded = (place) => store.loaded === store.facts.units || store.tiles[place] > 0;
})();
