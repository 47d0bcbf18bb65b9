// A heatmap on a canvas: rows and steps as in step_charts.Heatmap. Pixels are written directly; frames, ticks and the box
// lie over them as elements, so that moving one never draws the cells anew. Strings are only ever given to textContent.

const BELOW = 42, RIGHT = 8, GREY = [140, 140, 140], MOST_TALL = 560;
const charts = new WeakMap(); // mount point -> what is drawn there
const HALVES = halves();

export default function (component) {
  const { data, parentElement } = component;
  let chart = charts.get(parentElement);
  if (!chart || !chart.root.isConnected) {
    chart?.root.remove();
    chart = build();
    parentElement.appendChild(chart.root);
    charts.set(parentElement, chart);
    chart.watch.observe(chart.plot);
  }
  chart.tell = (low, high) => component.setTriggerValue("box", { low, high });
  if (chart.data?.cells !== data.cells) chart.values = unpack(data.cells);
  chart.data = data;
  chart.width = 0; // whatever came is drawn
  draw(chart);
}

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// The number that each of the 65,536 half floats stands for.
function halves() {
  const table = new Float32Array(65536);
  for (let h = 0; h < 65536; h++) {
    const sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, part = h & 1023;
    table[h] = exponent === 31 ? (part ? NaN : sign * Infinity)
      : exponent ? sign * 2 ** (exponent - 15) * (1 + part / 1024) : sign * 2 ** -14 * (part / 1024);
  }
  return table;
}

function unpack(text) {
  const raw = atob(text);
  const values = new Float32Array(raw.length / 2);
  for (let i = 0; i < values.length; i++) values[i] = HALVES[raw.charCodeAt(2 * i) | (raw.charCodeAt(2 * i + 1) << 8)];
  return values;
}

function build() {
  const root = element("div", "heatmap");
  const parts = { theme: element("span", "theme"), heading: element("p", "heading"), about: element("p", "about"), legend: element("div", "legend") };
  const plot = element("div", "plot");
  const canvas = element("canvas", "");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application"); // arrow keys walk the cells
  canvas.setAttribute("aria-roledescription", "heatmap");
  const readout = element("p", "readout"), note = element("p", "note");
  readout.setAttribute("aria-live", "polite");
  const over = element("div", "over");
  plot.append(canvas, over);
  root.append(...Object.values(parts), plot, readout, note);
  const chart = { root, ...parts, plot, canvas, over, readout, note, width: 0, at: null, anchor: null, drag: null, data: null };
  chart.box = element("div", "frame box");
  chart.cell = element("div", "frame at");
  chart.watch = new ResizeObserver(() => chart.root.isConnected && draw(chart));
  parts.theme.addEventListener("transitionend", () => {
    chart.width = 0;
    draw(chart);
  });
  listen(chart);
  return chart;
}

// Places: along the rows and along the steps, in pixels from the canvas' corner.

function place(chart) {
  const { names, steps, flat, stepEdges } = chart.data;
  const left = flat ? 62 : Math.min(150, chart.width * 0.3);
  const room = Math.max(40, chart.width - left - RIGHT);
  const tall = Math.max(150, Math.min(MOST_TALL, flat ? 34 * steps.length : 24 * names.length));
  const from = stepEdges[0], span = stepEdges.at(-1) - from, size = flat ? room : tall;
  const step = (i) => flat ? tall - ((stepEdges[i] - from) / span) * tall : ((stepEdges[i] - from) / span) * room;
  Object.assign(chart, { left, room, tall, step, row: (i) => (i / names.length) * size });
}

function rectangle(chart, rows, steps) {
  const a = [chart.row(rows[0]), chart.row(rows[1] + 1)], b = [chart.step(steps[0]), chart.step(steps[1] + 1)].sort((x, y) => x - y);
  return chart.data.flat ? [a, b] : [b, a];
}

function seat(chart, node, rows, steps) {
  const [[x0, x1], [y0, y1]] = rectangle(chart, rows, steps);
  Object.assign(node.style, { left: `${chart.left + x0}px`, width: `${Math.max(2, x1 - x0)}px`, top: `${y0}px`, height: `${Math.max(2, y1 - y0)}px` });
  return node;
}

