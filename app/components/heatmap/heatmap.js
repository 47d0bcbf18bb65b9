// A heatmap on a canvas: rows and steps as in drawing.Heatmap. Frames, labels and the box lie over
// it as elements, so that moving one never draws the cells anew.

const newest = new WeakMap(); // mount point -> the stamp of what was sent there last

export default function (component) {
  const { stamp, body } = headAndBody(component.data),
    { parentElement } = component;
  newest.set(parentElement, stamp);
  const before = drawn.get(parentElement)?.data;
  if (before?.stamp === stamp) return show(component, before);
  unpacked(body).then((said) => {
    if (newest.get(parentElement) === stamp) show(component, { ...said, stamp });
  });
}

function show(component, data) {
  const [chart, isNew] = mounted(component, build);
  if (isNew) chart.watch.observe(chart.plot);
  chart.tellStep = (step) => component.setTriggerValue("cursor", { step });
  chart.tell = (low, high) => component.setTriggerValue("box", { low, high });
  chart.values = data.cells;
  const { steps } = data;
  const isAhead = !isNew && (chart.playing || chart.timer) && steps.includes(chart.now);
  if (!isAhead) chart.now = data.step;
  chart.data = data;
  chart.anchor = null;
  draw(chart);
}

function build() {
  const root = element("div", "heatmap"),
    plot = element("div", "plot");
  const heading = element("p", "heading"),
    about = element("p", "about");
  const legend = element("div", "legend"),
    note = element("p", "note");
  const canvas = element("canvas", ""),
    over = element("div", "over");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application"); // arrow keys walk the cells
  canvas.setAttribute("aria-roledescription", "heatmap");
  const readout = element("p", "readout");
  readout.setAttribute("aria-live", "polite");
  readout.hidden = true;
  const chart = {
    root,
    heading,
    about,
    legend,
    plot,
    canvas,
    over,
    readout,
    note,
    box: element("div", "frame box"),
    cell: element("div", "frame at"),
    pen: document.createElement("canvas").getContext("2d"),
    data: null,
    at: null,
    last: null,
    anchor: null,
    drag: null,
    width: 0,
    cursor: element("div", "frame cursor"),
    veil: element("div", "veil"),
    now: null,
    playing: null,
    timer: null,
  };
  chart.player = buildPlayer(chart);
  chart.theme = themeProbe(() => draw(chart));
  chart.watch = new ResizeObserver(() => resized(chart));
  plot.append(canvas, over, readout);
  root.append(chart.theme, heading, about, legend, chart.player.root, plot, note);
  listen(chart);
  return chart;
}

function resized(chart) {
  if (chart.root.isConnected && chart.plot.clientWidth !== chart.width) draw(chart);
}

function draw(chart) {
  const { data, canvas, plot } = chart;
  chart.width = plot.clientWidth;
  if (!chart.width || !data) return;
  place(chart);
  plot.style.height = `${chart.tall + chart.sizes.below}px`;
  plot.classList.toggle("fixed", !data.selectable);
  Object.assign(canvas.style, {
    left: `${chart.left}px`,
    width: `${chart.room}px`,
    height: `${chart.tall}px`,
  });
  const began = performance.now();
  const dense = paint(chart);
  canvas.dataset.ms = (performance.now() - began).toFixed(1);
  write(chart.heading, data.title);
  write(chart.about, data.about);
  legend(chart);
  chart.over.replaceChildren(...frames(chart), ...ticks(chart));
  seatCursor(chart);
  drawPlayer(chart);
  const { at } = chart,
    isThere = at && at.row < data.names.length && at.step < data.steps.length;
  point(chart, isThere ? at : null); // the hand still points there
  const rows = data.rows === "category" ? "categories" : `${data.rows}s`;
  const how = data.selectable
    ? `Drag to select ${rows}, or press arrow keys, Shift to extend, Enter.`
    : "Arrow keys read the cells.";
  const plays = data.movable && data.steps.length > 1 ? " Space plays the steps, [ and ] walk." : "";
  write(
    chart.note,
    (dense ? "A pixel covers several cells here and shows their mean. " : "") + how + plays,
  );
  const missing = data.logged.filter((there) => !there).length;
  canvas.setAttribute(
    "aria-label",
    `${data.title}. ${data.names.length} ${rows} by ${data.steps.length} steps, ${data.steps[0]} to ` +
      `${data.steps.at(-1)}, ${missing} of them not logged. Cursor at step ${data.step}. ${how}${plays}`,
  );
}
