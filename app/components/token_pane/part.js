// A part of a pane: text, values, paint or view. Mounts of their own, because Streamlit sends the
// script of a mount again with its data.

const inbox = (globalThis.rockParts ??= new Map());

export default function ({ data }) {
  const sent = data instanceof Uint8Array ? headAndBody(data) : data;
  inbox.set(sent.pane, { ...inbox.get(sent.pane), [sent.part]: sent });
  globalThis.rockPanes?.get(sent.pane)?.arrived?.();
}
