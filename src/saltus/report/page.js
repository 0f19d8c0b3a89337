"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);
  root.classList.add("js");

  // Filters: verdict chips, words, axis and family act on the table, the grids and the cards.
  const chosen = new Set();
  const tools = byId("tools");
  const value = (name) => (tools && tools.elements[name] ? tools.elements[name].value : "");
  const rows = all("[data-q]");
  const fits = (row, words) =>
    (!chosen.size || row.dataset.v.split(" ").some((name) => chosen.has(name))) &&
    (!value("axis") || row.dataset.a.split(" ").includes(value("axis"))) &&
    (!value("group") || row.dataset.g === value("group")) &&
    words.every((word) => row.dataset.q.includes(word));

  function filter() {
    const words = value("words").toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row) => { row.hidden = !fits(row, words); });
    all(".group, .grid").forEach((box) => { box.hidden = !box.querySelector("[data-q]:not([hidden])"); });
    const table = all("#overview tbody tr");
    const shown = table.filter((row) => !row.hidden).length;
    byId("shown").textContent = shown === table.length ? "" : `${shown} of ${table.length} series shown`;
  }

  if (tools) {
    tools.addEventListener("input", filter);
    tools.addEventListener("submit", (event) => event.preventDefault());
    all("button.chip").forEach((chip) => chip.addEventListener("click", () => {
      const name = chip.dataset.name;
      chosen.has(name) ? chosen.delete(name) : chosen.add(name);
      chip.setAttribute("aria-pressed", chosen.has(name));
      filter();
    }));
  }

  // Sorting: by number where a cell starts with one, else by its text; empty cells last.
  const key = (cell) => {
    const text = cell.textContent.trim();
    const number = parseFloat(text.replace(/^[<≤]\s*/, "").replace(/,/g, ""));
    return Number.isNaN(number) ? text.toLowerCase() : number - (text.startsWith("<") ? 1e-9 : 0);
  };
  const compare = (a, b) => {
    if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
    return typeof a === "number" ? -1 : 1;
  };
  all("table.sortable th").forEach((head) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      all("th[aria-sort]", head.parentNode).forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = head.closest("table").tBodies[0];
      const place = head.cellIndex;
      const keyed = [...body.rows].map((row) => [key(row.cells[place]), row]);
      keyed.sort((a, b) => (down ? compare(b[0], a[0]) : compare(a[0], b[0])));
      body.append(...keyed.map((pair) => pair[1]));
    });
  });

  // Charts: one template for each axis, filled with a card's data when it comes into view.
  const store = byId("charts");
  if (!store) return;
  const data = JSON.parse(store.textContent);
  const colors = () => {
    const style = getComputedStyle(root);
    const names = ["ink", "soft", "line", "zone", "smooth", "sharp", "paper"];
    return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  };

  function spread(first, last, count, axis) {
    const share = (place) => place / (count - 1);
    return [...Array(count).keys()].map((place) => (axis === "loss"
      ? first + (last - first) * share(place)
      : first * (last / first) ** share(place)));
  }

  function records(columns, axis) {
    const whole = { ...columns };
    const count = Object.values(whole).find(Array.isArray).length;
    if ("x0" in whole) whole.x = spread(whole.x0, whole.x1, count, axis);
    const names = Object.keys(whole);
    const at = (name, place) => (Array.isArray(whole[name]) ? whole[name][place] : whole[name]);
    return [...Array(count).keys()].map((place) => {
      const row = Object.fromEntries(names.map((name) => [name, at(name, place)]));
      if ("m" in row) {
        const model = data.models[row.m];
        Object.assign(row, { m: model.model, x: model[axis] });
      }
      return row;
    });
  }

  function averages(points) {
    const places = new Map();
    points.forEach((point) => places.set(point.x, [...(places.get(point.x) || []), point.y]));
    return [...places].sort((a, b) => a[0] - b[0])
      .map(([x, ys]) => ({ x, y: ys.reduce((sum, y) => sum + y) / ys.length }));
  }

  function makeLogarithmic(y, values) {
    delete y.scale.zero;
    Object.assign(y.scale, { type: "log", nice: false, padding: 6 });
    y.axis = { values, format: "~g" };
  }

  function wrapped(lines, width) {
    const most = Math.floor(width / 5.6); // letters of 11 px beside each other
    return lines.flatMap((line) => line.replaceAll(" ·", "\u00a0·").split(" ").reduce((rows, word) => {
      const last = rows[rows.length - 1];
      if (last && last.length + word.length < most) rows[rows.length - 1] = `${last} ${word}`;
      else rows.push(word);
      return rows;
    }, []));
  }

  function fill(chart, shared, width, log) {
    const spec = JSON.parse(JSON.stringify(data.templates[shared.template]));
    const settings = { ...shared.settings, ...colors() };
    for (const [name, columns] of Object.entries(chart.data)) spec.datasets[name] = records(columns, shared.axis);
    spec.datasets.means = averages(spec.datasets.points);
    spec.datasets.partner_means = averages(spec.datasets.partner);
    if (log) {
      settings.y_floor = settings.y_log;
      [...spec.datasets.zone, ...spec.datasets.band].forEach((row) => {
        row.l = Math.max(row.l, settings.y_log);
        row.h = Math.max(row.h, settings.y_log);
      });
      makeLogarithmic(spec.vconcat[0].encoding.y, settings.y_ticks);
      spec.vconcat[0].encoding.y.scale.domainMin = settings.y_log;
    }
    for (const entry of spec.params) if (entry.name in settings) entry.value = settings[entry.name];
    spec.vconcat.forEach((panel, place) => {
      panel.width = width;
      panel.title.text = shared.panels[place][0];
      panel.title.subtitle = wrapped(shared.panels[place][1], width + 50);
      panel.encoding.y.scale.reverse = shared.reverse[place];
      if (shared.log[place]) makeLogarithmic(panel.encoding.y, shared.log[place]);
    });
    return spec;
  }

  const tip = byId("tip");
  function tooltip(handler, event, item, shown) {
    if (!shown) { tip.style.display = "none"; return; }
    tip.textContent = Object.entries(shown)
      .filter((pair) => !["null", "NaN", "undefined", ""].includes(String(pair[1])))
      .map((pair) => (pair[0] === "model" ? pair[1] : `${pair[0]} ${pair[1]}`)).join("\n");
    tip.style.display = "block";
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
  }

  function draw(plot) {
    const chart = data.cards[+plot.dataset.card][+plot.dataset.view];
    const shared = chart && data.pool[chart.s];
    const again = plot.nextElementSibling.querySelector(".log");
    if (plot.view) plot.view.finalize();
    plot.textContent = "";
    plot.classList.add("drawn");
    again.hidden = !(chart && shared.loggable);
    if (!chart) { plot.textContent = "No estimate with a value on this axis."; return; }
    const width = Math.max(180, Math.min(plot.clientWidth, 560) - 62);
    const spec = fill(chart, shared, width, plot.dataset.log === "1" && shared.loggable);
    const options = { actions: false, defaultStyle: false, renderer: "svg", logLevel: 1, tooltip };
    vegaEmbed(plot, spec, options).then((result) => { plot.view = result; });
  }

  const watch = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    watch.unobserve(entry.target);
    draw(entry.target);
  }), { rootMargin: "300px" });
  const plots = all(".plot");
  const near = (box) => box.height > 0 && box.top < innerHeight + 300 && box.bottom > -300;
  plots.forEach((plot) => (near(plot.getBoundingClientRect()) ? draw(plot) : watch.observe(plot)));

  const redraw = () => plots.filter((plot) => plot.classList.contains("drawn")).forEach(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let wait;
  let wide = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === wide) return;
    wide = innerWidth;
    clearTimeout(wait);
    wait = setTimeout(redraw, 200);
  });
  addEventListener("beforeprint", () => plots.filter((plot) => plot.offsetParent && !plot.view).forEach(draw));

  function select(card, view) {
    all("[data-i]", card).forEach((part) => part.classList.toggle("on", part.dataset.i === view));
    all(".tabs button", card).forEach((tab) => tab.setAttribute("aria-selected", tab.dataset.i === view));
    card.querySelector(".evidence").dataset.view = view;
    const plot = card.querySelector(".plot");
    plot.dataset.view = view;
    if (plot.classList.contains("drawn")) draw(plot);
  }
  all(".tabs button").forEach((tab) => tab.addEventListener("click", () => select(tab.closest(".card"), tab.dataset.i)));
  all(".log").forEach((button) => button.addEventListener("click", () => {
    const plot = button.closest("figure").querySelector(".plot");
    plot.dataset.log = plot.dataset.log === "1" ? "0" : "1";
    button.textContent = plot.dataset.log === "1" ? "linear rate axis" : "logarithmic rate axis";
    draw(plot);
  }));

  // A link to a card opens it, on the axis that the link names.
  function follow(hash, view) {
    const card = hash.length > 1 && byId(hash.slice(1));
    if (!card || !card.classList.contains("card")) return;
    card.open = true;
    card.hidden = false;
    if (view) select(card, view);
    card.scrollIntoView();
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#c']");
    if (!link || !byId(link.hash.slice(1)).classList.contains("card")) return;
    event.preventDefault();
    history.replaceState(null, "", link.hash);
    follow(link.hash, link.dataset.view);
  });
  all(".every").forEach((button) => button.addEventListener("click", () => {
    const open = button.dataset.open === "1";
    all(".card:not([hidden])").forEach((card) => { card.open = open; });
  }));
  follow(location.hash);
})();
