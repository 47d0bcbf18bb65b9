// A histogram with thresholds to drag. The drawing is built once; new thresholds only move what is
// there, and what the handles count is worked out here, from the bins. What follows from them is
// looked up in the courses that came along (readings.js). Strings are only ever given to
// textContent.

const HEIGHT = 192,
  TOP = 28,
  FLOOR = 154; // of the plot in pixels; labels stand above TOP, the axis below FLOOR
const LEFT = 40,
  RIGHT = 8,
  SIDE = 18,
  BREAK = 5; // SIDE: width of the bins below and above all edges, which have no width
const EVERY_MS = 120; // at most one message to Python in this time
const SYMBOLS = { tau_pre: "τ_pre", tau_post: "τ_post" };
const LOOKS = ["first", "second"];

export default function (component) {
  const { data } = component;
  const [chart, isNew] = mounted(component, () => buildChart(data));
  if (isNew) chart.watch.observe(chart.plot);
  chart.tell = (value) => component.setTriggerValue("moved", value);
  chart.data = data;
  hearPython(chart, data.thresholds);
  seatHandles(chart);
  draw(chart);
}

function buildChart(data) {
  const root = element("div", "chart");
  const plot = element("div", "plot");
  plot.style.height = `${HEIGHT}px`;
  const svg = shape("svg", { role: "img" });
  const shades = shape("g", {});
  const art = shape("g", {});
  svg.append(shades, art);
  plot.append(svg);
  const readings = element("div", "readings");
  const counts = element("ul", "counts");
  const note = element("p", "caption");
  root.append(readings, plot, counts, note);
  const given = { ...data.thresholds };
  const chart = {
    root,
    plot,
    svg,
    shades,
    art,
    readings,
    cells: [],
    counts,
    note,
    data,
    handles: [],
    lines: [],
    seated: "",
    drawn: "",
    cut: "",
    width: 0,
  };
  chart.exchange = new Exchange(given, sameThresholds);
  // value: where the handles stand
  // gesture: how often a handle was taken up, by pointer or key; base: the numbers at its begin
  Object.assign(chart, { value: { ...given }, held: null, timer: null, gesture: Date.now(), base: null });
  chart.watch = new ResizeObserver(() => {
    if (chart.root.isConnected) draw(chart);
  });
  return chart;
}

// What Python says and what the hand does.

function sameThresholds(a, b) {
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Math.abs(a[name] - b[name]) <= 1e-5 * Math.abs(a[name]))
  );
}

function hearPython(chart, given) {
  chart.exchange.hear(given);
  settle(chart);
}

function settle(chart) {
  if (chart.held === null && chart.timer === null && !chart.exchange.asked.length)
    chart.value = { ...chart.exchange.given };
}

function moveHandle(chart, handle, value) {
  for (const name of handle.names) chart.value[name] = value;
  placeHandles(chart);
  const wait = chart.exchange.sentAt + EVERY_MS - Date.now();
  if (wait <= 0) tellPython(chart);
  else chart.timer ??= setTimeout(() => tellPython(chart), wait);
}

// What was moved before is told as of the gesture before.
function beginGesture(chart) {
  if (chart.timer !== null) tellPython(chart);
  chart.base = readNumbers(chart);
  chart.gesture++;
}

function tellPython(chart) {
  clearTimeout(chart.timer);
  chart.timer = null;
  if (!chart.root.isConnected || sameThresholds(chart.value, chart.exchange.latest)) return;
  chart.exchange.ask({ ...chart.value });
  chart.tell({ ...chart.value, gesture: chart.gesture });
}

// Handles.

function seatHandles(chart) {
  const { thresholds, linked } = chart.data;
  const names = Object.keys(thresholds);
  const groups = linked ? [names] : names.map((name) => [name]);
  const wanted = JSON.stringify(groups);
  if (chart.seated === wanted || chart.held !== null) return;
  chart.seated = wanted;
  chart.drawn = ""; // the counts name the handles
  chart.exchange.asked = [];
  chart.value = { ...chart.exchange.given };
  for (const handle of chart.handles) handle.root.remove();
  chart.handles = groups.map((group, i) =>
    seatHandle(chart, group, group.length > 1 ? "both" : LOOKS[i], groups.length > 1 ? i : 0.5),
  );
  chart.shades.replaceChildren(...chart.handles.map((handle) => handle.shade));
  chart.plot.append(...chart.handles.map((handle) => handle.root));
}

