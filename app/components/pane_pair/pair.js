// The token pointed at, or walked to by keys, is framed in the other pane too, its card opens
// there, and one line says both values.

const FRAME = "2px dashed var(--st-text-color)";

function value(x) {
  return Number.isNaN(x) ? "no value" : number(x);
}

function paneOf(data, side) {
  return globalThis.rockPanes?.get(data.panes[side]);
}

function pointedAt(data, event) {
  const span = event.composedPath().find((node) => node.classList?.contains("t"));
  const at = span ? Number(span.dataset.i) : -1;
  const side = span
    ? ["A", "B"].find((name) => paneOf(data, name)?.spans?.[at] === span)
    : undefined;
  return side ? { side, at } : null;
}

function partnerOf(data, side, at) {
  for (const [a, b, n] of data.blocks) {
    const [here, there] = side === "A" ? [a, b] : [b, a];
    if (at >= here && at < here + n) return there + at - here;
  }
  return null;
}

function frame(span, on) {
  if (!span) return;
  span.style.outline = on ? FRAME : "";
  // its pane shows the card; goes no further
  if (on) span.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
}

function inWords(data, { side, at }, partner) {
  const token = element("b", "", visible(paneOf(data, side).text.tokens[at]));
  const there = side === "A" ? "B" : "A",
    a = side === "A" ? at : partner,
    b = side === "B" ? at : partner;
  const places = a === b ? a : `${a} in A, ${b} in B`;
  if (!data.signal)
    return [
      token,
      partner === null
        ? ` position ${at} of ${side} · no partner in ${there}`
        : ` position ${places}`,
    ];
  if (partner === null)
    return [
      token,
      ` position ${at} of ${side} · ${data.signal} ${value(data[side][at])} ${data.unit} · no partner in ${there}`,
    ];
  const [of, from] = [data.B[b], data.A[a]],
    change = of - from; // NaN where one has no value
  const sign = change > 0 ? "+" : "";
  return [
    token,
    ` ${data.signal}: A ${value(from)} · B ${value(of)} · B − A ${sign}${value(change)} ${data.unit} · position ${places}`,
  ];
}

export default function ({ data, parentElement }) {
  let isGone = false;
  unpacked(headAndBody(data).body).then((said) => {
    if (!isGone) tie(said, parentElement);
  });
  return () => {
    isGone = true;
    parentElement.stopPair?.();
  };
}

function tie(data, parentElement) {
  parentElement.stopPair?.();
  const line =
    parentElement.querySelector(".readout") ??
    parentElement.appendChild(document.createElement("div"));
  line.className = "readout";
  line.setAttribute("role", "status");
  let framed = null,
    echo = false; // what the framed token is told reaches its own pane only
  // An event that stays inside one pane does not leave it: so each pane is listened to as well,
  // from the first event on that enters it.
  const places = new Set();
  const listenTo = (place) => {
    if (places.has(place)) return;
    places.add(place);
    for (const type of ["pointerover", "focusin"]) place.addEventListener(type, point);
  };
  const point = (event) => {
    if (echo) return;
    const pane = event.composedPath().find((node) => node instanceof ShadowRoot);
    if (pane) listenTo(pane);
    const found = pointedAt(data, event);
    if (!found && event.type === "focusin") return;
    frame(framed, false);
    framed = null;
    if (!found) return line.replaceChildren();
    const partner = partnerOf(data, found.side, found.at);
    line.replaceChildren(...inWords(data, found, partner));
    framed =
      partner === null
        ? null
        : (paneOf(data, found.side === "A" ? "B" : "A")?.spans?.[partner] ?? null);
    echo = true;
    frame(framed, true);
    echo = false;
  };
  listenTo(document);
  parentElement.stopPair = () => {
    for (const place of places)
      for (const type of ["pointerover", "focusin"]) place.removeEventListener(type, point);
    frame(framed, false);
    line.replaceChildren();
  };
}
