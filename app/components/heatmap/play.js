// The cursor: through the steps one by one or playing, in the browser alone. Python hears where a
// person has left it.

const SPEEDS = { "½ ×": 2000, "1 ×": 1000, "2 ×": 500, "4 ×": 250 }; // ms a step
const CURSOR_AFTER_MS = 400; // after the last move

function buildPlayer(chart) {
  const root = element("div", "player");
  const back = button("back", "‹", "Step back ([)", () => moveCursor(chart, -1));
  const forward = button("forward", "›", "Step forward (])", () => moveCursor(chart, 1));
  const play = button("play", "", "Play through the steps (Space)", () => toggleCursor(chart));
  const speed = element("select", "speed");
  speed.setAttribute("aria-label", "Speed");
  for (const name of Object.keys(SPEEDS)) speed.append(element("option", "", name));
  speed.value = "1 ×";
  speed.addEventListener("change", () => {
    if (chart.playing) startPlaying(chart);
  });
  const said = element("output", "said");
  said.setAttribute("aria-live", "polite");
  root.append(back, play, forward, speed, said);
  root.addEventListener("keydown", (event) => {
    if (event.key === "[") moveCursor(chart, -1);
    if (event.key === "]") moveCursor(chart, 1);
  });
  return { root, play, said, back, forward, speed };
}

function drawPlayer(chart) {
  const { player, data } = chart,
    at = data.steps.indexOf(chart.now);
  player.root.hidden = !data.movable || data.steps.length < 2;
  write(player.play, chart.playing ? "■ stop" : "▶ play");
  player.back.disabled = at <= 0;
  player.forward.disabled = at === data.steps.length - 1;
  write(player.said, sayStep(chart, at));
}

// What the rows are at a step, in a few words.
function sayStep({ data, values }, at) {
  const S = data.steps.length,
    head = `step ${data.steps[at]}, ${at + 1} of ${S}`;
  if (!data.logged[at]) return `${head} · not logged`;
  const known = data.names
    .map((name, row) => [values[row * S + at], name])
    .filter(([value]) => value === value)
    .sort((a, b) => b[0] - a[0]);
  if (!known.length) return `${head} · no values`;
  const rows = data.rows === "category" ? "categories" : `${data.rows}s`;
  const high = data.kind === "ratio" ? 0 : data.high;
  const above = known.filter(([value]) => value >= high).length;
  const [most, name] = known[0];
  const top = data.kind === "ratio" ? `× ${threeDigits(2 ** most)}` : threeDigits(most);
  const count =
    data.kind === "ratio"
      ? `${whole(known.length - above)} of ${whole(known.length)} ${rows} lower than at first`
      : high === null
        ? ""
        : `${whole(above)} of ${whole(known.length)} ${rows} ≥ ${threeDigits(high)}`;
  return [head, count, `highest: ${name} ${top}`].filter(Boolean).join(" · ");
}

function setCursor(chart, step) {
  chart.now = step;
  seatCursor(chart);
  drawPlayer(chart);
}

function moveCursor(chart, way) {
  if (!chart.data.movable) return;
  stopPlaying(chart);
  const { steps } = chart.data;
  const next = steps[steps.indexOf(chart.now) + way];
  if (next === undefined) return;
  setCursor(chart, next);
  tellCursor(chart);
}

function toggleCursor(chart) {
  if (!chart.data.movable || chart.data.steps.length < 2) return;
  if (!chart.playing) return startPlaying(chart);
  stopPlaying(chart);
  setCursor(chart, chart.now); // the veil goes
  tellCursor(chart, 0);
}

function startPlaying(chart) {
  const began = Boolean(chart.playing);
  stopPlaying(chart);
  const ahead = () => {
    const { steps } = chart.data;
    const next = steps[steps.indexOf(chart.now) + 1];
    if (!chart.root.isConnected) return stopPlaying(chart);
    if (next !== undefined) return setCursor(chart, next);
    stopPlaying(chart);
    setCursor(chart, chart.now);
    tellCursor(chart, 0);
  };
  chart.playing = setInterval(ahead, SPEEDS[chart.player.speed.value]);
  const { steps } = chart.data;
  setCursor(chart, !began && chart.now === steps.at(-1) ? steps[0] : chart.now);
}

function stopPlaying(chart) {
  clearInterval(chart.playing);
  chart.playing = null;
}

// A step that is not logged is no step of the page: then it stays with the last that is.
function tellCursor(chart, wait = CURSOR_AFTER_MS) {
  clearTimeout(chart.timer);
  chart.timer = setTimeout(() => {
    chart.timer = null;
    const { steps, logged, step } = chart.data;
    if (chart.now !== step && logged[steps.indexOf(chart.now)] && chart.root.isConnected)
      chart.tellStep(chart.now);
  }, wait);
}

// The frame around the step of the cursor, and while it plays a veil over the steps to come.
function seatCursor(chart) {
  const { names, steps } = chart.data,
    at = steps.indexOf(chart.now),
    rows = [0, names.length - 1];
  seat(chart, chart.cursor, rows, [at, at]);
  chart.over.prepend(chart.cursor);
  if (!chart.playing || at === steps.length - 1) return chart.veil.remove();
  seat(chart, chart.veil, rows, [at + 1, steps.length - 1]);
  chart.over.prepend(chart.veil);
}