function seatHandle(chart, names, look, row) {
  const root = element("div", `handle ${look}`);
  root.style.height = `${FLOOR}px`;
  const grip = element("div", "grip");
  // two grips at two heights, so that neither hides the other
  grip.style.top = `${TOP + 20 + 40 * row}px`;
  const label = element("div", "label");
  root.append(element("div", "line"), grip, label);
  root.tabIndex = 0;
  root.setAttribute("role", "slider");
  const handle = {
    root,
    label,
    names,
    symbol: names.map((name) => SYMBOLS[name] ?? name).join(" = "),
  };
  root.setAttribute("aria-label", `Threshold ${handle.symbol}`);
  handle.shade = shape("rect", { class: `shade ${look}`, y: TOP, height: FLOOR - TOP });
  listenToHandle(chart, handle);
  return handle;
}

function listenToHandle(chart, handle) {
  const { root } = handle;
  const x = (event) => event.clientX - chart.plot.getBoundingClientRect().left;
  root.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || chart.held !== null) return;
    event.preventDefault(); // no text selection; and so the focus has to be given
    root.focus({ preventScroll: true });
    root.setPointerCapture(event.pointerId);
    root.classList.add("held");
    chart.held = { handle, pointer: event.pointerId, from: x(event), grab: x(event) - handle.x };
    beginGesture(chart);
  });
  root.addEventListener("pointermove", (event) => {
    if (chart.held?.pointer !== event.pointerId || x(event) === chart.held.from) return;
    chart.held.from = null; // from here on it is a drag, also back to where it began
    moveHandle(chart, handle, stopAt(chart, handle, x(event) - chart.held.grab));
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    root.addEventListener(end, (event) => {
      if (chart.held?.pointer !== event.pointerId) return;
      chart.held = null;
      root.classList.remove("held");
      tellPython(chart);
      settle(chart);
      seatHandles(chart);
      draw(chart);
    });
  }
  root.addEventListener("keydown", (event) => {
    const value = nextEdge(chart.data.histogram.edges, chart.value[handle.names[0]], event);
    if (value === null) return;
    event.preventDefault();
    if (!event.repeat) beginGesture(chart); // a key that is kept down is one
    if (value !== chart.value[handle.names[0]]) moveHandle(chart, handle, value);
  });
}

function nextEdge(edges, value, { key, shiftKey, altKey, ctrlKey, metaKey }) {
  const last = edges.length - 1;
  if (altKey || ctrlKey || metaKey) return null;
  if (key === "Home") return edges[0];
  if (key === "End") return edges[last];
  const far = shiftKey || key.startsWith("Page") ? 9 : 0;
  if (["ArrowRight", "ArrowUp", "PageUp"].includes(key)) {
    const next = edges.findIndex((edge) => edge > value && !isEdge(edge, value));
    return next < 0 ? value : edges[Math.min(next + far, last)];
  }
  if (["ArrowLeft", "ArrowDown", "PageDown"].includes(key)) {
    const next = edges.findLastIndex((edge) => edge < value && !isEdge(edge, value));
    return next < 0 ? value : edges[Math.max(next - far, 0)];
  }
  return null;
}

// Counting.

function isEdge(edge, value) {
  return Math.abs(edge - value) <= 1e-9 * edge;
}

function sum(counts) {
  return counts.reduce((a, b) => a + b, 0);
}

function countAbove(counts, edges, value) {
  const on = edges.findIndex((edge) => isEdge(edge, value));
  if (on >= 0) return { n: sum(counts.slice(on + 1)), how: "" };
  const b = bin(value, edges);
  const n = sum(counts.slice(b + 1)),
    inside = counts[b];
  if (!inside) return { n, how: "" };
  if (b === 0) return { n, how: "at least " }; // where the tokens of an open bin lie is not known
  if (b === edges.length) return { n: inside, how: "at most " };
  const part = Math.log(edges[b] / value) / Math.log(edges[b] / edges[b - 1]);
  return { n: n + Math.round(inside * part), how: "about " };
}

function sentence({ name, counts }, chart, handle) {
  const total = sum(counts);
  if (!total) return `${name}: nothing logged`;
  const { n, how } = countAbove(counts, chart.data.histogram.edges, chart.value[handle.names[0]]);
  return `${name}: ${how}${whole(n)} of ${whole(total)} tokens (${percent(n, total, 1)}) at or above ${handle.symbol}`;
}

function compact(n) {
  return n.toLocaleString("en", { notation: "compact" });
}

// The axis: SIDE for the bin below all edges, BREAK, the logarithmic part, BREAK, SIDE for the bin
// above.

function ends(chart) {
  return [LEFT + SIDE + BREAK, chart.width - RIGHT - SIDE - BREAK];
}

function xOf(chart, value) {
  const { edges } = chart.data.histogram;
  const [low, high] = ends(chart);
  if (value < edges[0] && !isEdge(edges[0], value)) return LEFT + SIDE / 2;
  if (value > edges.at(-1) && !isEdge(edges.at(-1), value)) return chart.width - RIGHT - SIDE / 2;
  return clamp(
    low + ((high - low) * Math.log(value / edges[0])) / Math.log(edges.at(-1) / edges[0]),
    low,
    high,
  );
}

