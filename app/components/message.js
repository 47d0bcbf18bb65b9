// What Python packed (packing.py): its head, and the body still deflated.

function headAndBody(bytes) {
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const head = new TextDecoder().decode(bytes.subarray(4, 4 + size));
  return { ...JSON.parse(head), body: bytes.subarray(4 + size) };
}