function cellAt(chart, event) {
  const corner = chart.canvas.getBoundingClientRect();
  const x = event.clientX - corner.left, y = event.clientY - corner.top;
  const { names, steps, flat } = chart.data;
  const [along, across, size] = flat ? [x, y, chart.room] : [y, x, chart.tall];
  const row = Math.max(0, Math.min(names.length - 1, Math.floor((along / size) * names.length)));
  let step = steps.findIndex((_, i) => (across - chart.step(i)) * (across - chart.step(i + 1)) <= 0);
  if (step < 0) step = (flat ? y > 0 : x < 0) ? 0 : steps.length - 1;
  return { row, step };
}

// Hand and keyboard.

function listen(chart) {
  const { canvas } = chart;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    point(chart, cellAt(chart, event));
    chart.drag = { pointer: event.pointerId, from: chart.at.row };
    span(chart, chart.at.row, chart.at.row);
  });
  canvas.addEventListener("pointermove", (event) => {
    point(chart, cellAt(chart, event));
    if (chart.drag?.pointer === event.pointerId) span(chart, chart.drag.from, chart.at.row);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (chart.drag?.pointer !== event.pointerId) return;
    const { from } = chart.drag;
    chart.drag = null;
    tell(chart, from, cellAt(chart, event).row);
  });
  canvas.addEventListener("pointercancel", () => { chart.drag = null; chart.box.remove(); });
  canvas.addEventListener("pointerleave", () => { if (!chart.drag && document.activeElement !== canvas) chart.cell.remove(); });
  canvas.addEventListener("blur", () => { chart.cell.remove(); chart.box.remove(); });
  canvas.addEventListener("keydown", (event) => key(chart, event));
}

function key(chart, event) {
  const { names, steps, flat } = chart.data;
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const at = chart.at ?? { row: 0, step: steps.indexOf(chart.data.step) };
  const moves = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1], PageDown: [0, 10], PageUp: [0, -10] };
  let { row, step } = at;
  if (moves[event.key]) {
    const [x, y] = moves[event.key];
    if (!chart.at) { /* the first key shows where it stands */ } else if (flat) { row += x; step -= y; } else { row += y; step += x; }
  } else if (event.key === "Home") row = 0;
  else if (event.key === "End") row = names.length - 1;
  else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    return tell(chart, chart.anchor ?? row, row);
  } else if (event.key === "Escape") {
    chart.anchor = null;
    return chart.box.remove();
  } else return;
  event.preventDefault();
  chart.anchor = event.shiftKey ? chart.anchor ?? at.row : null;
  point(chart, { row: Math.max(0, Math.min(names.length - 1, row)), step: Math.max(0, Math.min(steps.length - 1, step)) });
  if (chart.anchor !== null) span(chart, chart.anchor, chart.at.row);
  else chart.box.remove();
}

function point(chart, at) {
  chart.at = at;
  chart.over.append(seat(chart, chart.cell, [at.row, at.row], [at.step, at.step]));
  const { names, steps, logged, signal, unit, flat, per, gone, rows } = chart.data;
  const value = chart.values[at.row * steps.length + at.step];
  const said = !logged[at.step] ? "this step is not logged" : Number.isNaN(value) ? gone.replace("dotted: ", "") : `${signal} ${number(value)} ${unit}`;
  const first = at.row * per, last = first + per - 1;
  const where = flat ? `position ${per > 1 ? `${first}–${last}` : first}` : per > 1 ? `${rows} ${first + 1}–${last + 1}` : "";
  chart.readout.textContent = [names[at.row], where, `step ${steps[at.step]}`, per > 1 ? `mean ${said}` : said].filter(Boolean).join(" · ");
}

function span(chart, a, b) {
  if (!chart.data.selectable) return;
  chart.over.append(seat(chart, chart.box, [Math.min(a, b), Math.max(a, b)], [0, chart.data.steps.length - 1]));
}

function tell(chart, a, b) {
  chart.anchor = null;
  if (chart.data.selectable) chart.tell(Math.min(a, b), Math.max(a, b));
}

