// Colour without touching the text: each look is a layer, a set of tokens. With the CSS Custom
// Highlight API a layer is a Highlight over ranges; where a browser lacks it, a class on the
// tokens. Both are styled by the same declarations.

const DIM = "dim",
  GONE = "gone";

// layer name -> declarations
function styleLayers({ palette, colours }) {
  const found = {};
  palette.forEach((fill, b) => {
    if (fill) found[`f${b}`] = `background-color: ${fill.fill}; color: ${fill.ink}`;
  });
  found[DIM] =
    // currentColor is black in a highlight
    `color: color-mix(in srgb, ${colours.text} 50%, transparent); background-color: transparent`;
  found[GONE] = "color: transparent; background-color: transparent";
  return { ...found, ...styleLines(colours) };
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
        const ends = {
          startContainer: span,
          startOffset: 0,
          endContainer: span,
          endOffset: span.childNodes.length,
        };
        return new StaticRange(ends); // a live Range would be adjusted on every change of the page
      });
    }
    for (const layer of Object.keys(LINES)) this.on[layer] = new Uint8Array(spans.length);
    this.near = null; // (tokens) 1: in a block that is laid out; null: the text is in one piece
  }

  // Highlights hold only tokens of blocks near the screen: the browser goes through all ranges it
  // holds at every change.
  watch(blocks) {
    if (this.plain || !blocks.length) return;
    this.near = new Uint8Array(this.spans.length);
    for (const { node, from, to } of blocks) {
      node.addEventListener("contentvisibilityautostatechange", (event) =>
        this.show(from, to, event.skipped ? 0 : 1),
      );
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

  restyle(view) {
    // as classes, too: the legend wears the colours and lines of the text
    const rules = Object.entries(styleLayers(view)).flatMap(([layer, look]) => {
      const rule = `:is(.t, .bar, .class, u, .lines span).${layer} { ${look} }`;
      return this.plain ? [rule] : [rule, `.t::highlight(${this.name}-${layer}) { ${look} }`];
    });
    write(this.style, rules.join("\n"));
  }

  set(layer, i, on) {
    if (this.plain) return this.dress(i);
    if (this.near && !this.near[i]) return;
    for (const name of layer in LINES ? [bedOf(layer), layer] : [layer]) {
      if (on) this.highlight(name).add(this.ranges[i]);
      else this.highlight(name).delete(this.ranges[i]);
    }
  }

  dress(i) {
    this.spans[i].className = ["t", this.fill[i]].join(" ").trim();
    underline(this.spans[i], this.lines(i));
  }

  highlight(name) {
    if (!this.sets[name]) {
      this.sets[name] = new Highlight();
      this.sets[name].priority = name in LINES ? 2 : name.endsWith("-bed") ? 1 : 0;
      CSS.highlights.set(`${this.name}-${name}`, this.sets[name]);
    }
    return this.sets[name];
  }

  refill(layerOf) {
    for (let i = 0; i < this.fill.length; i++) {
      const next = layerOf(i),
        before = this.fill[i];
      if (next === before) continue;
      this.fill[i] = next;
      if (before) this.set(before, i, false);
      if (next) this.set(next, i, true);
    }
  }

  decorate(layer, holds) {
    const on = this.on[layer];
    for (let i = 0; i < on.length; i++) {
      const next = holds(i) ? 1 : 0;
      if (next === on[i]) continue;
      on[i] = next;
      this.set(layer, i, Boolean(next));
    }
  }

  classes(i) {
    return [this.fill[i], ...this.lines(i)].filter(Boolean);
  }

  lines(i) {
    return Object.keys(this.on).filter((layer) => this.on[layer][i]);
  }

  drop() {
    for (const layer of Object.keys(this.sets)) CSS.highlights.delete(`${this.name}-${layer}`);
    this.sets = {};
  }
}
