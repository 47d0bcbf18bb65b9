// What Python packed (packing.py): its head, and the body still deflated.

function headAndBody(bytes) {
  if (!globalThis.DecompressionStream) throw cannotInflate();
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const head = new TextDecoder().decode(bytes.subarray(4, 4 + size));
  return { ...JSON.parse(head), body: bytes.subarray(4 + size) };
}

// What is thrown is shown in the place of the component, with the places in the script if it has any.
function cannotInflate() {
  const said =
    "This browser cannot open what was sent: it came deflated, and a DecompressionStream is " +
    "missing. Take Chrome or Edge 103, Firefox 113, Safari 16.4, or a later one.";
  return Object.assign(new Error(said), { stack: "" });
}