function number(x) {
  return String(Number(x.toPrecision(3))).replace("-", "−");
}

// Drawing.

function draw(chart) {
  const { width } = chart.plot.getBoundingClientRect();
  if (!width || !chart.data || width === chart.width) return;
  chart.width = width;
  place(chart);
  const { data, canvas, plot } = chart;
  plot.style.height = `${chart.tall + BELOW}px`;
  plot.classList.toggle("fixed", !data.selectable);
  Object.assign(canvas.style, { left: `${chart.left}px`, top: "0", width: `${chart.room}px`, height: `${chart.tall}px` });
  const began = performance.now();
  const dense = paint(chart);
  canvas.dataset.ms = (performance.now() - began).toFixed(1);
  chart.heading.textContent = data.title;
  chart.about.textContent = data.about;
  legend(chart);
  chart.over.replaceChildren(...frames(chart), ...ticks(chart));
  const how = data.selectable ? ` Drag to select ${data.rows}s, or press arrow keys, Shift to extend, Enter.` : " Arrow keys read the cells.";
  chart.note.textContent = (dense ? "A pixel covers several cells here and shows their mean." : "") + how;
  const missing = data.logged.filter((there) => !there).length;
  canvas.setAttribute("aria-label", `${data.title}. ${data.names.length} ${data.rows}s by ${data.steps.length} steps, ${data.steps[0]} to ` +
    `${data.steps.at(-1)}, ${missing} of them not logged. Cursor at step ${data.step}.${how}`);
}

function dark(chart) {
  return getComputedStyle(chart.theme).color === "rgb(255, 255, 255)";
}

function rgba(colour) {
  return colour.startsWith("#") ? [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)).concat(255) : [0, 0, 0, 0];
}

// Each pixel takes the mean of the cells it covers; each cell takes at least one pixel.
function paint(chart) {
  const { data, canvas, values } = chart;
  const scale = window.devicePixelRatio || 1;
  const wide = (canvas.width = Math.round(chart.room * scale)), high = (canvas.height = Math.round(chart.tall * scale));
  const R = data.names.length, S = data.steps.length;
  const limit = (x, most) => Math.max(0, Math.min(most, Math.round(x * scale)));
  const rows = Array.from({ length: R }, (_, i) => range(limit(chart.row(i), data.flat ? wide : high), limit(chart.row(i + 1), data.flat ? wide : high), data.flat ? wide : high));
  const steps = data.steps.map((_, i) => range(limit(chart.step(i), data.flat ? high : wide), limit(chart.step(i + 1), data.flat ? high : wide), data.flat ? high : wide));
  const sums = new Float32Array(wide * high), counts = new Uint16Array(wide * high);
  const kinds = new Uint8Array(wide * high); // 1: not logged, 2: no value
  for (let r = 0; r < R; r++) {
    for (let s = 0; s < S; s++) {
      const value = values[r * S + s], kind = !data.logged[s] ? 1 : value !== value ? 2 : 0;
      const [x0, x1] = data.flat ? rows[r] : steps[s], [y0, y1] = data.flat ? steps[s] : rows[r];
      for (let y = y0; y < y1; y++) {
        for (let i = y * wide + x0; i < y * wide + x1; i++) {
          if (kind) kinds[i] = kind;
          else { sums[i] += value; counts[i]++; }
        }
      }
    }
  }
  const colours = data.palette.map((pair) => rgba(pair[dark(chart) ? 1 : 0]));
  canvas.getContext("2d").putImageData(picture({ sums, counts, kinds, wide, high, scale }, colours, data.edges), 0, 0);
  return R > (data.flat ? wide : high) || S > (data.flat ? high : wide);
}

function range(a, b, most) {
  const low = Math.min(a, b, most - 1);
  return [low, Math.max(low + 1, Math.max(a, b))];
}

