/* Files from the page: figures as SVG and PDF, tables as CSV and LaTeX. */
(function () {
  "use strict";
  const { element } = report;
  const LATEX = {
    "&": "\\&", "%": "\\%", "$": "\\$", "#": "\\#", "_": "\\_", "{": "\\{", "}": "\\}", "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "\u2212": "$-$", "–": "--", "±": "$\\pm$", "×": "$\\times$",
    "µ": "\\textmu{}", "²": "\\textsuperscript{2}", "→": "$\\to$", "\u00a0": "~", "\u202f": "\\,",
  };

  function save(content, type, name) {
    const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
    const link = element("a", { href: url, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  function fileName(text, kind) {
    const name = text.normalize("NFKD").replace(/[^\w.-]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 80);
    return `${report.data.cohort}-${name.toLowerCase() || "file"}.${kind}`;
  }

  /** Content of a data URI in base64. */
  function decoded(uri) {
    const [head, text] = [uri.slice(5, uri.indexOf(",")), uri.slice(uri.indexOf(",") + 1)];
    return new Blob([Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0))], { type: head.split(";")[0] });
  }

  report.saveSvg = function (svg, name) {
    const copy = svg.cloneNode(true);
    copy.querySelectorAll("use").forEach((use) => {  // what is drawn elsewhere in the page goes along
      const whole = document.querySelector(use.getAttribute("href")).cloneNode(true);
      whole.removeAttribute("id");
      if (use.classList.contains("grey")) { whole.setAttribute("style", "filter: grayscale(1)"); }
      use.replaceWith(whole);
    });
    copy.querySelectorAll("image[data-small]").forEach((image) => {  // a file of its own needs no other
      image.setAttribute("href", image.dataset.small);
      image.removeAttribute("data-small");
    });
    copy.querySelectorAll("path.outline").forEach((path) => {
      path.setAttribute("style", `fill: none; stroke: #0a6b4a; stroke-width: 2px; ${path.getAttribute("style") || ""}`);
    });
    const [, , width, height] = copy.getAttribute("viewBox").split(" ").map(Number);
    const scale = 1000 / Math.max(width, height);
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", Math.round(width * scale));
    copy.setAttribute("height", Math.round(height * scale));
    save(new XMLSerializer().serializeToString(copy), "image/svg+xml", fileName(name, "svg"));
  };

  function quoted(value) {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  }

  /** Lines of cells as CSV; numbers keep a plain minus sign, so that they are read as numbers. */
  function csv(lines) {
    const plain = (value) => typeof value === "string" ? value.replace(/\u2212(?=\d)/g, "-") : value;
    return lines.map((line) => line.map((value) => quoted(plain(value))).join(",")).join("\n") + "\n";
  }

  const escaped = (value) => Array.from(value === null || value === undefined ? "" : String(value), (sign) => LATEX[sign] || sign).join("");

  /** A table for `\input`; it needs the package booktabs. */
  function latex(head, lines, right, caption, best) {
    const bold = (text, row, column) => best && best(row, column) ? `\\textbf{${text}}` : text;
    const joined = (cells) => cells.join(" & ") + " \\\\";
    return ["% \\usepackage{booktabs}", "\\begin{table}", "\\centering", `\\caption{${escaped(caption)}}`,
      `\\begin{tabular}{${right.map((one) => one ? "r" : "l").join("")}}`, "\\toprule", joined(head.map(escaped)), "\\midrule",
      ...lines.map((line, row) => joined(line.map((cell, column) => bold(escaped(cell), row, column)))),
      "\\bottomrule", "\\end{tabular}", "\\end{table}", ""].join("\n");
  }

  /** Text of a cell, its parts with a space between, without the word that marks the best. */
  function cellText(cell) {
    const parts = Array.from(cell.childNodes).filter((node) => node.nodeName !== "EM").map((node) => node.textContent.trim());
    return parts.filter(Boolean).join(" ").replace(/\s+/g, " ");
  }

  /** What a table is called: by its headings, and its caption, or in a file's name its own name. */
  function nameOf(table, inFile) {
    const own = inFile && table.dataset.name || (table.caption && cellText(table.caption));
    const section = table.closest("section, article");
    const headings = Array.from(section ? section.querySelectorAll("h2, h3, h4, summary") : []);
    const before = headings.filter((one) => one.compareDocumentPosition(table) & Node.DOCUMENT_POSITION_FOLLOWING);
    const of = (levels) => cellText(before.filter((one) => levels.includes(one.tagName)).pop() || element("p"));
    const task = of(["H3"]) || of(["H2"]), last = cellText(before.pop() || element("p"));
    return [task, last !== task ? last : "", own].filter(Boolean).join(": ").replace(/\s*[.:]?$/, "");
  }

  function offer(table) {
    const buttons = element("div", { class: "take" });
    const content = () => {
      const head = table.tHead ? Array.from(table.tHead.rows[0].cells) : [];
      const body = Array.from(table.tBodies).flatMap((part) => Array.from(part.rows)).map((row) => Array.from(row.cells));
      const right = (head.length ? head : body[0] || []).map((cell) => cell.classList.contains("num"));
      return { head: head.map(cellText), body, right };
    };
    const take = (kind, make) => buttons.append(element("button", { type: "button", class: kind, onclick: () => {
      save(make(content()), kind === "csv" ? "text/csv" : "text/x-tex", fileName(nameOf(table, true), kind));
    } }, kind === "csv" ? "CSV" : "LaTeX"));
    take("csv", ({ head, body }) => csv([...(head.length ? [head] : []), ...body.map((row) => row.map(cellText))]));
    take("tex", ({ head, body, right }) => latex(head, body.map((row) => row.map(cellText)), right, nameOf(table),
      (row, column) => body[row][column].classList.contains("best")));
    const box = table.closest(".scroll") || table;
    box.after(buttons);
  }

  report.offerTables = (holder) => holder.querySelectorAll("table:not(#slide-table)").forEach(offer);

  document.querySelectorAll("figure.plot img[data-pdf]").forEach((image) => {
    const name = image.alt.split(";")[0], button = (kind, uri) =>
      element("button", { type: "button", class: kind, onclick: () => save(decoded(uri), "", fileName(name, kind)) }, kind.toUpperCase());
    const buttons = element("div", { class: "take" }, button("svg", image.src), button("pdf", image.dataset.pdf),
      element("button", { type: "button", class: "large", onclick: () => report.enlarge(image.src, image.alt, "") }, "Enlarge"));
    image.after(buttons);
  });
  document.querySelectorAll(".maps figure").forEach((figure) => {
    const svg = figure.querySelector("svg");
    figure.append(element("div", { class: "take" }, element("button", { type: "button", class: "svg",
      onclick: () => report.saveSvg(svg, svg.getAttribute("aria-label")) }, "SVG")));
  });
  report.offerTables(document.querySelector("main"));

  const shown = () => {
    const lines = report.foundSlides().map((index) => report.rows[index]);
    return { head: report.columns.map((column) => column.title), lines };
  };
  document.getElementById("slides-csv").addEventListener("click", () => {
    const { head, lines } = shown();
    save(csv([head, ...lines]), "text/csv", fileName("slides", "csv"));
  });
  document.getElementById("slides-tex").addEventListener("click", () => {
    const { head, lines } = shown(), { columns } = report;
    const text = lines.map((row) => row.map((value, index) => columns[index].kind === "num" ? report.number(value, columns[index].digits) : value));
    save(latex(head, text, columns.map((column) => column.kind === "num"), "Slides", null), "text/x-tex", fileName("slides", "tex"));
  });
  report.start();
})();
