// Pointer and keyboard: both point at a cell, whose value is read out, and span rows, which Python
// is told when they are settled.

function listen(chart) {
  const { canvas } = chart;
  const leave = () => point(chart, null);
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
  canvas.addEventListener("pointercancel", () => {
    chart.drag = null;
    chart.box.remove();
    leave();
  });
  canvas.addEventListener(
    "pointerleave",
    () => chart.drag || document.activeElement === canvas || leave(),
  );
  canvas.addEventListener("blur", () => {
    chart.box.remove();
    leave();
  });
  canvas.addEventListener("keydown", (event) => press(chart, event));
}

const MOVES = {
  ArrowRight: [1, 0],
  ArrowLeft: [-1, 0],
  ArrowDown: [0, 1],
  ArrowUp: [0, -1],
  PageDown: [0, 10],
  PageUp: [0, -10],
};

function press(chart, event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const { names, steps, step, flat } = chart.data;
  const inside = ({ row, step: s }) => ({
    row: clamp(row, 0, names.length - 1),
    step: clamp(s, 0, steps.length - 1),
  });
  const at = inside(chart.at ?? chart.last ?? { row: 0, step: steps.indexOf(step) });
  const next = { ...at };
  if (event.key in MOVES) {
    const [x, y] = MOVES[event.key];
    if (chart.at === null) {
      /* the first key shows where it stands */
    } else if (flat) Object.assign(next, { row: at.row + x, step: at.step - y });
    else Object.assign(next, { row: at.row + y, step: at.step + x });
  } else if (event.key === "[" || event.key === "]") {
    event.preventDefault();
    return moveCursor(chart, event.key === "[" ? -1 : 1);
  } else if (event.key === " " && chart.data.movable) {
    event.preventDefault();
    return toggleCursor(chart);
  } else if (event.key === "Home") next.row = 0;
  else if (event.key === "End") next.row = names.length - 1;
  else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    return tell(chart, chart.anchor ?? at.row, at.row);
  } else if (event.key === "Escape") {
    chart.anchor = null;
    return chart.box.remove();
  } else return;
  event.preventDefault();
  chart.anchor = event.shiftKey ? (chart.anchor ?? at.row) : null;
  point(chart, inside(next));
  if (chart.anchor !== null) span(chart, chart.anchor, chart.at.row);
  else chart.box.remove();
}

// Frame a cell and say what it holds; null: none.
function point(chart, at) {
  chart.last = at ?? chart.at ?? chart.last;
  chart.at = at;
  chart.readout.hidden = at === null;
  if (at === null) return chart.cell.remove();
  chart.over.append(seat(chart, chart.cell, [at.row, at.row], [at.step, at.step]));
  write(chart.readout, reading(chart, at));
  const [[x0, x1], [y0, y1]] = rectangle(chart, [at.row, at.row], [at.step, at.step]);
  const { offsetWidth: wide, offsetHeight: high } = chart.readout;
  const left = clamp(chart.left + (x0 + x1 - wide) / 2, 0, Math.max(0, chart.width - wide));
  const top = y0 - high - 8 > -chart.sizes.label ? y0 - high - 8 : y1 + 8;
  Object.assign(chart.readout.style, { left: `${left}px`, top: `${top}px` });
}

function reading(chart, { row, step }) {
  const { names, steps, logged, signal, unit, flat, per, gone, rows } = chart.data;
  const value = chart.values[row * steps.length + step];
  const size =
    chart.data.kind === "ratio"
      ? `× ${threeDigits(2 ** value)} of step ${steps[logged.indexOf(true)]}`
      : `${threeDigits(value)} ${unit}`;
  const known = `${per > 1 ? "mean " : ""}${signal} ${size}`.trim();
  const said = !logged[step]
    ? "this step is not logged"
    : Number.isNaN(value)
      ? gone.replace("dotted: ", "")
      : known;
  const first = row * per,
    last = first + per - 1;
  const where = flat
    ? `position ${per > 1 ? `${first}–${last}` : first}`
    : per > 1
      ? `${rows} ${first + 1}–${last + 1}`
      : "";
  return [names[row], where, `step ${steps[step]}`, said].filter(Boolean).join(" · ");
}

function span(chart, a, b) {
  if (!chart.data.selectable) return;
  const rows = [Math.min(a, b), Math.max(a, b)];
  chart.over.append(seat(chart, chart.box, rows, [0, chart.data.steps.length - 1]));
}

function tell(chart, a, b) {
  chart.anchor = null;
  if (chart.data.selectable) chart.tell(Math.min(a, b), Math.max(a, b));
}
