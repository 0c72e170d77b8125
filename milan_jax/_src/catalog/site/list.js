"use strict";
// The list of units: search, filters, and the cards that can be seen.
(() => {
  const { make, store } = milan;
  const EMPTY = {
    q: "", by: "words", network: "", layer: "", state: "", sign: "", kind: "",
    confidence: "0", sort: "layer", up: "",
  };
  const GAP = 16, TALLEST = 12e6;
  let state = { ...EMPTY }, controls = null, list = null, cards = new Map();
  let found = { places: new Uint32Array(0), likeness: null, by: "" };
  let grid = null, current = 0, asked = 0, scheduled = false;

  milan.found = () => found.places;
  milan.listLink = (changes) => {
    const all = { ...EMPTY, ...changes };
    const words = new URLSearchParams(
      Object.entries(all).filter(([name, value]) => value && value !== EMPTY[name]),
    ).toString();
    return words ? `#/?${words}` : "#/";
  };
  const link = () => milan.listLink(state);

  const change = (changes) => {
    state = { ...state, ...changes };
    history.replaceState(null, "", link());
    search();
  };

  const build = () => {
    const view = document.getElementById("view-units");
    const { facts } = store;
    const input = make("input", {
      type: "search", id: "query", autocomplete: "off", spellcheck: "false",
      placeholder: "Search descriptions", "aria-label": "Search descriptions",
      "aria-describedby": "count", oninput: () => change({ q: input.value }),
    });
    const by = facts.vector_width
      ? milan.choice("Search by", "by", [["words", "words"], ["meaning", "meaning"]], state.by, (v) => change({ by: v }))
      : null;
    const several = facts.networks.length > 1;
    const network = several
      ? milan.choice("Network", "network", [["", "all"], ...facts.networks.map((n) => [n.key, n.title])], state.network,
          (v) => change({ network: v }))
      : null;
    const names = [...new Set(facts.layers.filter((l) => l.counts.units).map((l) => l.name))];
    const layer = milan.choice("Layer", "layer", [["", "all"], ...names.map((n) => [n, n])], state.layer,
      (v) => change({ layer: v }));
    const total = (name) => facts.layers.reduce((sum, l) => sum + l.counts[name], 0);
    const sorts = [["", "all"], ["described", "described"], ["withheld", "withheld"], ["dead", "dead"]]
      .filter(([id]) => !id || total(id) > 0);
    const which = milan.choice("Units", "state", sorts, state.state, (v) => change({ state: v }));
    const sign = total("off") > 0
      ? milan.choice("Sign", "sign", [["", "both"], ["on", "on"], ["off", "off"]], state.sign, (v) => change({ sign: v }))
      : null;
    const kinds = facts.kinds.filter((kind) => facts.layers.some((l) => l.kinds[kind]));
    const kind = milan.choice("Kind of word", "kind", [["", "all"], ...kinds.map((k) => [k, k])], state.kind,
      (v) => change({ kind: v }));
    const least = make("input", {
      type: "range", min: "0", max: "95", step: "5", name: "confidence", value: "0",
      oninput: () => change({ confidence: least.value }),
    });
    const leastText = make("output", { "aria-live": "off" }, "any"); // the slider says it
    const confidence = make("label.choice.least", {}, make("span", {}, "Confidence"), make("span.slider", {}, least, leastText));
    const sort = milan.choice("Sort by", "sort", [["layer", "layer order"]], "layer", (v) => change({ sort: v }));
    const up = make("button.up", {
      type: "button", "aria-pressed": "false", title: "Reverse the order",
      "aria-label": "Reverse the order", onclick: () => change({ up: state.up ? "" : "1" }),
    }, "↑↓");
    const reset = make("button.reset", { type: "button", onclick: () => { change({ ...EMPTY }); input.focus(); } }, "Clear");
    const count = make("output", { id: "count", "aria-live": "polite" });
    const filters = make("details.filters", {}, make("summary", {}, "Filters and order"),
      make("div.choices", {}, network, layer, which, sign, kind, confidence, sort, up, reset));
    filters.open = !matchMedia("(max-width: 44rem)").matches;
    const form = make("form.tools", { role: "search", onsubmit: (event) => event.preventDefault() },
      make("div.query", {}, input, by, count), filters);
    list = make("ul.cards", { role: "list", "aria-label": "Units that fit" });
    list.addEventListener("keydown", press);
    list.addEventListener("focusin", (event) => {
      const card = event.target.closest("li");
      if (card) current = Number(card.dataset.index);
    });
    view.append(form, list, make("p.nothing", { hidden: true }, "No unit fits. ",
      make("button", { type: "button", onclick: () => { change({ ...EMPTY }); input.focus(); } }, "Clear the search")));
    controls = { input, by, network, layer, which, sign, kind, least, leastText, confidence, sort, up, reset, count,
      nothing: view.lastChild };
    addEventListener("scroll", schedule, { passive: true });
    let width = 0;
    new ResizeObserver(() => {
      if (list.clientWidth === width) return; // only its height, which we set
      width = list.clientWidth;
      grid = null;
      schedule();
    }).observe(list);
  };

  const show = () => {
    const set = (choice, value) => { if (choice) choice.querySelector("select").value = value; };
    if (controls.input.value !== state.q) controls.input.value = state.q;
    set(controls.by, state.by);
    set(controls.network, state.network);
    set(controls.layer, state.layer);
    set(controls.which, state.state);
    set(controls.sign, state.sign);
    set(controls.kind, state.kind);
    set(controls.sort, state.sort);
    controls.least.value = state.confidence;
    controls.leastText.textContent = state.confidence === "0" ? "any" : `${state.confidence}% or more`;
    controls.least.setAttribute("aria-valuetext", controls.leastText.textContent);
    controls.up.setAttribute("aria-pressed", String(Boolean(state.up)));
    controls.reset.hidden = link() === "#/";
  };

  const search = async () => {
    const number = ++asked;
    show();
    const began = performance.now();
    const answer = await milan.search(state);
    if (number !== asked) return;
    const same = answer.places.length === found.places.length
      && answer.places.every((place, i) => place === found.places[i]);
    found = answer;
    milan.searchTime = performance.now() - began;
    const all = store.facts.units;
    const count = found.places.length;
    const note = { text: ", nearest in meaning first", words: ", nearest to the descriptions with these words first",
      none: ": no description has these words" }[found.by] ?? "";
    controls.count.textContent = store.loaded < all
      ? `loading ${milan.number(store.loaded)} of ${milan.plural(all, "unit")}`
      : (count === all ? milan.plural(all, "unit") : `${milan.number(count)} of ${milan.plural(all, "unit")}`) + note;
    controls.nothing.hidden = count > 0 || store.loaded < all;
    if (!same) {
      current = 0;
      for (const card of cards.values()) card.remove();
      cards = new Map();
      if (!same && scrollY > list.offsetTop) scrollTo(0, 0);
    }
    grid = null;
    draw();
  };

  const measure = () => {
    const { tile, gap, rows } = store.facts;
    const width = list.clientWidth;
    const least = 272;
    const columns = Math.max(1, Math.floor((width + GAP) / (least + GAP)));
    const card = (width - GAP * (columns - 1)) / columns;
    const sheet = 5 * (tile + gap) - gap;
    const picture = Math.round((card - 2) * (Math.max(rows, 1) * (tile + gap) - gap) / sheet);
    const step = picture + 124 + GAP;
    const lines = Math.ceil(found.places.length / columns);
    list.style.setProperty("--picture", `${picture}px`);
    const whole = Math.max(0, lines * step - GAP);
    const height = Math.min(whole, TALLEST);
    list.style.height = `${height}px`;
    return { columns, card, step, lines, whole, height };
  };

  const schedule = () => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => { scheduled = false; draw(); });
  };

  // How far the list is scrolled: of the screen, and of the whole list, which may be
  // taller than a browser can scroll.
  const scrolled = () => {
    const top = Math.max(0, -list.getBoundingClientRect().top);
    const most = grid.height - innerHeight;
    const factor = most > 0 && grid.whole > grid.height ? (grid.whole - innerHeight) / most : 1;
    return { top, virtual: Math.min(top * factor, Math.max(0, grid.whole - 1)), factor };
  };

  const draw = () => {
    if (!list || list.closest("[hidden]")) return;
    grid ??= measure();
    const { top, virtual } = scrolled();
    const first = Math.max(0, Math.floor(virtual / grid.step) - 1) * grid.columns;
    const last = Math.min(found.places.length, (Math.ceil((virtual + innerHeight) / grid.step) + 1) * grid.columns);
    const focused = document.activeElement?.closest?.("li");
    for (const [at, card] of cards) {
      if ((at < first || at >= last) && card !== focused) { card.remove(); cards.delete(at); }
    }
    for (let at = first; at < last; at++) {
      if (!cards.has(at)) {
        cards.set(at, cardOf(at));
        // In reading order, also for those who do not see where it is.
        const after = cards.get(at + 1);
        list.insertBefore(cards.get(at), after ?? null);
      }
    }
    for (const [at, card] of cards) {
      const line = Math.floor(at / grid.columns), column = at % grid.columns;
      const y = line * grid.step - virtual + top, x = column * (grid.card + GAP);
      card.style.transform = `translate(${x}px, ${y}px)`;
      card.style.width = `${grid.card}px`;
      card.firstChild.tabIndex = at === Math.min(current, found.places.length - 1) ? 0 : -1;
    }
    if (!cards.has(current) && cards.size) {
      const [at] = [...cards.keys()].sort((a, b) => a - b);
      cards.get(at).firstChild.tabIndex = 0;
    }
  };

  const cardOf = (at) => {
    const place = found.places[at];
    const facts = milan.firing(place);
    const sort = state.sort.startsWith("score-") ? Number(state.sort.slice(6)) : -1;
    const shown = sort >= 0 ? `${store.facts.scores[sort]} ${milan.decimal(store.scores[sort][place])}`
      : state.sort === "maximum" ? `maximum ${milan.decimal(store.maximum[place])}` : "";
    const like = found.likeness ? `meaning ${milan.percent(Math.max(0, found.likeness[store.text[place]]))}` : "";
    const notes = [like, shown, facts].filter(Boolean).join(" · ");
    return make("li", { "data-index": at, "aria-setsize": found.places.length, "aria-posinset": at + 1 },
      make("a.card", { href: milan.linkOf(place), tabindex: "-1" },
        milan.strip(place),
        make("span.text", {},
          make("span.where", {}, milan.nameOf(place)),
          milan.said(place, "span"),
          make("span.facts-line", {}, milan.confidence(place), notes ? make("span", {}, notes) : null))));
  };

  const press = (event) => {
    grid ??= measure();
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: grid.columns, ArrowUp: -grid.columns };
    const last = found.places.length - 1;
    let to = null;
    if (event.key in steps) to = current + steps[event.key];
    else if (event.key === "Home") to = 0;
    else if (event.key === "End") to = last;
    else if (event.key === "PageDown") to = Math.min(last, current + 3 * grid.columns);
    else if (event.key === "PageUp") to = Math.max(0, current - 3 * grid.columns);
    if (to === null || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (to < 0) { controls.input.focus(); return; }
    if (to <= last) focus(to);
  };

  const focus = (at) => {
    current = at;
    grid ??= measure();
    const { virtual, factor } = scrolled();
    const y = Math.floor(at / grid.columns) * grid.step;
    const bar = document.querySelector(".tools").offsetHeight + 12;
    const low = y - bar, high = y + grid.step - innerHeight;
    const wanted = virtual > low ? low : virtual < high ? high : virtual;
    const start = list.getBoundingClientRect().top + scrollY;
    if (wanted !== virtual) scrollTo(0, Math.max(0, start + wanted / factor));
    draw();
    cards.get(at)?.firstChild.focus({ preventScroll: true });
  };

  milan.list = {
    open: (query) => {
      if (!controls) build();
      state = { ...EMPTY, ...Object.fromEntries(new URLSearchParams(query)) };
      return search();
    },
    grown: async () => {
      if (!controls) return;
      const options = milan.sorts().map(({ id, name }) => make("option", { value: id }, name));
      controls.sort.querySelector("select").replaceChildren(...options);
      controls.confidence.hidden = !store.confidence.some((value) => !Number.isNaN(value));
      await search();
    },
    loading: () => {
      // What is seen first need not wait for the rest.
      if (controls && (store.loaded === store.facts.units || !found.places.length)) search();
      else if (controls) {
        controls.count.textContent = `loading ${milan.number(store.loaded)} of ${milan.plural(store.facts.units, "unit")}`;
      }
    },
    draw,
    focusQuery: () => { controls?.input.focus(); controls?.input.select(); },
    focusCurrent: () => { if (found.places.length) focus(Math.min(current, found.places.length - 1)); },
    clear: () => { if (state.q) change({ q: "" }); },
    link,
    show: (place) => {
      const at = found.places.indexOf(place);
      if (at >= 0) current = at;
    },
  };
})();
