"use strict";
// Shows the events of the stream. Everything is written as text, never as HTML.
const KEPT = 240, SHOWN_NOTES = 60;
const at = (id) => document.getElementById(id);
const make = (tag, text, parent, attributes = {}) => {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (parent) parent.append(made);
  return made;
};
const draw = (tag, attributes, parent) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
};
let hello = null, decisions = [], ended = false, agreed = false, socket = null;
const colour = (i) => `var(--c${i % 8})`;
const clock = (s) => { const whole = Math.max(0, Math.round(s)); return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`; };
const share = (values, q) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))];

function greet(event) {
  hello = event; decisions = []; ended = false;
  at("source").textContent = event.source;
  at("consent-text").textContent = event.consent;
  at("consent-record").textContent = event.record ? `Decisions are added to ${event.record}.` : "Nothing is recorded.";
  at("card").replaceChildren(); for (const line of event.card) make("li", line, at("card"));
  at("legend").replaceChildren();
  event.classes.forEach((name, i) => {
    const item = make("li", "", at("legend"));
    const mark = make("span", "", item); mark.style.background = colour(i);
    item.append(name);
  });
  at("notes").replaceChildren();
  at("calibration").hidden = !event.calibrate;
  at("marks").replaceChildren();
  for (const name of [...event.classes, ""]) {
    const button = make("button", name || "no mark", at("marks"), { "aria-pressed": name === "" });
    button.dataset.label = name;
    button.addEventListener("click", () => socket.send(`mark ${name}`));
  }
  if (!agreed) at("consent").showModal();
}

function decided(event) {
  decisions.push(event); if (decisions.length > KEPT) decisions.shift();
  at("label").textContent = `${event.label} (${Math.round(100 * event.p[event.label])}%)`;
  at("when").textContent = `${clock(event.start_s)} to ${clock(event.end_s)} of the source's clock, by the ${event.model} model`;
  const missing = Object.entries(event.missing).map(([name, why]) => `${name} (${why})`);
  at("missing").textContent = missing.length ? `without ${missing.join(", ")}` : "";
  at("heard").textContent = event.heard ? `understood: ${event.heard}` : "";
  if (event.marked) at("marked").textContent = `windows so far, of ${hello.calibrate} each: ` + Object.entries(event.marked).map(([n, c]) => `${n} ${c}`).join(", ");
}

function chart() {
  const width = Math.max(320, at("chart").clientWidth), height = 210, left = 34, bottom = 20, top = 6;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`); svg.setAttribute("role", "img");
  const last = decisions[decisions.length - 1];
  svg.setAttribute("aria-label", last ? `probabilities of ${decisions.length} windows, the last one ${at("label").textContent}` : "no window yet");
  const y = (p) => top + (1 - p) * (height - bottom - top);
  for (const p of [0, 0.5, 1]) {
    draw("line", { x1: left, x2: width - 4, y1: y(p), y2: y(p), class: "grid" }, svg);
    draw("text", { x: left - 6, y: y(p) + 4, "text-anchor": "end" }, svg).textContent = p;
  }
  if (decisions.length > 1) {
    const first = decisions[0].end_s, span = Math.max(1e-6, last.end_s - first);
    const x = (s) => left + (s - first) / span * (width - left - 8);
    for (const [s, anchor] of [[first, "start"], [last.end_s, "end"]]) draw("text", { x: x(s), y: height - 5, "text-anchor": anchor }, svg).textContent = clock(s);
    hello.classes.forEach((name, i) => {
      const points = decisions.map((d) => `${x(d.end_s).toFixed(1)},${y(d.p[name]).toFixed(1)}`).join(" ");
      draw("polyline", { points, fill: "none", "stroke-width": 2 }, svg).style.stroke = colour(i); // an attribute `style` is refused by the page's policy
    });
  }
  at("chart").replaceChildren(svg);
}

function modalities(event) {
  at("weights-about").textContent = event.weights ? "Weights of attention in the last window: what the network used." : "This fusion gives no weights; a channel is there or it is missing.";
  const body = at("weights").tBodies[0]; body.replaceChildren();
  for (const name of hello.channels) {
    const row = make("tr", "", body); make("th", name, row, { scope: "row" });
    const cell = make("td", "", row), weight = event.weights ? event.weights[name] : (name in event.missing ? 0 : 1);
    const bar = make("span", "", cell, { class: "bar" }); bar.style.width = `${Math.round(70 * weight)}px`;
    cell.append(event.weights ? weight.toFixed(2) : (name in event.missing ? "missing" : "there"));
    const seen = event.quality[name] || event.quality.sound || {};
    const said = "there" in seen ? `${Math.round(100 * seen.there)}% there${seen.moves ? "" : ", flat"}` : Object.entries(seen).map(([what, value]) => `${what} ${value}`).join(", ");
    make("td", name in event.missing ? event.missing[name] : said, row);
  }
}

function latency() {
  const body = at("latency").tBodies[0], last = decisions[decisions.length - 1]; body.replaceChildren();
  for (const part of ["latency", ...Object.keys(last.parts_ms)]) {
    const value = (d) => part === "latency" ? d.latency_ms : (d.parts_ms[part] ?? 0);
    const all = decisions.map(value), row = make("tr", "", body);
    make("th", part === "latency" ? "in all" : part, row, { scope: "row" });
    for (const shown of [value(last), share(all, 0.5), share(all, 0.99)]) make("td", shown.toFixed(1), row);
  }
}

function noted(event) {
  const item = make("li", "", null);
  make("time", new Date(1000 * event.at).toLocaleTimeString(), item);
  item.append(`${event.about}: ${event.text}`);
  at("notes").prepend(item);
  while (at("notes").children.length > SHOWN_NOTES) at("notes").lastChild.remove();
}

let wanted = false;
function show() { // at most once a frame, however fast events come
  wanted = false;
  if (!decisions.length) return;
  chart(); modalities(decisions[decisions.length - 1]); latency();
}

function take(event) {
  if (event.event === "hello") greet(event);
  else if (event.event === "decision") { decided(event); if (!wanted) { wanted = true; requestAnimationFrame(show); } }
  else if (event.event === "note") noted(event);
  else if (event.event === "mark") for (const button of at("marks").children) button.setAttribute("aria-pressed", button.dataset.label === event.label);
  else if (event.event === "model") noted({ at: event.at, about: "model", text: `the ${event.model} model decides from now on` });
  else if (event.event === "end") { ended = true; at("state").textContent = `the stream has ended after ${event.windows} windows`; }
}

function connect() {
  socket = new WebSocket(`ws://${location.host}${location.pathname}live`);
  socket.addEventListener("open", () => { at("state").textContent = "connected"; if (agreed) socket.send("agree"); });
  socket.addEventListener("message", (message) => take(JSON.parse(message.data)));
  socket.addEventListener("close", () => { if (!ended) { at("state").textContent = "the connection is lost; trying again"; setTimeout(connect, 1000); } });
}
at("consent").addEventListener("cancel", (event) => event.preventDefault());
at("agree").addEventListener("click", () => { agreed = true; at("consent").close(); socket.send("agree"); });
window.addEventListener("resize", show);
connect();