function valueAt(chart, x) {
  const { edges } = chart.data.histogram;
  const [low, high] = ends(chart);
  const value = edges[0] * (edges.at(-1) / edges[0]) ** ((x - low) / (high - low));
  return clamp(Number(value.toPrecision(3)), edges[0], edges.at(-1));
}

// Where a drag puts a handle: where numbers are known, only there.
function stopAt(chart, handle, x) {
  const value = valueAt(chart, x);
  const at = courseOf(chart, handle.names)?.at ?? [];
  return value < at[0] || !at.length ? value : nearest(at, value);
}

// Drawing: `draw` for new bins or another width, `place` for the handles alone.

function draw(chart) {
  const { histogram, caption } = chart.data;
  const { width } = chart.plot.getBoundingClientRect();
  const wanted = JSON.stringify(histogram);
  if (width && (chart.width !== width || chart.drawn !== wanted)) {
    Object.assign(chart, { width, drawn: wanted });
    drawBars(chart, histogram);
    listCounts(chart, histogram.series);
  }
  listNumbers(chart);
  if (chart.width) placeHandles(chart);
  write(chart.note, `${caption} Height: square root of the number of tokens${chart.cut}.`);
}

function drawBars(chart, { edges, series, unit }) {
  // The bin below all edges holds a large part of all tokens: it may not set the scale, and is cut
  // where it exceeds it.
  const scale =
    Math.max(0, ...series.flatMap(({ counts }) => counts.slice(1))) ||
    Math.max(0, ...series.map(({ counts }) => counts[0]));
  const cut = series.filter(({ counts }) => counts[0] > scale);
  const ceiling = TOP + (cut.length ? 18 : 8); // room for the counts of the bin that is cut
  const y = (n) => Math.max(TOP, FLOOR - (FLOOR - ceiling) * Math.sqrt(n / (scale || 1)));
  const [low, high] = ends(chart);
  chart.cut = cut.length ? `; the bin below ${threeDigits(edges[0])} is cut at the top` : "";
  chart.art.replaceChildren(...(scale ? drawLevels(chart, scale, y) : []));
  series.forEach(({ counts }, i) =>
    chart.art.append(shape("path", { class: `bars ${LOOKS[i]}`, d: outline(chart, counts, y) })),
  );
  if (cut.length) {
    chart.art.append(shape("path", { class: "gap", d: `M${LEFT - 3},${TOP + 15}l${SIDE + 6},-7` }));
    const text = cut.map(({ name, counts }) => `${name}: ${whole(counts[0])}`).join(", ");
    chart.art.append(shape("text", { class: "cut", x: low, y: TOP + 11 }, text));
  }
  const floor = `M${LEFT},${FLOOR}h${SIDE}M${low},${FLOOR}H${high}M${high + BREAK},${FLOOR}h${SIDE}`;
  chart.art.append(shape("path", { class: "axis", d: floor }));
  drawTicks(chart, edges, unit);
  const middle = { x: (low + high) / 2, y: FLOOR - 10, class: "empty", "text-anchor": "middle" };
  if (!scale) chart.art.append(shape("text", middle, "Nothing logged"));
  const tokens =
    series.map(({ name, counts }) => `${name}, ${whole(sum(counts))} tokens`).join("; ") ||
    "nothing logged";
  const range = `from ${threeDigits(edges[0])} to ${threeDigits(edges.at(-1))} ${unit}`;
  chart.svg.setAttribute("aria-label", `Histogram in ${edges.length + 1} bins ${range}: ${tokens}`);
}

function outline(chart, counts, y) {
  if (!sum(counts)) return "";
  const { edges } = chart.data.histogram;
  const [low, high] = ends(chart);
  const last = counts.length - 1;
  const box = (x, n) => (n ? `M${x},${FLOOR}V${y(n)}h${SIDE}V${FLOOR}` : "");
  const steps = counts.slice(1, last).map((n, i) => `V${y(n)}H${xOf(chart, edges[i + 1])}`);
  return `${box(LEFT, counts[0])}M${low},${FLOOR}${steps.join("")}V${FLOOR}${box(high + BREAK, counts[last])}`;
}

