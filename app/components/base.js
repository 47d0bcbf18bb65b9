// What every component uses. Strings from a log are only ever given to textContent or to attributes
// that are text.

const BLANKS = { " ": "␣", "\n": "⏎", "\t": "⇥" };
// what no text shows but turns its order, breaks its lines or cannot stand in a file of XML
const OBEYED = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\ufffe\uffff]/gu;
const STAYING = new Set(["\n", "\t", "\u200c", "\u200d"]); // joiners of Persian words, of emoji
const PATIENCE_MS = 10_000; // after this long without an answer, Python's next word counts

// Elements.

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

function shape(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// An element that knows which theme is on, and says so when that changes.
function themeProbe(onChange) {
  const node = element("i", "probe");
  node.style.cssText =
    "position: absolute; visibility: hidden; transition: color 1ms; color: light-dark(#000000, #ffffff)";
  if (onChange) node.addEventListener("transitionend", onChange);
  return node;
}

function isDark(probe) {
  return getComputedStyle(probe).color === "rgb(255, 255, 255)";
}

// Words and numbers.

// As rockcore.spelling writes them: a token on one line, and text whose lines and spaces stay.
function visible(token) {
  return Array.from(token, (c) => BLANKS[c] ?? (/[\p{C}\p{Z}]/u.test(c) ? symbol(c) : c)).join("");
}

function printable(text) {
  return text.replace(OBEYED, (c) => (STAYING.has(c) ? c : symbol(c)));
}

function symbol(c) {
  const code = c.codePointAt(0);
  if (code < 32) return String.fromCodePoint(0x2400 + code);
  return code === 127 ? "␡" : "\\u" + code.toString(16).padStart(4, "0");
}

function number(x) {
  if (x === null || x === undefined || Number.isNaN(x)) return "not logged";
  if (x === 0) return "0";
  const size = Math.abs(x);
  const digits =
    size >= 100
      ? x.toFixed(0)
      : size >= 1
        ? x.toFixed(2)
        : size >= 0.001
          ? x.toFixed(4)
          : x.toExponential(1);
  return digits.replaceAll("-", "−");
}

function threeDigits(x) {
  return String(Number(x.toPrecision(3))).replace("-", "−");
}

function whole(n) {
  return n.toLocaleString("en");
}

// `digits`: behind the point, from ten per cent on; a small share gets two that count.
function percent(part, of, digits = 0) {
  const share = of ? (100 * part) / of : 0;
  const full = share === 0 || share === 100;
  return `${full ? share : share >= 10 ? share.toFixed(digits) : share.toPrecision(2)} %`;
}

// Bins that values fall into.

// A number as it comes out of `floats` in unpacking.js: what is compared with such values is
// rounded like them.
function rounded(x) {
  const bits = new Uint32Array(Float32Array.of(x).buffer);
  bits[0] = (bits[0] + 0x80) & 0xffffff00;
  return new Float32Array(bits.buffer)[0];
}

function clamp(x, low, high) {
  return Math.max(low, Math.min(x, high));
}

// How many of the ascending edges lie at or below a value.
function bin(value, edges) {
  let b = 0;
  while (b < edges.length && value >= edges[b]) b++;
  return b;
}

// Life with Streamlit.

const drawn = new WeakMap(); // mount point -> what is drawn there

// What `build` has made at this mount point, made anew where it is gone: { root, … }; the second
// says whether it was made now.
function mounted({ parentElement }, build) {
  const before = drawn.get(parentElement);
  if (before?.root.isConnected) return [before, false];
  before?.root.remove();
  const chart = build();
  parentElement.appendChild(chart.root);
  drawn.set(parentElement, chart);
  return [chart, true];
}

// What Python last said (`given`), and what it was told since and has not answered (`asked`): an
// answer to an older word never undoes a newer one.
class Exchange {
  constructor(given, same = (a, b) => a === b) {
    Object.assign(this, { given, same, asked: [], sentAt: 0 });
  }

  // Take what Python says; whether it is news.
  hear(given) {
    if (Date.now() - this.sentAt > PATIENCE_MS) this.asked = [];
    const answered = this.asked.map((asked) => this.same(given, asked)).lastIndexOf(true);
    const news = !this.same(given, this.given);
    if (answered >= 0) this.asked.splice(0, answered + 1);
    else if (news) this.asked = []; // moved elsewhere, or corrected
    this.given = given;
    return news;
  }

  ask(value) {
    this.sentAt = Date.now();
    this.asked.push(value);
  }

  get latest() {
    return this.asked.at(-1) ?? this.given;
  }

  get isWaiting() {
    return this.asked.length > 0 && Date.now() - this.sentAt < PATIENCE_MS;
  }
}
