/* A slide in a frame: picture, outline of its tissue, regions in colours; zoomed and moved by buttons, keys, pointer. */
report.slideView = (function () {
  "use strict";
  const { element } = report;
  const MOST = 40, MOST_NUMBERED = 800;
  const SHARES = report.data.shares;

  /** Colour of a share from 0 to 1. */
  function shareColour(share) {
    return SHARES[Math.max(0, Math.min(SHARES.length - 1, Math.floor(share * SHARES.length)))];
  }

  function classColour(value) {
    const colours = report.data.colours;
    return value === null || value === undefined || value < 0 ? report.data.none : colours[value % colours.length];
  }

  /** A class of a layer in words: by its name in the whole cohort, or by its number. */
  function className(layer, value) {
    return layer.names ? layer.names[value] : `prototype ${value}`;
  }

  /** Black or white, whichever stands out on a colour (WCAG 2 relative luminance). */
  function ink(colour) {
    const light = [1, 3, 5].map((from) => parseInt(colour.slice(from, from + 2), 16) / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : Math.pow((part + 0.055) / 1.055, 2.4));
    return Math.pow(0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2] + 0.05, 2) > 0.0525 ? "#000" : "#fff";
  }

  const at = (values, index) => typeof values === "number" ? values : values[index];

  /** The view of a slide in `holder`; `shown` says which layer is drawn and how, `recolour` maps its classes to others. */
  function slideView(holder, id, page, title) {
    const [left, top, width, height] = page.view;
    let box = [left, top, width, height], shown = {};
    const image = page.picture && element("svg:image", {
      href: page.picture, width: page.size[0], height: page.size[1], preserveAspectRatio: "none" });
    const tissue = element("svg:path", { d: page.tissue, class: "outline", "vector-effect": "non-scaling-stroke" });
    const regions = element("svg:g", {});
    const svg = element("svg:svg", { role: "img", "aria-label": title, preserveAspectRatio: "xMidYMid meet" },
      image, regions, tissue);
    const where = element("span", { class: "note" }), absent = element("p", { class: "note absent", hidden: true });
    const frame = element("div", { class: "frame", tabindex: 0, role: "group", "aria-label": `${title}, zoom and move` }, svg);
    const button = (text, name, act) => element("button", { type: "button", "aria-label": name, title: name, onclick: act }, text);
    holder.replaceChildren(frame,
      element("div", { class: "controls" }, button("+", "Zoom in", () => zoom(0.6)), button("−", "Zoom out", () => zoom(1 / 0.6)),
        button("Whole slide", "Whole slide", whole), where,
        element("span", { class: "take" }, element("button", { type: "button", class: "svg", onclick: () => report.saveSvg(svg, `${id}-map`) }, "SVG"))),
      element("figcaption", {}, title), absent);

    if (report.data.large && image) {  // a larger picture, where its folder lies beside the report
      const larger = new Image(), address = report.data.large + encodeURIComponent(id) + ".jpg";
      image.dataset.small = page.picture;
      larger.onload = () => image.setAttribute("href", address);
      larger.src = address;
    }

    function place() {
      svg.setAttribute("viewBox", box.map((value) => Math.round(value * 100) / 100).join(" "));
      const row = report.rows[report.rowOf.get(id)], x = row[report.place.mpp_x], y = row[report.place.mpp_y] || x;
      where.textContent = x ? `${(box[2] * x / 1000).toFixed(1)} × ${(box[3] * y / 1000).toFixed(1)} mm` : "";
    }
    function whole() { box = [left, top, width, height]; place(); }
    function zoom(factor, x = box[0] + box[2] / 2, y = box[1] + box[3] / 2) {
      const to = Math.min(1, Math.max(1 / MOST, box[2] * factor / width)) * width / box[2];
      box = [x - (x - box[0]) * to, y - (y - box[1]) * to, box[2] * to, box[3] * to];
      move(0, 0);
    }
    function move(x, y) {
      box[0] = Math.min(left + width - box[2], Math.max(left, box[0] + x));
      box[1] = Math.min(top + height - box[3], Math.max(top, box[1] + y));
      place();
    }
    function point(event) {
      const spot = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      return [spot.x, spot.y];
    }
    frame.addEventListener("keydown", (event) => {
      const step = 0.15, act = {
        "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), "0": whole,
        ArrowLeft: () => move(-step * box[2], 0), ArrowRight: () => move(step * box[2], 0),
        ArrowUp: () => move(0, -step * box[3]), ArrowDown: () => move(0, step * box[3]),
      }[event.key];
      if (act && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); act(); }
    });
    frame.addEventListener("wheel", (event) => {
      if (document.activeElement !== frame) { return; }  // else it scrolls the page
      event.preventDefault();
      zoom(event.deltaY < 0 ? 0.8 : 1.25, ...point(event));
    }, { passive: false });
    let from = null;
    frame.addEventListener("pointerdown", (event) => { from = point(event); frame.setPointerCapture(event.pointerId); });
    frame.addEventListener("pointermove", (event) => {
      if (from) { const to = point(event); move(from[0] - to[0], from[1] - to[1]); }
    });
    frame.addEventListener("pointerup", () => { from = null; });

    /** Draws the regions by a layer: `{layer, opacity, outline, grey, recolour}`. */
    function show(next) {
      shown = { ...shown, ...next };
      const layer = report.data.layers.find((one) => one.key === shown.layer);
      const values = layer && page.layers && page.layers[layer.key], times = layer && page.times && page.times[layer.key];
      absent.hidden = !(layer && layer.absent && page.layers && !values);
      absent.textContent = absent.hidden ? "" : `${layer.title}: ${layer.absent}.`;
      const recolour = layer && !layer.shared && shown.recolour || ((value) => value);
      const [low, high] = layer && layer.ends || [0, 1];
      if ("layer" in next || "recolour" in next) {
        regions.replaceChildren(...(values ? values : []).map((value, index) => {
          const classes = layer.kind === "classes", drawn = layer.kind === "picture";
          const own = classes ? classColour(value === null ? null : recolour(value)) : shareColour((value - low) / (high - low || 1));
          const text = value === null ? (classes ? "in no class" : "not known") : classes ? className(layer, value)
            : drawn ? `up to ${value.toFixed(2)} times an even share`
            : times ? `${value.toFixed(2)}, ${times[index].toFixed(2)} times an even share` : value.toFixed(3);
          const rect = element("svg:rect", {
            x: page.x[index], y: page.y[index], width: at(page.w, index), height: at(page.h, index),
            fill: drawn ? "#fff0" : value === null ? report.data.none : own, stroke: "#fff", "stroke-width": 0.5, "vector-effect": "non-scaling-stroke" });
          const similarity = page.layers.similarity && page.layers.similarity[index];
          const more = classes && similarity != null ? `, cosine ${similarity.toFixed(3)}` : "";
          rect.append(element("svg:title", {}, `${layer.title}: ${text}${more}; at ${page.x[index]}, ${page.y[index]} px`));
          const size = Math.min(at(page.w, index), at(page.h, index)) * 0.4;
          const numbered = classes && value !== null && value >= 0 && values.length <= MOST_NUMBERED;
          return element("svg:g", {}, rect, numbered ? element("svg:text", {
            x: page.x[index] + at(page.w, index) / 2, y: page.y[index] + at(page.h, index) / 2, dy: ".35em", "font-size": size,
            "text-anchor": "middle", "font-weight": 700, fill: ink(own) }, String(value)) : null);
        }));
      }
      const laid = layer && layer.kind === "picture" && page[layer.key];
      if (laid && ("layer" in next)) {
        const [x, y, wide, high] = laid.box;
        regions.prepend(element("svg:image", { href: laid.picture, x, y, width: wide, height: high,
          preserveAspectRatio: "none", "image-rendering": "pixelated" }));
      }
      regions.querySelectorAll("image").forEach((one) => one.setAttribute("opacity", shown.opacity));
      regions.setAttribute("fill-opacity", shown.opacity);
      regions.setAttribute("stroke-opacity", shown.opacity);
      regions.style.setProperty("--ink-opacity", Math.min(1, 2 * shown.opacity));
      tissue.style.display = shown.outline ? "" : "none";
      if (image) { image.style.filter = shown.grey && values ? "grayscale(1)" : ""; }
    }
    whole();
    return { show, svg };
  }
  return Object.assign(slideView, { shareColour, classColour, className });
})();