function drawLevels(chart, scale, y) {
  const nice = [];
  for (let power = 1; power <= scale; power *= 10) nice.push(power, 2 * power, 5 * power);
  const nodes = [];
  let free = TOP - 8;
  for (const n of [...nice.filter((n) => n <= scale).reverse(), 0]) {
    if (y(n) < free || (n && y(n) > FLOOR - 16)) continue;
    free = y(n) + 30;
    if (n)
      nodes.push(shape("path", { class: "grid", d: `M${LEFT},${y(n)}H${chart.width - RIGHT}` }));
    nodes.push(shape("text", { x: LEFT - 6, y: y(n) + 4, "text-anchor": "end" }, compact(n)));
  }
  return nodes;
}

function drawTicks(chart, edges, unit) {
  const [low, high] = ends(chart);
  const baseline = FLOOR + 17;
  const texts = [
    shape("text", { x: LEFT, y: baseline }, `< ${threeDigits(edges[0])}`),
    shape(
      "text",
      { x: chart.width - RIGHT, y: baseline, "text-anchor": "end" },
      `≥ ${threeDigits(edges.at(-1))}`,
    ),
  ];
  chart.art.append(...texts);
  const taken = texts.map((text) => text.getBBox());
  let marks = "";
  for (let power = Math.floor(Math.log10(edges[0])); 10 ** power <= edges.at(-1); power++) {
    for (let digit = 1; digit < 10; digit++) {
      const value = Number(`${digit}e${power}`);
      if (value < edges[0] || value > edges.at(-1)) continue;
      const x = xOf(chart, value);
      if (high - low > 400 || digit === 1) marks += `M${x},${FLOOR}v${digit === 1 ? 6 : 3}`;
      if (digit !== 1) continue;
      const text = shape("text", { x, y: baseline, "text-anchor": "middle" }, threeDigits(value));
      chart.art.append(text);
      const box = text.getBBox();
      if (
        taken.some((other) => box.x < other.x + other.width + 6 && other.x < box.x + box.width + 6)
      )
        text.remove();
      else taken.push(box);
    }
  }
  chart.art.append(shape("path", { class: "axis", d: marks }));
  chart.art.append(
    shape(
      "text",
      { x: (low + high) / 2, y: baseline + 16, "text-anchor": "middle" },
      `${unit} per token, logarithmic`,
    ),
  );
}

function listCounts(chart, series) {
  const n = Math.max(series.length, chart.handles.length);
  chart.lines = Array.from({ length: series.length ? n : 0 }, (_, i) => {
    const of = Math.min(i, series.length - 1);
    const row = element("li", "");
    const text = element("span", "count");
    row.append(element("span", `swatch ${LOOKS[of]}`), text);
    return {
      row,
      text,
      series: series[of],
      handle: chart.handles[Math.min(i, chart.handles.length - 1)],
    };
  });
  chart.counts.replaceChildren(...chart.lines.map(({ row }) => row));
}

function placeHandles(chart) {
  const { edges, unit } = chart.data.histogram;
  for (const { text, series, handle } of chart.lines) write(text, sentence(series, chart, handle));
  const told = writeNumbers(chart);
  for (const handle of chart.handles) {
    const value = chart.value[handle.names[0]];
    const { root, label, shade } = handle;
    handle.x = xOf(chart, value);
    root.style.left = `${handle.x}px`;
    shade.setAttribute("x", handle.x);
    shade.setAttribute("width", Math.max(0, chart.width - RIGHT - handle.x));
    write(label, `${handle.symbol} ${threeDigits(value)} ${unit}`);
    root.setAttribute("aria-valuemin", edges[0]);
    root.setAttribute("aria-valuemax", edges.at(-1));
    root.setAttribute("aria-valuenow", clamp(value, edges[0], edges.at(-1)));
    const counted = chart.lines
      .filter((line) => line.handle === handle)
      .map((line) => line.text.textContent);
    const said = [`${threeDigits(value)} ${unit}`, ...told, ...counted];
    root.setAttribute("aria-valuetext", said.join("; "));
  }
  spreadLabels(chart);
}

function spreadLabels(chart) {
  // Each label over its line, pushed in from the borders, and apart where two would overlap.
  const room = chart.width;
  const labels = chart.handles.map(({ x, label }) => ({
    x,
    label,
    width: Math.ceil(label.getBoundingClientRect().width),
  }));
  labels.sort((a, b) => a.x - b.x);
  for (const item of labels) item.left = clamp(item.x - item.width / 2, 0, room - item.width);
  const [a, b] = labels;
  const fit = !b || a.width + 4 + b.width <= room;
  if (b && fit && b.left < a.left + a.width + 4) {
    a.left = clamp((a.x + b.x) / 2 - a.width - 2, 0, room - a.width - 4 - b.width);
    b.left = a.left + a.width + 4;
  }
  labels.forEach(({ x, label, left }, i) => {
    label.style.left = `${left - x + 8}px`; // 8: half of the handle's own width
    label.style.top = fit || i === 0 ? "0" : "22px";
  });
}