function picture({ sums, counts, kinds, wide, high, scale }, colours, edges) {
  const image = new ImageData(wide, high);
  const pixels = image.data, period = Math.round(8 * scale);
  for (let y = 0, i = 0; y < high; y++) {
    for (let x = 0; x < wide; x++, i++) {
      let colour = null;
      if (counts[i]) {
        const value = sums[i] / counts[i];
        let b = 0;
        while (b < edges.length && value >= edges[b]) b++;
        colour = colours[b];
      } else if (kinds[i] === 1 ? (x + y) % period < 1.5 * scale : kinds[i] === 2 && x % period < 2 * scale && y % period < 2 * scale) {
        colour = [...GREY, 255];
      }
      if (colour) pixels.set(colour, 4 * i);
    }
  }
  return image;
}

function legend(chart) {
  const { data, values } = chart;
  const key = (className, text, pair) => {
    const node = element("span", "key");
    const swatch = element("span", `swatch ${className}`);
    if (pair) swatch.style.background = `light-dark(${pair[0]}, ${pair[1]})`;
    node.append(swatch, element("span", "", text));
    return node;
  };
  const nodes = [element("b", "", data.unit ? `${data.signal} (${data.unit})` : data.signal)];
  data.palette.forEach((pair, i) => nodes.push(key("", i === 0 ? `below ${data.edgeLabels[0] ?? "all"}` : `from ${data.edgeLabels[i - 1]}`, pair)));
  if (data.logged.includes(false)) nodes.push(key("missing", data.notLogged));
  if (values.some((v, i) => v !== v && data.logged[i % data.steps.length])) nodes.push(key("gone", data.gone));
  chart.legend.replaceChildren(...nodes);
}

function frames(chart) {
  const { data } = chart, last = data.names.length - 1, at = data.steps.indexOf(data.step);
  const cursor = seat(chart, element("div", "frame cursor"), [0, last], [at, at]);
  return [cursor, ...data.marked.map((span) => seat(chart, element("div", "frame marked"), span, [0, data.steps.length - 1]))];
}

function ticks(chart) {
  const { data } = chart, nodes = [];
  const [along, across] = data.flat ? ["below", "left"] : ["left", "below"];
  const put = (side, at, text) => {
    const node = element("span", `tick ${side}`, text);
    if (side === "left") Object.assign(node.style, { top: `${at}px`, left: "18px", width: `${chart.left - 24}px` });
    else Object.assign(node.style, { left: `${chart.left + at}px`, top: `${chart.tall + 4}px` });
    nodes.push(node);
  };
  const n = data.names.length, room = data.flat ? chart.room : chart.tall;
  const every = data.flat ? round(n * data.per / Math.max(2, room / 70)) / data.per : Math.max(1, Math.ceil((15 * n) / room));
  for (let i = 0; i < n; i += Math.max(every, 1 / data.per)) {
    const middle = (chart.row(Math.floor(i)) + chart.row(Math.floor(i) + 1)) / 2;
    put(along, middle, data.flat ? String(Math.round(Math.floor(i) * data.per)) : data.names[Math.floor(i)]);
  }
  let free = -Infinity;
  const nice = round((data.steps.at(-1) - data.steps[0]) / Math.max(2, data.flat ? chart.tall / 24 : chart.room / 60));
  const round_ones = data.steps.filter((step) => step % nice === 0);
  const shown = new Set(round_ones.length > 2 ? round_ones : data.steps);
  data.steps.map((step, i) => [(chart.step(i) + chart.step(i + 1)) / 2, step]).sort((a, b) => a[0] - b[0]).forEach(([at, step]) => {
    if (at < free || !shown.has(step)) return;
    free = at + (data.flat ? 16 : 48);
    put(across, at, String(step));
  });
  const below = element("span", "name below", data.flat ? `${data.rows} (tokens)` : "step (updates)");
  Object.assign(below.style, { left: `${chart.left + chart.room / 2}px`, top: `${chart.tall + 22}px` });
  const left = element("span", "name left", data.flat ? "step (updates)" : data.rows);
  Object.assign(left.style, { left: "7px", top: `${chart.tall / 2}px` });
  return [...nodes, below, left];
}

// A step between ticks that reads well: 1, 2 or 5 times a power of ten.
function round(x) {
  const power = 10 ** Math.floor(Math.log10(Math.max(x, 1)));
  return [1, 2, 5, 10].map((m) => m * power).find((m) => m >= x) ?? power;
}
