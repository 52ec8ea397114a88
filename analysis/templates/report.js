"use strict";
const root = document.documentElement;

// light or dark: as the system says, until the reader says otherwise
const system = window.matchMedia("(prefers-color-scheme: dark)");
const toggle = document.getElementById("theme");
let chosen = null;
const charts = new Set();
const isDark = () => (chosen === null ? system.matches : chosen);
function paint() {
  root.style.colorScheme = chosen === null ? "" : chosen ? "dark" : "light";
  toggle.textContent = isDark() ? "Light theme" : "Dark theme";
  charts.forEach((draw) => draw());
}
toggle.addEventListener("click", () => { chosen = !isDark(); paint(); });
system.addEventListener("change", paint);
paint();
toggle.hidden = false;

// where the contents stand above the text, not beside it (report.css), they are folded, so that the verdict stands on top
if (!window.matchMedia("(min-width: 88rem)").matches) document.getElementById("contents").open = false;

// tables: a press on a heading sorts by its column, numbers as numbers, missing values last
const text = (row, column) => row.cells[column].textContent.trim();
const value = (cell) => (/^[<+\-\d.]/.test(cell) ? parseFloat(cell.replace(/[<,]/g, "")) : NaN);
function compare(a, b, down) {
  if (!a || !b) return (a ? 0 : 1) - (b ? 0 : 1);
  const [x, y] = [value(a), value(b)];
  const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  return down ? -order : order;
}
function sort(table, column) {
  const head = table.tHead.rows[0].cells;
  const down = head[column].getAttribute("aria-sort") === "ascending";
  for (const other of head) other.removeAttribute("aria-sort");
  head[column].setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => compare(text(a, column), text(b, column), down));
  table.tBodies[0].append(...rows);
}
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = cell.textContent;
    button.addEventListener("click", () => sort(table, column));
    cell.replaceChildren(button);
  });
}

// Chromium repeats no head with buttons on the next page, so paper gets their words alone
const printed = [];
window.addEventListener("beforeprint", () => {
  for (const button of document.querySelectorAll("th button")) {
    printed.push([button, button.parentElement]);
    button.replaceWith(button.textContent);
  }
});
window.addEventListener("afterprint", () => { for (const [button, cell] of printed.splice(0)) cell.replaceChildren(button); });

// filters: sections, contents and verdicts of other cells are left out, and rows and columns of tables that name another value
const keptRows = { technique: ["non_personalized"] }; // what every technique is compared with
const filters = document.querySelector(".filters");
function keep() {
  const wanted = Object.fromEntries([...filters.querySelectorAll("select")].map((s) => [s.dataset.column, s.value]).filter(([, v]) => v));
  const fits = (name, found) => !(name in wanted) || wanted[name] === found || (keptRows[name] || []).includes(found);
  for (const part of document.querySelectorAll("[data-cell]")) {
    part.hidden = !Object.entries(JSON.parse(part.dataset.cell)).every(([name, found]) => fits(name, found));
  }
  const techniques = new Set([...filters.querySelectorAll("[data-column=technique] option")].map((o) => o.value));
  for (const table of document.querySelectorAll("main table")) {
    const head = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    const columns = head.map((name) => fits("technique", techniques.has(name) ? name : wanted.technique));
    for (const row of table.rows) [...row.cells].forEach((cell, i) => { cell.hidden = !columns[i]; });
    for (const row of table.tBodies[0].rows) row.hidden = !head.every((name, i) => fits(name, text(row, i)));
  }
  hint();
}
if (filters) {
  filters.hidden = false;
  filters.addEventListener("change", keep);
  filters.addEventListener("submit", (event) => event.preventDefault());
}

