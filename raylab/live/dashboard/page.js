"use strict";
// Shows what the server sends: the question, then what the session will be, then the stream's events. Everything is written as text, never as HTML.
const MAX_DECISIONS = 240, MAX_NOTES = 60, MINUTE_S = 60;
const STAGES = ["consent", "ready", "running", "over"];
const DASHES = ["", "8 4", "2 4", "12 4 2 4"]; // lines differ without their colours
const byId = (id) => document.getElementById(id);
const write = (id, text) => { byId(id).textContent = text; };
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
  if (parent) parent.append(element);
  return element;
};
const fill = (id, lines, none) => byId(id).replaceChildren(...(lines.length || !none ? lines : [none]).map((line) => addElement("li", line, null)));
let hello = null, decisions = [], ended = false, agreed = false, over = false, socket = null, question = null, eventsLost = 0, losses = null;
const colour = (i) => `var(--c${i % 8})`;
const words = (name) => name.replaceAll("_", " ");
const percent = (p) => `${Math.round(100 * p)}%`;
const channel = (name) => hello.channels[name] ?? words(name);
const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))];
const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;
const duration = (s) => {
  if (s < 10) return `${Number(s.toFixed(1))} s`;
  const seconds = Math.round(s), minutes = Math.floor(seconds / 60);
  return minutes ? `${minutes} min${seconds % 60 ? ` ${seconds % 60} s` : ""}` : `${seconds} s`;
};
const stretch = () => hello.utterances ? "utterance" : "window";

function show(stage) { // a new stage is read from its heading on
  for (const id of STAGES) byId(id).hidden = id !== stage;
  byId("stop").hidden = !(stage === "ready" || stage === "running") || ended;
  const heading = byId(stage).querySelector("h2");
  window.scrollTo(0, 0);
  heading.focus({ preventScroll: true });
}

function askForConsent(event) { // nothing of the stream is here, or was sent, before it is given
  question = event;
  if (agreed) { socket.send("agree"); return; }
  write("measured-how", event.captures ? "This machine's microphone, or camera and microphone, are opened. Taken from it:" : event.replay ? "Nothing new: a recording is replayed. Its signals:" : "Signals of a device that you wear:");
  fill("measured", event.measured);
  write("stored", [event.record ? `The guesses are added to the file ${event.record}.` : "The guesses are stored nowhere.", event.printed ? "The command that serves this page prints them too, on this machine." : ""].join(" ").trim());
  write("kept", event.record ? `Guesses that are in ${event.record} by then stay there: delete them if you want them gone.` : "");
  write("state", "Waiting for your consent.");
  show("consent");
}

function showGreeting(event) {
  hello = event; decisions = []; ended = false; eventsLost = 0; losses = null;
  const names = event.classes.map(words);
  write("source", event.source);
  write("classes", `${names.slice(0, -1).join(", ")} ${names.length > 1 ? "or " : ""}${names[names.length - 1]}${names.includes(words(event.label)) ? "" : ` (${words(event.label)})`}`);
  write("signals-used", Object.values(event.channels).join(", "));
  write("window-about", event.utterances ? `An utterance is what is said between two pauses, at most ${duration(event.window_s)}.` : `A window is ${duration(event.window_s)} of signals; a new one begins every ${duration(event.step_s)}.`);
  write("rhythm", event.utterances ? "After each utterance, when half a second of pause follows it." : `A guess every ${duration(event.step_s)}, each from the last ${duration(event.window_s)} of signals.`);
  write("quality", event.quality); write("caution", event.caution);
  fill("card", event.card);
  byId("legend").replaceChildren(...event.classes.map((name, i) => {
    const item = addElement("li", "", null), mark = addShape("svg", { viewBox: "0 0 34 8", "aria-hidden": "true" }, item);
    addShape("line", { x1: 0, x2: 34, y1: 4, y2: 4, "stroke-width": 3, "stroke-dasharray": DASHES[i % 4] }, mark).style.stroke = colour(i);
    item.append(words(name));
    return item;
  }));
  fill("notes", []); fill("signals", Object.values(event.channels).map((name) => `${name}: waiting`)); showLosses();
  byId("calibration").hidden = !event.calibrate;
  byId("marks").replaceChildren();
  for (const name of [...event.classes, ""]) {
    const button = addElement("button", words(name) || "no mark", byId("marks"), { "aria-pressed": name === "" });
    button.dataset.label = name;
    button.addEventListener("click", () => socket.send(`mark ${name}`));
  }
  showMinute();
  if (event.started) return; // the event "started" follows
  write("state", "Nothing is measured yet.");
  show("ready");
}

