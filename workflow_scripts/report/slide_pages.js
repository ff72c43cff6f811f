/* All slides as small pictures, and the page of each. */
(function () {
  "use strict";
  const { element, number, rows, columns, place } = report;
  const SHOWN = 60;
  const gallery = document.getElementById("gallery"), article = document.getElementById("slide-page");
  const search = document.getElementById("gallery-filter");
  const get = (id) => document.getElementById(id);
  const state = { page: 0, slide: null };
  const settings = { layer: "prototype", opacity: 0.55, outline: false, grey: true };
  const grouping = report.data.layers.find((layer) => layer.key === "group");
  let views = [];

  function caption(row) {
    if (row[place.status] !== "used") { return `${row[0]}, excluded: ${row[place.reason] || "no reason recorded"}`; }
    return `${row[0]}, ${number(row[place.tissue_mm2], 1)} mm², ${number(row[place.n_regions], 0)} regions`;
  }

  function small(index) {
    const row = rows[index], page = report.page(row[0]), text = caption(row);
    const picture = page && page.picture
      ? element("img", { src: page.picture, alt: "Slide " + text, loading: "lazy", decoding: "async" })
      : element("span", { class: "none" }, page ? "no picture" : "no page");
    return element("figure", { class: row[place.status] === "used" ? "ok" : "excluded" },
      element("a", { href: report.address(row[0]) }, picture, element("span", { class: "caption" }, text)));
  }

  function drawGallery() {
    const found = rows.map((row, index) => index).filter((index) => report.matches(report.texts[index], search.value));
    const first = state.page * SHOWN;
    get("gallery-slides").replaceChildren(...found.slice(first, first + SHOWN).map(small));
    get("gallery-count").textContent = `${found.length} of ${rows.length} slides`;
    report.pager(get("gallery-pager"), state.page, Math.ceil(found.length / SHOWN), (page) => {
      state.page = page;
      drawGallery();
      window.scrollTo(0, 0);
    });
  }

  function facts(row) {
    get("slide-facts").replaceChildren(...columns.flatMap((column, index) => {
      const value = row[index];
      if (column.kind === "id" || value === null || value === "") { return []; }
      const text = column.kind === "num" ? number(value, column.digits) : String(value);
      return [element("dt", {}, column.title), element("dd", {}, text)];
    }));
  }

  /** Regions of each prototype, with those of its match in the nearest slide. */
  function prototypes(page, near) {
    const own = page.layers && page.layers.prototype, groups = page.layers && page.layers.group, holder = get("slide-prototypes");
    if (!own) {
      holder.replaceChildren(element("p", { class: "note" }, page.no_room
        ? "This file has no room for the regions of the slides with the most, of which this is one; the tables have them."
        : report.data.run ? "This slide has no prototypes: it is not pretrained on, or has too few regions." : "No run uses prototypes."));
      return;
    }
    const count = (values, one) => values.filter((value) => value === one).length;
    const matching = page.neighbour ? page.neighbour.matching : [];
    const numbers = [...new Set([...own.filter((value) => value !== null && value >= 0), ...matching.keys()])].sort((a, b) => a - b);
    const chip = (value) => element("i", { class: "swatch", style: `background: ${report.slideView.classColour(value)}` });
    const lines = numbers.map((value) => {
      const match = matching[value], theirs = near && near.layers && near.layers.prototype;
      const known = match !== undefined && match >= 0, group = groups ? groups[own.indexOf(value)] : undefined;
      return element("tr", {}, element("th", { scope: "row" }, chip(value), String(value)),
        element("td", { class: "num" }, String(count(own, value))),
        ...(groups ? [element("td", {}, ...(group === undefined || group === null ? ["–"] : [chip(group),
          element("a", { href: `#group-${group}` }, grouping.names[group])]))] : []),
        element("td", { class: "num" }, known ? String(match) : "–"),
        element("td", { class: "num" }, known && theirs ? String(count(theirs, match)) : "–"));
    });
    const heads = ["Prototype", "Regions", ...(groups ? ["Group"] : []), "Matched in the nearest slide", "Regions there"];
    holder.replaceChildren(element("div", { class: "scroll fit" }, element("table", { "data-name": `${state.slide}-prototypes` },
      element("thead", {}, element("tr", {}, heads.map((name, index) => element("th", { scope: "col", class: index && name !== "Group" ? "num" : "" }, name)))),
      element("tbody", {}, lines))));
    report.offerTables(holder);
  }

  function neighbour(page) {
    const holder = get("viewer-near"), near = page.neighbour;
    if (!near) {
      holder.replaceChildren(element("p", { class: "note" }, "No nearest slide is known."));
      return null;
    }
    const other = report.page(near.id), words = `Nearest slide ${near.id}` +
      (near.mean === null ? "" : `, mean cosine of the matched prototypes ${number(near.mean, 3)}`);
    if (!other || !other.known) {
      holder.replaceChildren(element("p", { class: "note" }, `${words}; it has no page here.`));
      return null;
    }
    const view = report.slideView(holder, near.id, other, words);
    const own = new Map(near.matching.map((theirs, mine) => [theirs, mine]));
    views.push([view, { recolour: (value) => own.has(value) ? own.get(value) : -1 }]);
    holder.querySelector("figcaption").append(". Shown by its own prototypes, it has the colours of those that they are matched to. ",
      element("a", { href: report.address(near.id) }, "Open its page"));
    return other;
  }

  function open(id) {
    const index = report.rowOf.get(id), page = report.page(id), row = rows[index];
    state.slide = id;
    views = [];
    get("slide-name").textContent = id;
    const problem = get("slide-problem"), excluded = row && row[place.status] !== "used";
    problem.hidden = Boolean(row && page && !excluded);
    problem.textContent = !row ? "There is no such slide in this report." : excluded
      ? `Excluded, ${row[place.reason]}: ${row[place.detail] || ""}` : "This slide has no page: of very many only some have one.";
    [get("viewer-own"), get("viewer-near"), get("slide-prototypes"), get("slide-facts")].forEach((one) => one.replaceChildren());
    get("slide-place").textContent = row ? `slide ${index + 1} of ${rows.length}` : "";
    get("slide-known").hidden = !row;
    if (row) { facts(row); }
    const drawn = Boolean(page && (page.known || page.picture));
    ["layer-controls", "layer-legend", "slide-regions", "zoom-help"].forEach((name) => { get(name).hidden = !page || !page.layers; });
    get("zoom-help").hidden = !page || !page.known;
    if (!drawn) { return; }
    // A slide of unknown size is shown as its picture alone.
    const words = excluded ? `Slide ${id}` : caption(row);
    if (page.known) { views.push([report.slideView(get("viewer-own"), id, page, words), {}]); }
    else { get("viewer-own").replaceChildren(element("img", { src: page.picture, alt: words })); }
    const near = excluded ? null : neighbour(page);
    if (!excluded) { prototypes(page, near); }
    // A layer that this slide has not cannot be chosen, and says so.
    Array.from(get("layer").options).forEach((one) => {
      const layer = report.data.layers.find((known) => known.key === one.value);
      one.disabled = Boolean(one.value) && !(page.layers && page.layers[one.value]);
      one.textContent = !layer ? "not shown" : one.disabled ? `${layer.title}: not known of this slide` : layer.title;
      if (one.disabled && one.value === settings.layer) { settings.layer = "prototype"; }
    });
    get("layer").value = settings.layer;
    views.forEach(([view, more]) => view.show({ ...settings, ...more }));
    legend();
  }

  /** What the colours of the layer mean on the page that is open. */
  function legend() {
    const layer = report.data.layers.find((one) => one.key === settings.layer), holder = get("layer-legend");
    const page = report.page(state.slide), values = layer && page && page.layers && page.layers[layer.key];
    const chip = (colour) => element("i", { class: "swatch", style: `background: ${colour}` });
    if (!values) { holder.replaceChildren(); return; }
    if (layer.kind === "classes") {
      const counts = new Map();
      values.forEach((value) => { if (value !== null && value >= 0) { counts.set(value, (counts.get(value) || 0) + 1); } });
      holder.replaceChildren(...[...counts.keys()].sort((a, b) => a - b).map((value) => element("span", {},
        chip(report.slideView.classColour(value)), `${report.slideView.className(layer, value)} (${counts.get(value)})`)));
      return;
    }
    const drawn = layer.kind === "picture", laid = drawn ? page[layer.key] : null;
    const ends = drawn ? [`${number(laid.low, 2)} or less`, `${number(laid.top, 2)} or more`]
      : layer.ends ? [`${number(layer.ends[0], 3)} or less`, number(layer.ends[1], 3)] : ["0", "1"];
    holder.replaceChildren(element("span", { class: "ramp" }, ends[0], ...report.data.shares.map(chip), ends[1]), ...(drawn ? [
      element("span", {}, "times an even share of its region's patches, mean over the heads; a hint, not a patch's weight in the embedding")]
      : layer.note ? [element("span", {}, layer.note)] : []));
  }

  function change(next) {
    Object.assign(settings, next);
    if ("layer" in next) { legend(); }
    views.forEach(([view]) => view.show(next));
  }

  /** The slide before or after in the order of the table as it is filtered and sorted. */
  function step(by) {
    const order = report.foundSlides(), from = order.indexOf(report.rowOf.get(state.slide));
    const to = order[(from + by + order.length) % order.length];
    if (to !== undefined) { location.hash = report.address(rows[to][0]); }
  }

  report.data.layers.forEach((layer) => get("layer").append(element("option", { value: layer.key }, layer.title)));
  get("layer").append(element("option", { value: "" }, "not shown"));
  get("layer").addEventListener("change", (event) => change({ layer: event.target.value }));
  get("opacity").addEventListener("input", (event) => change({ opacity: event.target.value / 100 }));
  get("tissue").addEventListener("change", (event) => change({ outline: event.target.checked }));
  get("grey").addEventListener("change", (event) => change({ grey: event.target.checked }));
  get("slide-before").addEventListener("click", () => step(-1));
  get("slide-after").addEventListener("click", () => step(1));
  search.addEventListener("input", () => { state.page = 0; drawGallery(); });
  let drawnOnce = false;
  report.shown.push((tab, slide) => {
    if (tab.id !== "slides") { return; }
    gallery.hidden = slide !== null;
    article.hidden = slide === null;
    if (slide !== null) { open(slide); get("slide-name").focus({ preventScroll: true }); }
    else if (!drawnOnce) { drawnOnce = true; drawGallery(); }
  });
  window.addEventListener("beforeprint", () => {
    if (!drawnOnce) { drawnOnce = true; drawGallery(); }
    document.body.classList.toggle("one-slide", document.getElementById("slides").hidden === false && !article.hidden);
  });
  window.addEventListener("afterprint", () => document.body.classList.remove("one-slide"));
})();
