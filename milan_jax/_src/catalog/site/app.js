"use strict";
// Shows the view that the address names, and answers the keys.
(() => {
  const { store } = milan;
  const views = ["units", "unit", "layers", "compare", "about"];
  const title = document.title;
  let view = "";

  const show = (name) => {
    for (const each of views) document.getElementById(`view-${each}`).hidden = each !== name;
    for (const link of document.querySelectorAll(".views a")) {
      const on = link.dataset.view === (name === "unit" ? "units" : name);
      if (on) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
    }
    view = name;
  };

  let kept = 0; // how far the list was scrolled
  let searching = false; // the search gets the focus when the list is shown
  // By the address: its view may not be shown yet.
  const onList = () => !views.slice(1).includes(location.hash.split(/[/?]/)[1]);
  const route = async () => {
    const [path, query = ""] = location.hash.replace(/^#/, "").split("?", 2);
    const [, name = "", ...parts] = path.split("/");
    const from = view;
    if (from === "units") kept = scrollY;
    if (name === "unit" && parts.length === 3) {
      if (!milan.list.ready) { await milan.list.open(""); milan.list.ready = true; }
      show("unit");
      await milan.unit.open(...parts.map(safely));
      return;
    }
    document.title = title;
    if (["layers", "compare", "about"].includes(name)) {
      show(name);
      document.title = `${document.getElementById(`${name}-title`).textContent} · ${title}`;
      if (from !== name) {
        scrollTo(0, 0);
        // Those who do not see the page hear where they are; Tab goes on from here.
        if (from) document.getElementById(`${name}-title`).focus({ preventScroll: true });
      }
      if (name !== "about") await milan[name].open(query);
      return;
    }
    show("units");
    milan.list.ready = true;
    await milan.list.open(query);
    if (searching) {
      searching = false;
      milan.list.focusQuery();
    } else if (from === "unit") {
      scrollTo(0, kept);
      milan.list.draw();
      milan.list.focusCurrent();
    }
  };
  const safely = (part) => {
    try { return decodeURIComponent(part); } catch { return part; }
  };

  const THEMES = ["system", "light", "dark"];
  const remembered = () => { try { return localStorage.getItem("milan-theme"); } catch { return null; } };
  const useTheme = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    const button = document.getElementById("theme-button");
    button.setAttribute("aria-label", `Theme: ${theme}`);
    button.textContent = { system: "◐", light: "☀", dark: "☾" }[theme];
    button.title = `Theme: ${theme}`;
    try { localStorage.setItem("milan-theme", theme); } catch { /* not kept */ }
    milan.repaint?.();
  };
  const nextTheme = () => {
    const now = document.documentElement.dataset.theme ?? "system";
    useTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
  };

  const keys = document.getElementById("keys");
  const onUnit = (act) => () => { if (view === "unit") act(); };
  const KEYS = {
    "/": () => {
      if (onList() && view === "units") milan.list.focusQuery();
      else { searching = true; location.hash = milan.list.link(); }
    },
    "?": () => keys.showModal(),
    t: nextTheme,
    u: () => { location.hash = milan.list.link(); },
    l: () => { location.hash = "#/layers"; },
    c: () => { location.hash = "#/compare"; },
    a: () => { location.hash = "#/about"; },
    j: onUnit(() => milan.unit.step(1)),
    k: onUnit(() => milan.unit.step(-1)),
    r: onUnit(() => milan.unit.mode("regions")),
    i: onUnit(() => milan.unit.mode("images")),
    h: onUnit(() => milan.unit.mode("heat")),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
    const typing = event.target.matches("input[type=search], select, textarea");
    if (event.key === "Escape") {
      if (!onList()) location.hash = milan.list.link();
      else if (typing) { milan.list.clear(); }
      return;
    }
    if (typing) {
      if (event.key === "ArrowDown" && event.target.id === "query") { event.preventDefault(); milan.list.focusCurrent(); }
      return;
    }
    if (event.key in KEYS) {
      event.preventDefault();
      KEYS[event.key]();
    }
  });
  // Its address would be read as that of a view.
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  });
  document.getElementById("keys-button").addEventListener("click", () => keys.showModal());
  document.getElementById("keys-close").addEventListener("click", () => keys.close());
  document.getElementById("theme-button").addEventListener("click", nextTheme);
  useTheme(THEMES.includes(remembered()) ? remembered() : "system");

  milan.everything = (async () => {
    await milan.allUnits(() => milan.list.loading());
    await milan.list.grown();
  })();
  milan.everything.catch((error) => {
    document.getElementById("main").prepend(milan.make("p.warning", { role: "alert" }, `The catalog is not whole: ${error.message}.`));
  });
  addEventListener("hashchange", route);
  route();
})();