function showStart() {
  write("state", "Running.");
  show("running");
}

const REASONS = { "lost": "nothing comes; the device or its connection lost it", "samples are missing": "part of it never came; the device or its connection lost it",
  "wrong rate": "comes at another rate than the model needs", "dropped by raylab": "raylab itself dropped part of it, because this machine was too slow" };

function showDecision(event) {
  const before = decisions.length ? decisions[decisions.length - 1].label : "";
  decisions.push(event); if (decisions.length > MAX_DECISIONS) decisions.shift();
  write("label", words(event.label));
  const model = { base: "the model before it learned from you", calibrated: "the model that learned from you" }[event.model] ?? "the model";
  write("share", `${model[0].toUpperCase()}${model.slice(1)} gives ${percent(event.p[event.label])} to ${words(event.label)}; all states together have 100%.`);
  if (event.label !== before) write("spoken", `Now ${words(event.label)}`);
  const missing = Object.keys(event.missing).map(channel);
  write("missing", missing.length ? `Guessed without ${missing.join(", ")}: worth less. See Signals for the reason.` : "");
  write("heard", event.heard ? `Understood: ${event.heard}` : "");
  if (event.marked) write("marked", `Marked so far, of ${hello.calibrate} ${stretch()}s each: ${Object.entries(event.marked).map(([name, n]) => `${words(name)} ${n}`).join(", ")}.`);
}

function showMinute() { // the minute before the last window's end
  const last = decisions[decisions.length - 1], recent = last ? decisions.filter((d) => d.end_s <= last.end_s && d.end_s > last.end_s - MINUTE_S) : [];
  byId("minute").replaceChildren(...hello.classes.map((name, i) => {
    const n = recent.filter((d) => d.label === name).length;
    const item = addElement("li", `${words(name)}: ${n} of ${count(recent.length, stretch())}`, null), bar = addElement("span", "", addElement("span", "", item, { class: "track", "aria-hidden": "true" }));
    bar.style.background = colour(i); bar.style.width = percent(recent.length ? n / recent.length : 0);
    return item;
  }));
}

function drawChart() {
  const width = Math.max(300, byId("chart").clientWidth), height = 220, left = 42, bottom = 22, top = 8;
  const svg = addShape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" }, null);
  const first = decisions[0], last = decisions[decisions.length - 1], span = last.end_s - first.end_s;
  svg.setAttribute("aria-label", `Share that the model gave each state over the last ${duration(span)}; now ${hello.classes.map((name) => `${words(name)} ${percent(last.p[name])}`).join(", ")}.`);
  const y = (p) => top + (1 - p) * (height - bottom - top);
  for (const p of [0, 0.5, 1]) {
    addShape("line", { x1: left, x2: width - 4, y1: y(p), y2: y(p), class: "grid" }, svg);
    addShape("text", { x: left - 6, y: y(p) + 4, "text-anchor": "end" }, svg).textContent = percent(p);
  }
  if (span > 0) {
    const x = (s) => left + (s - first.end_s) / span * (width - left - 8);
    addShape("text", { x: left, y: height - 5 }, svg).textContent = `${duration(span)} before`;
    addShape("text", { x: width - 8, y: height - 5, "text-anchor": "end" }, svg).textContent = `last ${stretch()}`;
    hello.classes.forEach((name, i) => {
      const points = decisions.map((d) => `${x(d.end_s).toFixed(1)},${y(d.p[name]).toFixed(1)}`).join(" ");
      addShape("polyline", { points, fill: "none", "stroke-width": 2.5, "stroke-dasharray": DASHES[i % 4] }, svg).style.stroke = colour(i); // an attribute `style` is refused by the page's policy
    });
  }
  byId("chart").replaceChildren(svg);
}

function signalState(event, name) {
  if (name in event.missing) return REASONS[event.missing[name]] ?? event.missing[name];
  const quality = event.quality[name] ?? event.quality.sound ?? {};
  if ("there" in quality) return quality.moves ? "comes through" : "comes, but does not move: is the sensor on the skin?";
  return `comes through; a voice in ${percent(quality.voiced ?? 0)} of the utterance${quality.clipped ? `, too loud in ${percent(quality.clipped)} of it` : ""}`;
}

function showSignals(event) {
  fill("signals", Object.keys(hello.channels).map((name) => {
    const weight = event.weights && !(name in event.missing) ? `; it had ${percent(event.weights[name])} of the say in this guess` : "";
    return `${channel(name)}: ${signalState(event, name)}${weight}`;
  }));
}

