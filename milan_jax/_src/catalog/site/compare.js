"use strict";
// Two layers side by side: of two networks, or of two captioners over one network.
(() => {
  const { make, store } = milan;
  const LINES = 100;
  // The choices and the summary are made once: the choices keep the focus while what is
  // below changes, and those who do not see it hear the summary.
  let selects = null, summary = null, below = null;

  const idOf = (layer) => `${store.facts.networks[layer.network].key}/${layer.name}`;
  const layers = () => store.facts.layers.filter((layer) => layer.counts.units);
  const placesOf = (layer) => Array.from({ length: layer.counts.units }, (_, i) => layer.first + i);
  const unitKey = (place) => `${store.unit[place]}${milan.isOff(place) ? "-off" : ""}`;
  const same = (x, y) => milan.textOf(x) === milan.textOf(y) && milan.sort(x) === milan.sort(y);
  const linkOf = (a, b) => `#/compare?${new URLSearchParams({ a, b })}`;

  const options = () => layers().map((layer) => [idOf(layer), milan.layerName(layer)]);

  const by = (places) => {
    const texts = new Map();
    for (const place of places) {
      if (milan.sort(place) !== "said") continue;
      const text = store.text[place];
      if (!texts.has(text)) texts.set(text, []);
      texts.get(text).push(place);
    }
    return texts;
  };

  const units = (places) => make("span.units", {}, ...places.slice(0, 6).flatMap((place, i) => [
    i ? ", " : "", make("a", { href: milan.linkOf(place) }, unitKey(place))]), places.length > 6 ? `, ${places.length - 6} more` : "");

  const more = (rows, fill) => {
    // A long table grows when asked to.
    let upto = Math.min(LINES, rows.length);
    fill(rows.slice(0, upto));
    if (upto === rows.length) return null;
    const button = make("button", { type: "button", onclick: () => {
      fill(rows.slice(upto, upto + LINES));
      upto = Math.min(upto + LINES, rows.length);
      button.hidden = upto === rows.length;
      button.textContent = `Show more (${milan.number(rows.length - upto)} left)`;
    } }, `Show more (${milan.number(rows.length - upto)} left)`);
    return button;
  };

  const table = (label, head, rows, lineOf) => {
    const body = make("tbody");
    const button = more(rows, (some) => body.append(...some.map(lineOf)));
    return [make("div.scroller", { tabindex: "0", role: "region", "aria-label": label }, make("table.compared", {},
      make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))), body)), button];
  };

  const kinds = (a, b) => make("div.kind-pairs", {},
    make("div.kind-pair.head", {}, make("span"), ...[a, b].map((layer) => make("span", {}, milan.layerName(layer)))),
    ...store.facts.kinds.filter((kind) => a.kinds[kind] || b.kinds[kind]).map((kind) => {
    const shares = [a, b].map((layer) => layer.kinds[kind] / Math.max(1, layer.counts.described));
    return make("div.kind-pair", { "data-kind": kind }, make("span", {}, kind),
      ...shares.map((share, i) => make(`span.half.half-${i}`, { "--share": share.toFixed(4) }, make("span.count", {}, milan.percent(share)))));
  }));

  // Two layers: what is to be shown of them, and in words what was found.
  const result = (a, b) => {
    const found = [];
    const [left, right] = [a, b].map(placesOf);
    const parts = [make("h3", {}, "Kinds of words"), kinds(a, b),
      make("p.hint", {}, "The share of the described units that mention it.")];
    const second = new Map(right.map((place) => [unitKey(place), place]));
    const pairs = left.filter((place) => second.has(unitKey(place))).map((place) => [place, second.get(unitKey(place))]);
    const [ours, theirs] = [left, right].map(by);
    const shared = [...ours.keys()].filter((text) => theirs.has(text));
    const only = [[ours, theirs, a], [theirs, ours, b]].map(([one, other, layer]) =>
      [layer, [...one.keys()].filter((text) => !other.has(text)).sort((x, y) => one.get(y).length - one.get(x).length), one]);
    if (a.name === b.name && pairs.length) {
      const equal = pairs.filter(([x, y]) => same(x, y) && milan.sort(x) !== "undescribed").length;
      found.push(`${milan.number(equal)} of ${milan.plural(pairs.length, "unit")} have the same description.`);
      parts.push(make("h3", {}, "Unit by unit"), ...table("Unit by unit", ["unit", milan.layerName(a), milan.layerName(b)], pairs.sort(([x, y], [z, w]) =>
        same(x, y) - same(z, w)), ([x, y]) =>
          make(`tr${same(x, y) ? ".same" : ""}`, {}, make("th.key", { scope: "row" }, unitKey(x)),
            ...[x, y].map((place) => make("td", {}, make("a", { href: milan.linkOf(place) }, milan.said(place, "span")))))).filter(Boolean));
    }
    found.push(`${milan.plural(shared.length, "description")} ${shared.length === 1 ? "is" : "are"} in both, ${only.map(([layer, texts]) =>
      `${milan.number(texts.length)} only in ${milan.layerName(layer)}`).join(", ")}.`);
    parts.push(make("h3", {}, `Shared descriptions: ${milan.number(shared.length)}`));
    if (shared.length) {
      parts.push(...table("Shared descriptions", ["description", milan.layerName(a), milan.layerName(b)], shared, (text) => make("tr", {},
        make("th", { scope: "row" }, store.texts[text]), make("td", {}, units(ours.get(text))), make("td", {}, units(theirs.get(text))))).filter(Boolean));
    }
    parts.push(make("div.both", {}, ...only.map(([layer, texts, from]) => make("section", {},
      make("h3", {}, `Only in ${milan.layerName(layer)}: ${milan.number(texts.length)}`),
      ...(texts.length ? table(`Only in ${milan.layerName(layer)}`, ["description", "units"], texts, (text) => make("tr", {},
        make("th", { scope: "row" }, store.texts[text]), make("td", {}, units(from.get(text))))) : []).filter(Boolean)))));
    return { parts, words: found.join(" ") };
  };

  const build = (view) => {
    const choose = (label, name) => milan.choice(label, name, options(), "", () => {
      location.hash = linkOf(...selects.map((select) => select.value));
    });
    const choices = make("div.choices", {}, choose("Left", "a"), choose("Right", "b"));
    selects = [...choices.querySelectorAll("select")];
    summary = make("p", { role: "status" });
    below = make("div");
    view.append(choices, summary, below);
  };

  milan.compare = {
    open: async (query) => {
      await milan.everything;
      const all = layers();
      const asked = new URLSearchParams(query);
      const find = (id) => all.find((layer) => idOf(layer) === id);
      const a = find(asked.get("a")) ?? all[0];
      const twin = all.find((layer) => layer.network !== a?.network && layer.name === a?.name);
      const b = find(asked.get("b")) ?? twin ?? all.find((layer) => layer !== a) ?? a;
      if (!below) build(document.getElementById("view-compare"));
      if (!a) {
        summary.textContent = "There are no units.";
        return;
      }
      [a, b].forEach((layer, i) => { selects[i].value = idOf(layer); });
      const { parts, words } = a === b ? { parts: [], words: "Choose two layers." } : result(a, b);
      below.replaceChildren(...parts);
      summary.textContent = words;
    },
  };
})();
