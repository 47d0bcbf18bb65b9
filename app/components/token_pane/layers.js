// Colour without touching the text: each look is a layer, a set of tokens. With the CSS Custom Highlight API a layer is a
// Highlight over ranges; where a browser lacks it, a class on the tokens. Both are styled by the same declarations.

const LIGHT = ["#f6f7cf", "#e6f0a0", "#c5e58a", "#8fd3a0", "#4fb8a0", "#2a938f", "#32708e", "#40478a", "#440154"];
const DARK = ["#2b2550", "#352d68", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#9bd93c", "#fde725"];
const SIGNED_LIGHT = ["#08519c", "#2f7fbc", "#6baed6", "#a9cfe6", "#dcebf6", "", "#fdeeda", "#fdd0a2", "#fd9a3e", "#d9680f", "#a63603"];
const SIGNED_DARK = ["#9ecae1", "#6aaad4", "#3a82bd", "#2a5f8f", "#1c3a57", "", "#4a2c14", "#7a4516", "#c96a1b", "#ef9237", "#ffc078"];
const CLASS_LIGHT = ["#fd9a3e", "#2f7fbc", "#a9cfe6", "#b9aedb", "", "#d9d9d9"];
const CLASS_DARK = ["#ef9237", "#3a82bd", "#1c4a70", "#5e4f92", "", "#4a4a4a"];
const FILLS = 12, DIM = "dim", GONE = "gone";
const DECORATIONS = {
  cut: "text-decoration: underline solid 1px; text-underline-offset: 3px",
  m1: "text-decoration: underline dotted 1.5px; text-underline-offset: 3px",
  m2: "text-decoration: underline dashed 2px; text-underline-offset: 3px",
  m3: "text-decoration: underline solid 3px; text-underline-offset: 3px",
  lit: "text-decoration: underline double 3px; text-underline-offset: 3px",
  found: "text-decoration: underline wavy 2px; text-underline-offset: 4px",
};

function palette({ kind, edges }) {
  // [light, dark] of each fill; "" where the page shows through
  const fills = (light, dark) => Array.from({ length: FILLS }, (_, b) => [light(b) ?? "", dark(b) ?? ""]);
  if (kind === "class") return fills((b) => CLASS_LIGHT[b], (b) => CLASS_DARK[b]);
  if (kind === "diverging") return fills((b) => SIGNED_LIGHT[b], (b) => SIGNED_DARK[b]);
  const last = edges.length;
  const of = (colours) => (b) => (b === 0 || b > last ? "" : colours[last === 1 ? 5 : Math.round(((b - 1) * 8) / (last - 1))]);
  return fills(of(LIGHT), of(DARK));
}

function ink(colour) {
  if (!colour) return "inherit";
  const [r, g, b] = [1, 3, 5].map((i) => (parseInt(colour.slice(i, i + 2), 16) / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.19 ? "#000000" : "#ffffff";
}

function looks(scale) {
  // layer name -> declarations
  const found = {};
  palette(scale).forEach(([light, dark], b) => {
    if (light) found[`f${b}`] = `background-color: light-dark(${light}, ${dark}); color: light-dark(${ink(light)}, ${ink(dark)})`;
  });
  found[DIM] = "color: light-dark(rgb(26 26 26 / 0.5), rgb(250 250 250 / 0.5)); background-color: transparent"; // currentColor is black in a highlight
  found[GONE] = "color: transparent; background-color: transparent";
  return { ...found, ...DECORATIONS };
}

class Layers {
  constructor(root, spans, name, plain) {
    this.spans = spans;
    this.name = name;
    this.plain = plain || !globalThis.CSS?.highlights;
    this.style = element("style");
    root.prepend(this.style);
    this.fill = new Array(spans.length).fill("");
    this.on = {};
    this.sets = {};
    if (!this.plain) {
      this.ranges = spans.map((span) => {
        const ends = { startContainer: span, startOffset: 0, endContainer: span, endOffset: span.childNodes.length };
        return new StaticRange(ends); // a live Range would be adjusted on every change of the page
      });
    }
    for (const layer of Object.keys(DECORATIONS)) this.on[layer] = new Uint8Array(spans.length);
    this.near = null; // (tokens) 1: in a block that is laid out; null: the text is in one piece
  }

  // Highlights hold only tokens of blocks near the screen: the browser goes through all ranges it holds at every change.
  watch(blocks) {
    if (this.plain || !blocks.length) return;
    this.near = new Uint8Array(this.spans.length);
    for (const { node, from, to } of blocks) {
      node.addEventListener("contentvisibilityautostatechange", (event) => this.show(from, to, event.skipped ? 0 : 1));
    }
  }

  show(from, to, near) {
    for (let i = from; i < to; i++) {
      if (this.near[i] === near) continue;
      this.near[i] = 1; // so that `set` reaches it
      for (const layer of this.classes(i)) this.set(layer, i, near === 1);
      this.near[i] = near;
    }
  }

  restyle(scale) {
    const selector = (layer) => (this.plain ? `.t.${layer}` : `.t::highlight(${this.name}-${layer})`);
    const text = Object.entries(looks(scale)).map(([layer, look]) => `${selector(layer)} { ${look} }`).join("\n");
    write(this.style, text);
  }

  set(layer, i, on) {
    if (this.plain) this.spans[i].classList.toggle(layer, on);
    else if (this.near && !this.near[i]) return;
    else if (on) this.of(layer).add(this.ranges[i]);
    else this.of(layer).delete(this.ranges[i]);
  }

  of(layer) {
    if (!this.sets[layer]) {
      this.sets[layer] = new Highlight();
      this.sets[layer].priority = layer in DECORATIONS ? 1 : 0;
      CSS.highlights.set(`${this.name}-${layer}`, this.sets[layer]);
    }
    return this.sets[layer];
  }

  refill(layerOf) {
    for (let i = 0; i < this.fill.length; i++) {
      const next = layerOf(i), before = this.fill[i];
      if (next === before) continue;
      if (before) this.set(before, i, false);
      if (next) this.set(next, i, true);
      this.fill[i] = next;
    }
  }

  decorate(layer, holds) {
    const on = this.on[layer];
    for (let i = 0; i < on.length; i++) {
      const next = holds(i) ? 1 : 0;
      if (next === on[i]) continue;
      this.set(layer, i, Boolean(next));
      on[i] = next;
    }
  }

  classes(i) {
    return [this.fill[i], ...Object.keys(this.on).filter((layer) => this.on[layer][i])].filter(Boolean);
  }

  drop() {
    for (const layer of Object.keys(this.sets)) CSS.highlights.delete(`${this.name}-${layer}`);
    this.sets = {};
  }
}