// a table that is wider than the page is folded: a row is a block of its cells, each behind its heading, and the headings stand above it to sort by;
// what cannot be folded (shaded cells, figures) says that it goes on
const isWide = (region) => region.scrollWidth > region.clientWidth + 1;
function fold(table) {
  const head = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  for (const row of table.tBodies[0].rows) [...row.cells].forEach((cell, i) => {
    cell.dataset.column = head[i];
    cell.classList.toggle("none", ["", "-"].includes(cell.textContent.trim()));
  });
  // cells that are blocks lose what they are, unless they say it
  const roles = { table: "table", thead: "rowgroup", tbody: "rowgroup", tr: "row", "thead th": "columnheader", "tbody th": "rowheader", td: "cell" };
  table.setAttribute("role", "table");
  for (const [name, role] of Object.entries(roles)) table.querySelectorAll(name).forEach((part) => part.setAttribute("role", role));
  table.classList.add("folded");
}
function hint() {
  const tables = [...document.querySelectorAll(".scroll table:not(.heat)")];
  tables.forEach((table) => table.classList.remove("folded"));
  tables.filter((table) => isWide(table.parentElement)).forEach(fold);
  for (const region of document.querySelectorAll(".scroll")) {
    const wide = isWide(region);
    const said = region.previousElementSibling?.classList.contains("more") ? region.previousElementSibling : null;
    if (wide && !said) {
      const line = document.createElement("p");
      line.className = "more";
      line.textContent = "There is more to the right: scroll sideways →";
      region.before(line);
    } else if (!wide && said) said.remove();
  }
}
hint();
window.addEventListener("resize", hint);
document.addEventListener("toggle", hint, true);

// the interactive figure: plotly is unpacked when it is first asked for
let plotly = null;
async function unpack() {
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}
// plotly reads tags and $formulas$ in texts: a name is neither
const plain = (name) => name.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/\$/g, "＄");
function show(chart, data, index) {
  const colour = (name) => { chart.style.color = `var(${name})`; return getComputedStyle(chart).color; };
  const variant = data.variants[index];
  const change = data.participants.map((_, i) => data.sign * (variant.score[i] - variant.baseline[i]));
  const known = (x) => (x === null || Number.isNaN(x) ? "missing" : x.toFixed(3));
  const people = data.participants.map(plain);
  const hover = people.map((name, i) => `${name}<br>without ${known(variant.baseline[i])}<br>with ${known(variant.score[i])}`);
  const points = (name, y, symbol, fill) => ({
    name, x: people, y, type: "scatter", mode: "markers", text: hover, hoverinfo: "text",
    marker: { symbol, size: 11, color: fill, line: { width: 1.5, color: colour("--ink") } },
  });
  const lines = {
    x: people.flatMap((name) => [name, name, null]), hoverinfo: "skip", showlegend: false, type: "scatter", mode: "lines",
    y: data.participants.flatMap((_, i) => [variant.baseline[i], variant.score[i], null]), line: { color: colour("--muted"), width: 2 },
  };
  const fills = change.map((x) => colour(x > 0 ? "--gain" : x < 0 ? "--loss" : "--muted"));
  const axis = { gridcolor: colour("--line"), zeroline: false, fixedrange: true };
  Plotly.react(chart, [lines, points("without personalization", variant.baseline, "circle", colour("--ground")),
    points("with", variant.score, change.map((x) => (x >= 0 ? "triangle-up" : "triangle-down")), fills)], {
    font: { color: colour("--ink"), family: getComputedStyle(chart).fontFamily }, paper_bgcolor: "transparent", plot_bgcolor: "transparent",
    margin: { l: 55, r: 10, t: 10, b: 70 }, legend: { orientation: "h", y: 1.12 }, hovermode: "closest",
    xaxis: { ...axis, title: { text: "participant" }, type: "category", tickangle: -90 }, yaxis: { ...axis, title: { text: data.metric } },
  }, { responsive: true, displayModeBar: false });
}
for (const place of document.querySelectorAll(".explorer")) {
  const button = place.querySelector("button");
  button.addEventListener("click", async () => {
    button.disabled = true;
    plotly = plotly || unpack();
    await plotly;
    const data = JSON.parse(document.getElementById(place.dataset.source).textContent);
    const label = document.createElement("label");
    const select = document.createElement("select");
    const chart = document.createElement("div");
    select.id = `${place.dataset.source}-select`;
    label.htmlFor = select.id;
    label.textContent = "Variant";
    data.variants.forEach((variant) => select.add(new Option(variant.name)));
    chart.className = "chart";
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", `${data.metric} of every participant without and with the chosen variant; the table above has the numbers`);
    place.replaceChildren(label, select, chart);
    const draw = () => show(chart, data, select.selectedIndex);
    select.addEventListener("change", draw);
    charts.add(draw);
    draw();
    select.focus();
  });
}
