"use strict";
// A unit's own page.
(() => {
  const { make, store } = milan;
  const MODES = [["regions", "Regions"], ["images", "Whole images"], ["heat", "Heat maps"]];
  let mode = "regions", shown = 0;
  let address = "", waiting = 0; // of the page that is shown; steps until the next is

  milan.unit = {
    open: async (key, layer, unit) => {
      const number = ++shown;
      const view = document.getElementById("view-unit");
      const place = await milan.find(key, layer, unit);
      if (place === null) {
        view.replaceChildren(make("h2", { tabindex: "-1" }, "There is no such unit"),
          make("p", {}, `No unit ${unit} of layer ${layer} is in this catalog. `, make("a", { href: "#/" }, "All units")));
        return null;
      }
      const details = await milan.detailsOf(place);
      if (number !== shown) return null;
      address = location.hash;
      milan.list.show(place);
      view.replaceChildren(...page(place, details));
      document.title = `${milan.textOf(place)} · ${milan.nameOf(place)}`;
      view.querySelector("h2").focus({ preventScroll: true });
      scrollTo(0, 0);
      later(place, details, number, view);
      if (!address.startsWith("#/unit/")) waiting = 0;
      if (waiting) {
        const by = Math.sign(waiting);
        waiting -= by;
        milan.unit.step(by);
      }
      return place;
    },
    mode: (name) => {
      document.querySelector(`#view-unit input[value="${name}"]`)?.click();
    },
    step: (by) => {
      if (location.hash !== address) {
        waiting += by;
        return;
      }
      const link = document.querySelector(`#view-unit a[rel="${by > 0 ? "next" : "prev"}"]`);
      if (link) location.hash = link.getAttribute("href");
    },
  };

  // To the units before and after it in the list.
  const steps = (place) => {
    const places = milan.found();
    const at = places.indexOf(place);
    return at < 0 ? null : make("nav.steps", { "aria-label": "Units of the list" },
      at > 0 ? make("a", { href: milan.linkOf(places[at - 1]), rel: "prev" }, "← previous") : null,
      make("span", {}, `${milan.number(at + 1)} of ${milan.number(places.length)}`),
      at + 1 < places.length ? make("a", { href: milan.linkOf(places[at + 1]), rel: "next" }, "next →") : null);
  };

  const page = (place, details) => {
    const layer = milan.layerOf(place);
    const withheld = milan.isWithheld(place);
    return [
      make("div.trail", {}, make("a", { href: milan.list.link() }, "Units"), make("span", { "aria-hidden": "true" }, " / "),
        store.facts.networks.length > 1 ? make("span", {}, `${milan.networkOf(place).title} / `) : null,
        make("a", { href: milan.listLink({ layer: layer.name, network: milan.networkOf(place).key }) }, layer.name),
        make("span", {}, ` / unit ${store.unit[place]}${milan.isOff(place) ? " (off)" : ""}`), steps(place)),
      make(`h2.${milan.sort(place)}`, { tabindex: "-1" }, milan.sign(place), milan.textOf(place)),
      withheld ? make("p.remark", {}, `The description is “${details.description}”: its best guess, above, is withheld for low confidence.`) : null,
      make("p.line", {}, milan.confidence(place),
        ...[milan.firing(place), milan.exceeding(place, details)].map((text) => text && make("span", {}, text)).filter(Boolean)),
      tiles(place, details),
      make("div.columns", {}, ...[milan.samples(place, details), scores(place), milan.activations(place, details), hypotheses(place, details), people(details), elsewhere(details)].filter(Boolean)),
      make("section.related", { id: "related", "aria-label": "Related units" }),
    ].filter(Boolean);
  };

  const section = (title, ...children) => make("section", {}, make("h3", {}, title), ...children);

  const tiles = (place, details) => {
    const across = milan.tilesAcross(place) || 1;
    const total = store.tiles[place];
    const count = details.activations?.length ?? details.names?.length ?? total;
    const down = Math.max(1, Math.ceil(total / across));
    const sheet = milan.cssUrl(milan.pictureOf(place, ".webp")), cover = milan.cssUrl(milan.pictureOf(place, ".cover.webp"));
    const { tile, gap } = store.facts;
    const [width, height] = [across, down].map((n) => n * (tile + gap) - gap);
    const answer = milan.isOff(place) ? "how far it is lowered" : "activation";
    const heat = details.maps ? milan.bytesOf(details.maps.values) : null;
    const buttons = Array.from({ length: Math.min(count, total) }, (_, i) => {
      const column = i % across, line = Math.floor(i / across);
      // A percentage places that point of the picture at the same point of the tile.
      const x = width > tile ? (column * (tile + gap) * 100) / (width - tile) : 0;
      const y = height > tile ? (line * (tile + gap) * 100) / (height - tile) : 0;
      const known = [`Region ${i + 1}`];
      if (details.activations) known.push(`${answer} ${milan.brief(details.activations[i])}`);
      if (details.names) known.push(details.names[i]);
      const style = {
        "--x": `${x}%`, "--y": `${y}%`, "--wide": `${(width * 100) / tile}%`, "--high": `${(height * 100) / tile}%`,
      };
      const canvas = heat ? heatMap(heat, details.maps, i) : null;
      return make("li", {}, make("button.tile", {
        type: "button", "aria-pressed": "false", onclick: milan.press, "aria-label": known.join(", "), title: details.names?.[i] ?? "", ...style, "--sheet": sheet, "--cover": cover,
      }, make("span.whole"), make("span.over"), canvas),
      details.activations ? make("span.level", { "aria-hidden": "true" }, milan.brief(details.activations[i])) : null);
    });
    const grid = make(`ul.tiles.${mode}`, { role: "list", "aria-label": "Regions, best first" }, ...buttons);
    const choices = MODES.filter(([name]) => name !== "heat" || heat);
    if (!choices.some(([name]) => name === mode)) grid.className = "tiles regions";
    const chosen = choices.some(([name]) => name === mode) ? mode : "regions";
    return make("section.pictures", { "aria-label": "Regions" },
      make("fieldset.modes", {}, make("legend", {}, "Show"),
        ...choices.map(([name, label]) => {
          const radio = make("input", { type: "radio", name: "mode", value: name, onchange: () => {
            mode = name;
            grid.className = `tiles ${name}`;
          } });
          radio.checked = name === chosen;
          return make("label", {}, radio, make("span", {}, label));
        })),
      grid,
      make("p.hint", {}, milan.isDead(place)
        ? "The unit never varies: its images mean nothing."
        : "Best first. Point at a region, or move to it with Tab, to see the whole image; a press keeps it shown."));
  };
  milan.cssUrl = (path) => `url("${new URL(path, document.baseURI).href.replace(/["\\\n]/g, encodeURIComponent)}")`;

  // From transparent through orange to pale yellow.
  const heatMap = (values, { shape: [rows, columns], image }, i) => {
    const canvas = make("canvas.heat", { width: columns, height: rows, "aria-hidden": "true" });
    // An image that is not square leaves a part of its tile free.
    if (image) {
      const { tile } = store.facts;
      const [down, across] = image.map((side) => Math.max(1, Math.floor((side * tile) / Math.max(...image))) / tile);
      milan.set(canvas, { "--down": `${down * 100}%`, "--across": `${across * 100}%` });
    }
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(columns, rows);
    for (let at = 0; at < rows * columns; at++) {
      const value = values[i * rows * columns + at] / 255;
      pixels.data[4 * at] = 60 + 195 * Math.min(1, value * 1.6);
      pixels.data[4 * at + 1] = 20 + 215 * value ** 1.5;
      pixels.data[4 * at + 2] = 90 * (1 - value) + 60 * value ** 4;
      pixels.data[4 * at + 3] = 40 + 200 * value;
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  };

  const pairs = (rows) => make("dl.pairs", {}, ...rows.map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value))));

  const scores = (place) => {
    const rows = store.facts.scores.map((name, i) => [name, milan.decimal(store.scores[i][place])]);
    const given = store.facts.scores.indexOf("log p(text | regions)"), alone = store.facts.scores.indexOf("log p(text)");
    if (given >= 0 && alone >= 0) {
      rows.push(["mutual information", milan.decimal(store.scores[given][place] - store.scores[alone][place])]);
    }
    return rows.length && !milan.isDead(place) ? section("Scores", pairs(rows), make("p.hint", {}, "In nats.")) : null;
  };

  const hypotheses = (place, details) => {
    const all = details.hypotheses;
    if (!all?.length || milan.isDead(place)) return null;
    const best = (value) => all.reduce((a, b) => ((value(b) ?? -Infinity) > (value(a) ?? -Infinity) ? b : a));
    const likely = best((h) => h[2]);
    const hasModel = all.some((h) => h[3] !== null);
    const informative = hasModel ? best((h) => (h[3] === null ? null : h[2] - h[3])) : null;
    const mark = (h) => [h === likely ? "most likely" : "", h === informative ? "most informative" : ""].filter(Boolean).join(", ");
    const head = ["description", "score", "log p(text | regions)", ...(hasModel ? ["log p(text)", "mutual information"] : [])];
    return make("section.wide", {}, make("h3", {}, "Best descriptions of the search"),
      make("div.scroller", { tabindex: "0", role: "region", "aria-label": "Best descriptions of the search" }, make("table.hypotheses", {},
        make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
        make("tbody", {}, ...all.map((h) => make("tr", {},
          make("th", { scope: "row" }, h[0], mark(h) ? make("span.note", {}, mark(h)) : null),
          ...[h[1], h[2], ...(hasModel ? [h[3], h[2] - h[3]] : [])].map((value) => make("td", {}, milan.decimal(value ?? NaN)))))))),
      make("p.hint", {}, "“Most likely” has the highest p(text | regions) of these, “most informative” the highest mutual information. In nats."));
  };

  const people = (details) => details.annotations?.length
    ? section("People wrote", make("ul.texts", {}, ...details.annotations.map((each) => make("li", {}, each)))) : null;
  const elsewhere = (details) => details.others
    ? section("Other descriptions", pairs(Object.entries(details.others))) : null;

  const mentions = (title, places, notes, hint) => section(title,
    make("div.mentions", {}, ...places.map((place, i) => milan.mention(place, notes?.[i]))), hint ? make("p.hint", {}, hint) : null);

  // What needs other units: they may still be loading.
  const later = async (place, details, number, view) => {
    const related = view.querySelector("#related");
    const known = store.loaded;
    await milan.everything;
    if (number !== shown) return;
    if (store.loaded > known) {
      view.querySelector(".steps")?.remove();
      view.querySelector(".trail").append(steps(place) ?? "");
    }
    if (milan.isDead(place)) return;
    const own = store.text[place], described = milan.isDescribed(place);
    const same = [];
    for (let other = 0; described && other < store.facts.units; other++) {
      if (store.text[other] === own && other !== place && !milan.isDead(other)) same.push(other);
    }
    if (same.length) {
      related.append(mentions(`The same description: ${milan.plural(same.length, "other unit")}`, same.slice(0, 12), null,
        same.length > 12 ? `The first 12 of ${milan.number(same.length)}.` : ""));
    }
    const likeness = described ? await milan.likeness(own) : new Float32Array(0);
    if (number !== shown) return;
    const best = [];
    const seen = new Set([own]);
    const order = [...likeness.keys()].filter((t) => likeness[t] > 0.2 && t !== own).sort((a, b) => likeness[b] - likeness[a]).slice(0, 60);
    const rank = new Map(order.map((t, i) => [t, i]));
    const first = new Map();
    for (let other = 0; other < store.facts.units; other++) {
      const t = store.text[other];
      if (rank.has(t) && !first.has(t) && !milan.isDead(other)) first.set(t, other);
    }
    for (const t of order) {
      if (first.has(t) && !seen.has(t)) { best.push([first.get(t), likeness[t]]); seen.add(t); }
      if (best.length === 8) break;
    }
    if (best.length) {
      related.append(mentions("Nearest descriptions", best.map(([p]) => p), best.map(([, like]) => milan.percent(like)),
        store.facts.vector_width ? "By the meaning of the descriptions (cosine of sentence vectors)." : "By the words that the descriptions share."));
    }
    if (store.facts.nearest) {
      const size = store.facts.units_per_file, file = Math.floor(place / size);
      await milan.load(`near-${file}.js`);
      if (number !== shown) return;
      const { units, cosines } = store.near.get(file);
      const at = (place % size) * store.facts.nearest;
      const near = [...units.subarray(at, at + store.facts.nearest)].map((p, i) => [p, cosines[at + i]]).filter(([p]) => p >= 0);
      if (near.length) {
        related.append(mentions("Nearest regions", near.map(([p]) => p), near.map(([, like]) => milan.percent(Math.max(0, like))),
          "By the features of the regions that the captioner saw (cosine of their centered means)."));
      }
    }
  };
})();
