// A part of a pane: text, values or view. Mounts of their own, because Streamlit sends the script
// of a mount again with its data.

const inbox = (globalThis.rockParts ??= new Map());

export default function ({ data }) {
  inbox.set(data.pane, { ...inbox.get(data.pane), [data.part]: data });
  globalThis.rockPanes?.get(data.pane)?.arrived?.();
}
