"use strict";
// Shows the events of the stream. Everything is written as text, never as HTML.
const MAX_DECISIONS = 240, MAX_NOTES = 60;
const byId = (id) => document.getElementById(id);
const addElement = (tag, text, parent, attributes = {}) => {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (parent) parent.append(element);
  return element;
};
const addShape = (tag, attributes, parent) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent.append(element);
  return element;
};
let hello = null, decisions = [], ended = false, agreed = false, socket = null;
const colour = (i) => `var(--c${i % 8})`;
const clock = (s) => { const seconds = Math.max(0, Math.round(s)); return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`; };
const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))];

function askForConsent(event) { // nothing of the stream is here, or was sent, before it is given
  if (agreed) { socket.send("agree"); return; }
  byId("consent-text").textContent = event.consent;
  byId("consent-record").textContent = event.record ? `Decisions are added to ${event.record}.` : "Nothing is recorded.";
  if (!byId("consent").open) byId("consent").showModal();
}

function showGreeting(event) {
  hello = event; decisions = []; ended = false;
  for (const part of document.querySelectorAll("header, main")) part.hidden = false;
  byId("source").textContent = event.source;
  byId("card").replaceChildren(); for (const line of event.card) addElement("li", line, byId("card"));
  byId("legend").replaceChildren();
  event.classes.forEach((name, i) => {
    const item = addElement("li", "", byId("legend"));
    const mark = addElement("span", "", item); mark.style.background = colour(i);
    item.append(name);
  });
  byId("notes").replaceChildren();
  byId("calibration").hidden = !event.calibrate;
  byId("marks").replaceChildren();
  for (const name of [...event.classes, ""]) {
    const button = addElement("button", name || "no mark", byId("marks"), { "aria-pressed": name === "" });
    button.dataset.label = name;
    button.addEventListener("click", () => socket.send(`mark ${name}`));
  }
}

function showDecision(event) {
  decisions.push(event); if (decisions.length > MAX_DECISIONS) decisions.shift();
  byId("label").textContent = `${event.label} (${Math.round(100 * event.p[event.label])}%)`;
  byId("when").textContent = `${clock(event.start_s)} to ${clock(event.end_s)} of the source's clock, by the ${event.model} model`;
  const missing = Object.entries(event.missing).map(([name, why]) => `${name} (${why})`);
  byId("missing").textContent = missing.length ? `without ${missing.join(", ")}` : "";
  byId("heard").textContent = event.heard ? `understood: ${event.heard}` : "";
  if (event.marked) byId("marked").textContent = `windows so far, of ${hello.calibrate} each: ` + Object.entries(event.marked).map(([n, c]) => `${n} ${c}`).join(", ");
}

