// Where things stand: rows and steps in pixels from the corner of the canvas, and the labels around
// it.

const MOST_TALL = 640; // of all rows, or of all steps where the rows run right
const CELL = { row: 24, step: 72, flatRow: 24, flatStep: 26 }; // the largest: few cells stay cells
const FRAME = 2,
  LEAST_WIDE = 72;
// at 16 px a letter of the page, and as much larger as that is
const SIZES = { label: 14, letter: 12, axis: 18, below: 42 };

function sizes() {
  const larger = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
  return Object.fromEntries(Object.entries(SIZES).map(([name, px]) => [name, px * larger]));
}

function place(chart) {
  const { names, steps, flat, stepEdges } = chart.data;
  const widest = (texts) =>
    Math.ceil(Math.max(0, ...texts.map((text) => chart.pen.measureText(text).width)));
  const { letter, label, axis } = (chart.sizes = sizes());
  chart.pen.font = `${letter}px ${getComputedStyle(chart.root).fontFamily}`;
  const most = 0.3 * chart.width;
  const left = axis + 8 + Math.min(most, widest(flat ? steps.map(String) : names.slice(0, 2000)));
  const right = 2 + widest([String(steps.at(-1)), String(names.length)]) / 2;
  const wish = flat ? CELL.flatRow * names.length : CELL.step * steps.length;
  const rowTall = Math.max(CELL.row, label + 4),
    stepTall = Math.max(CELL.flatStep, label + 4);
  const room = Math.max(40, Math.min(chart.width - left - right, Math.max(LEAST_WIDE, wish)));
  const tall = Math.min(MOST_TALL, flat ? stepTall * steps.length : rowTall * names.length);
  const from = stepEdges[0],
    extent = stepEdges.at(-1) - from;
  const along = (i) => (stepEdges[i] - from) / extent;
  const step = flat ? (i) => tall - along(i) * tall : (i) => along(i) * room;
  const row = (i) => (i / names.length) * (flat ? room : tall);
  Object.assign(chart, { left, room, tall, step, row });
}

// The pixels that spans of rows and of steps cover: [left, right], [top, bottom].
function rectangle(chart, rows, steps) {
  const ofRows = [chart.row(rows[0]), chart.row(rows[1] + 1)];
  const ofSteps = [chart.step(steps[0]), chart.step(steps[1] + 1)].sort((a, b) => a - b);
  return chart.data.flat ? [ofRows, ofSteps] : [ofSteps, ofRows];
}

// A frame lies around its cells, so that it hides none of them, however thin.
function seat(chart, node, rows, steps) {
  const [[x0, x1], [y0, y1]] = rectangle(chart, rows, steps);
  const [left, top] = [`${chart.left + x0 - FRAME}px`, `${y0 - FRAME}px`];
  const [width, height] = [Math.max(1, x1 - x0), Math.max(1, y1 - y0)].map(
    (size) => `${size + 2 * FRAME}px`,
  );
  Object.assign(node.style, { left, top, width, height });
  return node;
}

function cellAt(chart, event) {
  const corner = chart.canvas.getBoundingClientRect();
  const x = event.clientX - corner.left,
    y = event.clientY - corner.top;
  const { names, steps, flat } = chart.data;
  const [along, across, size] = flat ? [x, y, chart.room] : [y, x, chart.tall];
  const row = clamp(Math.floor((along / size) * names.length), 0, names.length - 1);
  const holds = (i) => (across - chart.step(i)) * (across - chart.step(i + 1)) <= 0;
  const found = steps.findIndex((_, i) => holds(i));
  const first = flat ? y > 0 : x < 0; // outside: the nearer end
  return { row, step: found >= 0 ? found : first ? 0 : steps.length - 1 };
}

function frames(chart) {
  const { steps, marked } = chart.data;
  return marked.map((rows) =>
    seat(chart, element("div", "frame marked"), rows, [0, steps.length - 1]),
  );
}

// Labels of rows, labels of steps and the names of both axes.
function ticks(chart) {
  const { rows, flat } = chart.data;
  const put = (side, at, text) => {
    const node = element("span", `tick ${side}`, text);
    const [left, top] = side === "left" ? [chart.sizes.axis, at] : [chart.left + at, chart.tall + 4];
    Object.assign(node.style, { left: `${left}px`, top: `${top}px` });
    if (side === "left") node.style.width = `${chart.left - chart.sizes.axis - 6}px`;
    return node;
  };
  const labels = [
    ...rowTicks(chart).map(([at, text]) => put(flat ? "below" : "left", at, text)),
    ...stepTicks(chart).map(([at, text]) => put(flat ? "left" : "below", at, text)),
  ];
  const below = element("span", "name below", flat ? `${rows} (tokens)` : "step (updates)");
  Object.assign(below.style, {
    left: `${chart.left + chart.room / 2}px`,
    top: `${chart.tall + chart.sizes.label + 8}px`,
  });
  const steps = chart.tall < 90 ? "step" : "step (updates)"; // on its side, no longer than the map
  const left = element("span", "name left", flat ? steps : rows);
  Object.assign(left.style, { left: `${chart.sizes.label / 2}px`, top: `${chart.tall / 2}px` });
  return [...labels, below, left];
}

function rowTicks(chart) {
  const { names, flat, per } = chart.data;
  const room = flat ? chart.room : chart.tall,
    n = names.length;
  const middle = (i) => (chart.row(i) + chart.row(i + 1)) / 2;
  if (!flat) {
    const every = Math.max(1, Math.ceil((chart.sizes.label * n) / room));
    return names.map((name, i) => [middle(i), name]).filter((_, i) => i % every === 0);
  }
  // positions of the log: round ones, in whichever cell they lie
  const every = roundUp((n * per) / Math.max(2, room / 60));
  const found = [];
  for (let at = 0; at < n * per; at += every)
    found.push([middle(Math.floor(at / per)), String(at)]);
  return found;
}

function stepTicks(chart) {
  const { steps, flat } = chart.data;
  const apart = flat
    ? chart.sizes.label + 2
    : Math.max(40, chart.pen.measureText(String(steps.at(-1))).width + 12);
  const most = (flat ? chart.tall : chart.room) / apart;
  const every = roundUp((steps.at(-1) - steps[0]) / Math.max(2, most));
  const round = steps.filter((step) => step % every === 0);
  const wanted = new Set(steps.length > most && round.length > 2 ? round : steps);
  const found = [];
  let free = -Infinity;
  const places = steps.map((step, i) => [(chart.step(i) + chart.step(i + 1)) / 2, step]);
  for (const [at, step] of places.sort((a, b) => a[0] - b[0])) {
    if (at < free || !wanted.has(step)) continue;
    free = at + apart;
    found.push([at, String(step)]);
  }
  return found;
}

// The next number that reads well as a distance between labels: 1, 2 or 5 times a power of ten.
function roundUp(x) {
  const power = 10 ** Math.floor(Math.log10(Math.max(x, 1)));
  return [1, 2, 5, 10].map((m) => m * power).find((m) => m >= x) ?? 10 * power;
}
