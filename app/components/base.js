// What every part of the pane uses. Strings from the log are only ever given to textContent or to attributes that are text.

const MARKS = { " ": "␣", "\n": "⏎", "\t": "⇥" };

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function button(className, text, title, act) {
  const node = element("button", className, text);
  node.type = "button";
  node.title = title;
  node.addEventListener("click", act);
  return node;
}

function shape(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function visible(token) {
  return Array.from(token, (c) => MARKS[c] ?? (/[\p{C}\p{Z}]/u.test(c) ? "\\u" + c.codePointAt(0).toString(16).padStart(4, "0") : c)).join("");
}

function number(x) {
  if (x === null || x === undefined || Number.isNaN(x)) return "not logged";
  if (x === 0) return "0";
  const size = Math.abs(x);
  const digits = size >= 100 ? x.toFixed(0) : size >= 1 ? x.toFixed(2) : size >= 0.001 ? x.toFixed(4) : x.toExponential(1);
  return digits.replaceAll("-", "−");
}

function whole(n) {
  return n.toLocaleString("en");
}

function percent(part, of) {
  const share = of ? (100 * part) / of : 0;
  return `${share >= 10 || share === 0 ? share.toFixed(0) : share.toPrecision(2)} %`;
}

function bytes(base64) {
  const text = atob(base64);
  const found = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) found[i] = text.charCodeAt(i);
  return found;
}

function floats(base64) {
  // the upper three bytes of each float
  const raw = bytes(base64), found = new Uint32Array(raw.length / 3);
  for (let i = 0, j = 0; i < found.length; i++, j += 3) found[i] = (raw[j] << 8) | (raw[j + 1] << 16) | (raw[j + 2] << 24);
  return new Float32Array(found.buffer);
}

function rounded(x) {
  // as Python rounded the values that it is compared with
  const bits = new Uint32Array(Float32Array.of(x).buffer);
  bits[0] = (bits[0] + 0x80) & 0xffffff00;
  return new Float32Array(bits.buffer)[0];
}

function alternativesOf(side) {
  const at = bytes(side.at).buffer, starts = [0];
  for (const n of bytes(side.counts)) starts.push(starts.at(-1) + n);
  return { ...side, starts, at: side.wide ? new Int32Array(at) : new Uint16Array(at), p: new Uint16Array(bytes(side.p).buffer) };
}

function bin(value, edges) {
  let b = 0;
  while (b < edges.length && value >= edges[b]) b++;
  return b;
}
