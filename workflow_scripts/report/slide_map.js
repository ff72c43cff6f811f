/* The map of slides: a mark a slide, coloured by a column of the table. */
(function () {
  "use strict";
  const { element, rows, columns } = report;
  const view = document.getElementById("map-view");
  if (!view) { return; }
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#882255"];
  const SHAPES = 4, MARGIN = 42, NONE = "#B9C1C9", NARROW = 600;
  const of = document.getElementById("map-of"), by = document.getElementById("map-by");
  const told = document.getElementById("map-caption");

  /** A mark: its shape tells classes apart beside its colour. */
  function mark(shape, x, y, size, attributes) {
    const corners = [null, [[-1, 1], [1, 1], [0, -1.1]], [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]], [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]]];
    if (!shape) { return element("svg:circle", { cx: x, cy: y, r: size, ...attributes }); }
    const points = corners[shape].map(([a, b]) => `${(x + a * size).toFixed(1)},${(y + b * size).toFixed(1)}`).join(" ");
    return element("svg:polygon", { points, ...attributes });
  }

  /** Look of each value, and the lines of the legend, over the slides on the map. */
  function scale(index, drawn) {
    const values = drawn.map((row) => rows[row][index]).filter((value) => value !== null && value !== "");
    if (columns[index].kind === "num") {
      const low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
      const share = (value) => high > low ? (value - low) / (high - low) : 0.5;
      const digits = columns[index].digits;
      const look = (value) => value === null ? [0, NONE] : [0, report.slideView.shareColour(share(value))];
      const legend = [low, (low + high) / 2, high].map((value) => [value.toFixed(digits), look(value)]);
      return { look, legend: values.length ? legend : [] };
    }
    const counts = new Map();
    values.forEach((value) => counts.set(value, (counts.get(value) || 0) + 1));
    const names = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || report.compare(a, b)).slice(0, 24);
    names.sort(report.compare);
    const looks = new Map(names.map((name, place) => [name, [Math.floor(place / COLOURS.length + place) % SHAPES, COLOURS[place % COLOURS.length]]]));
    const look = (value) => looks.get(value) || [0, NONE];
    const legend = names.map((name) => [`${name} (${counts.get(name)})`, looks.get(name)]);
    const others = values.length - names.reduce((sum, name) => sum + counts.get(name), 0);
    if (others) { legend.push([`others (${others})`, [0, NONE]]); }
    if (values.length < drawn.length) { legend.push([`not known (${drawn.length - values.length})`, [0, NONE]]); }
    return { look, legend };
  }

  /** Whether the legend goes below the map, so that all of it is seen on a small screen. */
  function isNarrow() { return view.clientWidth > 0 && view.clientWidth < NARROW; }

  function draw() {
    const narrow = isNarrow(), [WIDTH, HEIGHT] = narrow ? [420, 400] : [760, 520];
    const [beside, below] = narrow ? [0, HEIGHT] : [WIDTH, 0];
    const map = report.data.maps[Number(of.value)], index = Number(by.value), { look, legend } = scale(index, map.rows);
    const reach = (values) => [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
    const [left, right] = reach(map.x), [low, high] = reach(map.y);
    const unit = Math.min((WIDTH - 2 * MARGIN) / (right - left || 1), (HEIGHT - 2 * MARGIN) / (high - low || 1));
    const x = (value) => WIDTH / 2 + (value - (left + right) / 2) * unit, y = (value) => HEIGHT / 2 - (value - (low + high) / 2) * unit;
    const size = map.rows.length > 400 ? 3.4 : 5.5;
    const marks = map.rows.map((row, place) => {
      const [shape, colour] = look(rows[row][index]);
      const made = mark(shape, x(map.x[place]), y(map.y[place]), size, { fill: colour, "fill-opacity": 0.85, stroke: "#fff", "stroke-width": 0.6, "data-row": row });
      made.append(element("svg:title", {}, words(row, index)));
      return made;
    });
    const key = legend.flatMap(([text, [shape, colour]], line) => [
      mark(shape, beside + 16, below + 24 + 19 * line, 5, { fill: colour }),
      element("svg:text", { x: beside + 28, y: below + 28 + 19 * line, "font-size": 12, fill: "#1f2933" }, text)]);
    const axis = (text, at) => element("svg:text", { "font-size": 12, fill: "#5d6770", ...at }, text);
    const tall = Math.max(HEIGHT, below + 40 + 19 * legend.length);
    const svg = element("svg:svg", { viewBox: `0 0 ${beside ? WIDTH + 200 : WIDTH} ${tall}`, role: "img", "font-family": "DejaVu Sans, Arial, sans-serif",
      "aria-label": `Map of ${map.rows.length} slides by ${map.title}, coloured by ${columns[index].title}` },
    element("svg:rect", { x: 0.5, y: 0.5, width: WIDTH - 1, height: HEIGHT - 1, fill: "none", stroke: "#dfe4e8" }),
    axis(`first component, ${map.shares[0]} % of the variance`, { x: WIDTH / 2, y: HEIGHT - 10, "text-anchor": "middle" }),
    axis(`second component, ${map.shares[1]} %`, { x: 16, y: HEIGHT / 2, "text-anchor": "middle", transform: `rotate(-90 16 ${HEIGHT / 2})` }),
    element("svg:g", {}, marks), ...key);
    view.replaceChildren(svg, element("span", { class: "take" },
      element("button", { type: "button", class: "svg", onclick: () => report.saveSvg(svg, `map-${map.name}-${columns[index].key}`) }, "SVG")));
    svg.addEventListener("mouseover", (event) => {
      const row = event.target.dataset && event.target.dataset.row;
      told.textContent = row === undefined ? "" : words(Number(row), index);
    });
    svg.addEventListener("click", (event) => {
      const row = event.target.dataset && event.target.dataset.row;
      if (row !== undefined) { location.hash = report.address(rows[Number(row)][0]); }
    });
    told.textContent = `${map.rows.length} slides.`;
  }

  function words(row, index) {
    const value = rows[row][index];
    const text = value === null || value === "" ? "not known" : columns[index].kind === "num" ? report.number(value, columns[index].digits) : value;
    return `${rows[row][0]}, ${columns[index].title}: ${text}`;
  }

  report.data.maps.forEach((map, place) => {
    of.append(element("option", { value: place, selected: map.name === report.data.run }, map.title));
  });
  columns.forEach((column, index) => {
    const values = new Set(rows.filter((row) => row[report.place.status] === "used").map((row) => row[index]).filter((value) => value !== null && value !== ""));
    if (column.chosen && values.size > 1) { by.append(element("option", { value: index }, column.title)); }
  });
  if (!by.options.length) { by.append(element("option", { value: report.place.status }, columns[report.place.status].title)); }
  let drawn = false, drawnNarrow = false;
  const first = () => { if (!drawn) { drawn = true; drawnNarrow = isNarrow(); draw(); } };
  window.addEventListener("resize", () => {
    if (drawn && view.clientWidth && isNarrow() !== drawnNarrow) { drawnNarrow = isNarrow(); draw(); }
  });
  report.shown.push((tab) => { if (tab.id === "cohort") { first(); } });
  window.addEventListener("beforeprint", first);
  of.addEventListener("change", draw);
  by.addEventListener("change", draw);
})();