function drawChart() {
  const width = Math.max(320, byId("chart").clientWidth), height = 210, left = 34, bottom = 20, top = 6;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`); svg.setAttribute("role", "img");
  const last = decisions[decisions.length - 1];
  svg.setAttribute("aria-label", last ? `probabilities of ${decisions.length} windows, the last one ${byId("label").textContent}` : "no window yet");
  const y = (p) => top + (1 - p) * (height - bottom - top);
  for (const p of [0, 0.5, 1]) {
    addShape("line", { x1: left, x2: width - 4, y1: y(p), y2: y(p), class: "grid" }, svg);
    addShape("text", { x: left - 6, y: y(p) + 4, "text-anchor": "end" }, svg).textContent = p;
  }
  if (decisions.length > 1) {
    const first = decisions[0].end_s, span = Math.max(1e-6, last.end_s - first);
    const x = (s) => left + (s - first) / span * (width - left - 8);
    for (const [s, anchor] of [[first, "start"], [last.end_s, "end"]]) addShape("text", { x: x(s), y: height - 5, "text-anchor": anchor }, svg).textContent = clock(s);
    hello.classes.forEach((name, i) => {
      const points = decisions.map((d) => `${x(d.end_s).toFixed(1)},${y(d.p[name]).toFixed(1)}`).join(" ");
      addShape("polyline", { points, fill: "none", "stroke-width": 2 }, svg).style.stroke = colour(i); // an attribute `style` is refused by the page's policy
    });
  }
  byId("chart").replaceChildren(svg);
}

function showModalities(event) {
  byId("weights-about").textContent = event.weights ? "Weights of attention in the last window: what the network used." : "This fusion gives no weights; a channel is there or it is missing.";
  const body = byId("weights").tBodies[0]; body.replaceChildren();
  for (const name of hello.channels) {
    const row = addElement("tr", "", body); addElement("th", name, row, { scope: "row" });
    const cell = addElement("td", "", row), weight = event.weights ? event.weights[name] : (name in event.missing ? 0 : 1);
    const bar = addElement("span", "", cell, { class: "bar" }); bar.style.width = `${Math.round(70 * weight)}px`;
    cell.append(event.weights ? weight.toFixed(2) : (name in event.missing ? "missing" : "there"));
    const quality = event.quality[name] || event.quality.sound || {};
    const signal = "there" in quality ? `${Math.round(100 * quality.there)}% there${quality.moves ? "" : ", flat"}` : Object.entries(quality).map(([measure, value]) => `${measure} ${value}`).join(", ");
    addElement("td", name in event.missing ? event.missing[name] : signal, row);
  }
}

function showLatency() {
  const body = byId("latency").tBodies[0], last = decisions[decisions.length - 1]; body.replaceChildren();
  for (const part of ["latency", ...Object.keys(last.parts_ms)]) {
    const value = (d) => part === "latency" ? d.latency_ms : (d.parts_ms[part] ?? 0);
    const all = decisions.map(value), row = addElement("tr", "", body);
    addElement("th", part === "latency" ? "in all" : part, row, { scope: "row" });
    for (const duration of [value(last), quantile(all, 0.5), quantile(all, 0.99)]) addElement("td", duration.toFixed(1), row);
  }
}

function addNote(event) {
  const item = addElement("li", "", null);
  addElement("time", new Date(1000 * event.at).toLocaleTimeString(), item);
  item.append(`${event.about}: ${event.text}`);
  byId("notes").prepend(item);
  while (byId("notes").children.length > MAX_NOTES) byId("notes").lastChild.remove();
}

let scheduled = false;
function draw() { // at most once a frame, however fast events come
  scheduled = false;
  if (!decisions.length) return;
  drawChart(); showModalities(decisions[decisions.length - 1]); showLatency();
}

function handle(event) {
  if (event.event === "consent") askForConsent(event);
  else if (event.event === "hello") showGreeting(event);
  else if (event.event === "decision") { showDecision(event); if (!scheduled) { scheduled = true; requestAnimationFrame(draw); } }
  else if (event.event === "note") addNote(event);
  else if (event.event === "mark") for (const button of byId("marks").children) button.setAttribute("aria-pressed", button.dataset.label === event.label);
  else if (event.event === "model") addNote({ at: event.at, about: "model", text: `the ${event.model} model decides from now on` });
  else if (event.event === "end") { ended = true; byId("state").textContent = `the stream has ended after ${event.windows} windows`; }
}

function connect() {
  socket = new WebSocket(`ws://${location.host}${location.pathname}live`);
  socket.addEventListener("open", () => { byId("state").textContent = "connected"; });
  socket.addEventListener("message", (message) => handle(JSON.parse(message.data)));
  socket.addEventListener("close", () => { if (!ended) { byId("state").textContent = "the connection is lost; trying again"; setTimeout(connect, 1000); } });
}
byId("consent").addEventListener("cancel", (event) => event.preventDefault());
byId("consent").addEventListener("close", () => { if (!agreed) byId("consent").showModal(); }); // a second Escape closes it
byId("agree").addEventListener("click", () => { agreed = true; byId("consent").close(); if (socket.readyState === WebSocket.OPEN) socket.send("agree"); });
window.addEventListener("resize", draw);
connect();