function showLosses() {
  const event = losses ?? { device: {}, late: {}, too_slow: {}, windows: {}, pictures: 0 };
  const lines = (seconds, why) => Object.entries(seconds).map(([name, s]) => `${channel(name)}: ${duration(s)} ${why}`);
  const windows = (who, why) => event.windows[who] ? [`${count(event.windows[who], stretch())} without a guess${why}`] : [];
  fill("lost-device", [...windows("device", ": no signal was complete"), ...lines(event.device, "never came, or could not be read")], "Nothing.");
  fill("lost-raylab", [
    ...windows("raylab", ": this machine was too slow"), ...lines(event.too_slow, "dropped: this machine was too slow"), ...lines(event.late, "left out: came too late, or twice"),
    ...(event.pictures ? [`${count(event.pictures, "picture")} dropped: this machine was too slow`] : []),
    ...(eventsLost ? [`${count(eventsLost, "line")} of this page: it was too slow`] : []),
  ], "Nothing.");
}

function showLatency() {
  const body = byId("latency").tBodies[0], last = decisions[decisions.length - 1]; body.replaceChildren();
  for (const part of ["latency", ...Object.keys(last.parts_ms)]) {
    const value = (d) => part === "latency" ? d.latency_ms : (d.parts_ms[part] ?? 0);
    const all = decisions.map(value), row = addElement("tr", "", body);
    addElement("th", part === "latency" ? "in all" : part, row, { scope: "row" });
    for (const ms of [value(last), quantile(all, 0.5), quantile(all, 0.99)]) addElement("td", ms.toFixed(1), row);
  }
}

function addNote(event) {
  if (event.events_lost) { eventsLost = event.events_lost; showLosses(); }
  const item = addElement("li", "", null);
  addElement("time", new Date(1000 * event.at).toLocaleTimeString(), item);
  item.append(`${event.about}: ${event.text}`);
  byId("notes").prepend(item);
  while (byId("notes").children.length > MAX_NOTES) byId("notes").lastChild.remove();
}

function end(event) { // what was shown goes, also out of the page's memory
  over = true; hello = null; decisions = []; losses = null;
  byId("running").remove(); byId("ready").remove(); byId("consent").remove();
  STAGES.splice(0, STAGES.length, "over");
  const refused = event.outcome === "refused";
  write("over-title", refused ? "Ended: not everyone agrees" : "Stopped: consent is taken back");
  write("over-text", refused ? "Nothing was measured, shown or stored." : `Measuring has ended, what waited was thrown away, and this page is empty.${question && question.record ? ` Guesses that are in ${question.record} stay there: delete them if you want them gone.` : ""}`);
  write("state", refused ? "Ended." : "Stopped.");
  byId("stop").hidden = true; byId("over").hidden = false;
  byId("over-title").focus();
}

let scheduled = false;
function draw() { // at most once a frame, however fast events come
  scheduled = false;
  if (!decisions.length) return;
  const last = decisions[decisions.length - 1];
  drawChart(); showMinute(); showSignals(last); showLatency();
}

function handle(event) {
  if (event.event === "consent") askForConsent(event);
  else if (event.event === "over") end(event);
  else if (event.event === "hello") showGreeting(event);
  else if (event.event === "started") showStart();
  else if (event.event === "decision") { showDecision(event); if (!scheduled) { scheduled = true; requestAnimationFrame(draw); } }
  else if (event.event === "losses") { losses = event; showLosses(); write("lost-news", "Something got lost; see What got lost."); }
  else if (event.event === "note") addNote(event);
  else if (event.event === "mark") for (const button of byId("marks").children) button.setAttribute("aria-pressed", button.dataset.label === event.label);
  else if (event.event === "model") addNote({ at: event.at, about: "model", text: `the ${event.model} model decides from now on` });
  else if (event.event === "end") { ended = true; byId("stop").hidden = true; write("state", `The session has ended after ${count(event.windows, stretch())}.`); }
}

function connect() {
  socket = new WebSocket(`ws://${location.host}${location.pathname}live`);
  socket.addEventListener("message", (message) => handle(JSON.parse(message.data)));
  socket.addEventListener("close", () => { if (!ended && !over) { write("state", "The connection is lost; trying again."); setTimeout(connect, 1000); } });
}
const say = (message) => { if (socket.readyState === WebSocket.OPEN) socket.send(message); };
byId("agree").addEventListener("click", () => { agreed = true; say("agree"); });
byId("refuse").addEventListener("click", () => say("refuse"));
byId("start").addEventListener("click", () => say("start"));
byId("stop").addEventListener("click", () => say("stop"));
window.addEventListener("resize", draw);
connect();
