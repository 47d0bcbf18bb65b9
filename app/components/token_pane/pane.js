// One rollout as text to read. Text, values, paint and view come as four parts, so that a part that
// stays is not sent again; the text is built once, and signal, scale, threshold, toggles and steps
// only change which layer a token is in. What matters for the link goes to Python through one trigger;
// until Python's answer has come back, older ones are ignored.

const TELL_AFTER_MS = 300; // after the last change
// pane name -> pane; several copies of this script may be running
const panes = (globalThis.rockPanes ??= new Map());
// pane name -> its parts, which part.js puts there
const inbox = (globalThis.rockParts ??= new Map());
const numbered = (globalThis.rockPaneCount ??= { n: 0 });

export default function (component) {
  const { data, parentElement } = component;
  if (!panes.has(data.pane))
    panes.set(data.pane, { id: `rock${numbered.n++}`, opened: {}, timer: null, playing: null });
  const pane = panes.get(data.pane);
  pane.mount = parentElement;
  pane.tell = data.quiet ? null : (value) => component.setTriggerValue("moved", value);
  pane.ask = data.quiet ? null : (value) => component.setTriggerValue("asked", value);
  pane.arrived = () => refresh(pane, inbox.get(data.pane) ?? {});
  pane.arrived();
  return () => setTimeout(() => leave(pane, data.pane), 0);
}

function leave(pane, name) {
  if (pane.root?.isConnected) return;
  inbox.delete(name);
  pane.layers?.drop();
  clearInterval(pane.playing);
  clearTimeout(pane.timer);
  pane.skip?.remove();
  Object.assign(pane, { opened: {}, playing: null, timer: null, layers: null });
}

// What was sent as a part last, once it is open; until then null, and `arrived` follows. It opens
// beside what is drawn, which stays as it is: of two that follow each other only the later counts.
function opened(pane, name, sent) {
  const before = pane.opened[name];
  if (!sent || before?.stamp === sent.stamp) return before?.content ?? null;
  const now = (pane.opened[name] = { stamp: sent.stamp, content: null });
  unpacked(sent.body).then((raw) => {
    if (pane.opened[name] !== now) return;
    now.content = { ...DECODE[name](raw), stamp: sent.stamp };
    pane.arrived();
  });
  return null;
}

// The parts that belong together are drawn together, or not yet.
function refresh(pane, { view, ...sent }) {
  const [text, values, painted] = ["text", "values", "paint"].map((name) =>
    opened(pane, name, sent[name]),
  );
  if (!view || !text || !values || !painted || !pane.mount?.isConnected) return;
  if (text.key !== view.key || values.key !== view.key || painted.stamp !== view.paint) return;
  if (painted.of && painted.of !== values.stamp) return;
  const { classes = null, marks = null } = painted;
  Object.assign(pane, { view, text, values, painted, classes, marks });
  const fresh = build(pane);
  const before = hearPython(pane, view.state);
  pane.root.classList.toggle("narrow", Boolean(view.narrow));
  pane.root.classList.toggle("quiet", Boolean(view.quiet));
  paint(pane);
  if (fresh || before) seatSearch(pane);
  if (fresh || (before && before.token !== pane.state.token)) arrive(pane);
  redescribe(pane);
  if (fresh && pane.held) pane.spans[pane.stop]?.focus({ preventScroll: true });
}

function arrive(pane) {
  const i = pane.state.token ?? pane.hits[pane.state.hit - 1];
  if (!pane.spans[i]) return;
  pane.spans[pane.stop].tabIndex = -1;
  pane.spans[i].tabIndex = 0;
  pane.spans[i].setAttribute("aria-selected", "true");
  pane.stop = i;
  pane.current = i;
  if (pane.root.getRootNode().activeElement !== pane.spans[i])
    bringIntoView(pane.spans[i]);
}

function build(pane) {
  const framed = pane.root?.isConnected && pane.root.parentNode === pane.mount;
  if (framed && pane.built === pane.text.key && pane.layers) return false;
  const held = framed && pane.response?.contains(pane.root.getRootNode().activeElement);
  pane.layers?.drop();
  if (!framed) frame(pane);
  const response = buildWords(pane);
  Object.assign(pane, { built: pane.text.key, current: null, hits: [], now: null });
  pane.state = { ...pane.view.state };
  pane.exchange = new Exchange(JSON.stringify(pane.view.state));
  clearTimeout(pane.timer);
  pane.timer = null;
  pane.words.replaceChildren();
  pane.layers = new Layers(pane.words, pane.spans, pane.id, pane.view.plain);
  pane.layers.watch(pane.blocks);
  // once watched: what comes near the screen is told once
  pane.words.append(...prompts(pane.text), response);
  hintAt(pane);
  pane.held = held;
  return true;
}

function frame(pane) {
  pane.root?.remove();
  pane.root = element("div", "pane");
  pane.words = element("div", "words");
  const reading = element("div", "reading");
  const bar = buildBar(pane),
    legend = buildLegend(pane),
    filters = buildFilters(pane);
  buildCards(pane);
  reading.append(pane.words, pane.side);
  pane.root.append(legend, bar, filters, reading, buildFiles(pane));
  pane.mount.appendChild(pane.root);
  if (pane.tell) offerSkip(pane);
  pane.probe = themeProbe();
  pane.root.append(pane.probe);
  listenToKeys(pane);
}

// The first stop of the Tab key on the page: past menu, controls and tools to the text. It stands
// before all that Streamlit draws, so it is put there from here.
function offerSkip(pane) {
  pane.skip?.remove();
  const skip = button("", "Skip to the text", "", () => {
    pane.spans[pane.stop]?.focus({ preventScroll: true });
    if (pane.spans[pane.stop]) bringIntoView(pane.spans[pane.stop]);
  });
  skip.removeAttribute("title");
  skip.dataset.skip = "text";
  const away = "position: fixed; z-index: 1000000; left: 0.5rem; padding: 0.5rem 1rem; top: ";
  const look = `font: inherit; border: 2px solid; border-radius: 0.35rem; color: CanvasText; background: Canvas; ${away}`;
  skip.style.cssText = `${look}-10rem`;
  skip.addEventListener("focus", () => (skip.style.top = "0.5rem"));
  skip.addEventListener("blur", () => (skip.style.top = "-10rem"));
  document.body.prepend(skip);
  pane.skip = skip;
}

function prompts(text) {
  const found = [];
  const add = (who, words) => {
    const node = element("div", "prompt", printable(words));
    if (who) node.prepend(element("b", "reader", who));
    found.push(node);
  };
  if (text.prompt) add(text.teacher_prompt ? "The student reads: " : "", text.prompt);
  if (text.teacher_prompt) add("The teacher reads: ", text.teacher_prompt);
  return found;
}

function paint(pane) {
  measure(pane);
  const { layers, now, state, marks, view } = pane;
  const { chosen, buckets } = now;
  layers.restyle(view);
  const out = chosen && state.rest !== "underline" ? chosen : null;
  const gone = state.rest === "hide" ? GONE : DIM;
  const fills = view.palette.map((fill, b) => (fill ? `f${b}` : ""));
  layers.refill((i) => (out && !out[i] ? gone : buckets[i] < 0 ? "" : fills[buckets[i]]));
  const seen = (i) => !now.hidden || now.hidden[i] === 1;
  const shown = marksShown(view);
  for (const mark of [1, 2, 3])
    layers.decorate(
      `m${mark}`,
      (i) => marks && marks[i] === mark && shown.includes(mark) && seen(i),
    );
  layers.decorate("lit", (i) => chosen && state.rest === "underline" && chosen[i]);
  drawCut(pane);
  drawBar(pane);
}

function paintCut(pane) {
  // A threshold on its way: only what it changes.
  measure(pane);
  drawCut(pane);
}

function drawCut(pane) {
  const { layers, now } = pane,
    lined = hasCutLine(pane);
  layers.decorate("cut", (i) => lined && now.above[i] && (!now.hidden || now.hidden[i] === 1));
  drawLegend(pane);
  drawFilters(pane);
}

function redescribe(pane) {
  if (pane.current !== null) describe(pane, pane.current);
  drawPins(pane);
}

// What Python says, and what it is told.

// The state that Python's replaces; null where it is no news.
function hearPython(pane, given) {
  const text = JSON.stringify(given),
    news = pane.exchange.hear(text);
  if (
    !news ||
    pane.exchange.asked.length ||
    pane.timer !== null ||
    pane.playing ||
    text === JSON.stringify(pane.state)
  )
    return null;
  const before = pane.state;
  pane.state = { ...given };
  return before;
}

function change(pane, fields, wait = TELL_AFTER_MS) {
  Object.assign(pane.state, fields);
  clearTimeout(pane.timer);
  pane.timer = null;
  if (wait !== null && !pane.playing) pane.timer = setTimeout(() => tellPython(pane), wait);
}

function tellPython(pane) {
  pane.timer = null;
  const text = JSON.stringify(pane.state),
    { exchange } = pane;
  if (!pane.tell || !pane.root.isConnected || text === exchange.latest) return;
  if (exchange.isWaiting) {
    // one rerun at a time: one cut short by the next sends the large parts again
    pane.timer = setTimeout(() => tellPython(pane), TELL_AFTER_MS);
    return;
  }
  exchange.ask(text);
  pane.tell({ ...pane.state, text: pane.view.text_name });
}
