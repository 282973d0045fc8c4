// Signed notes (C2SP) and envelopes (DSSE): whether a key signed them, in their one form.
"use strict";

const PAYLOAD_TYPE = "application/vnd.in-toto+json";

/**
 * @typedef {{origin: string, size: number, root: Uint8Array}} Checkpoint
 */

/**
 * Open a checkpoint that has exactly one signature of each key, in order.
 * @param {string} note
 * @param {PublicKey[]} keys
 * @returns {Promise<Checkpoint>}
 */
async function openCheckpoint(note, keys) {
  const blank = note.lastIndexOf("\n\n");
  if (blank < 0 || !note.endsWith("\n")) throw new Error("it is no signed note");
  const text = note.slice(0, blank + 1);
  const lines = note.slice(blank + 2, -1).split("\n");
  const [origin, size, root, rest] = text.split("\n");
  if (rest !== "" || !origin || !size || !root || !/^(?:0|[1-9][0-9]{0,15})$/.test(size)) {
    throw new Error("it is no checkpoint: origin, size, root");
  }
  if (lines.length !== keys.length) throw new Error("it has not the signatures of the key in force");
  for (const [at, key] of keys.entries()) {
    const begin = `— ${origin} `;
    const line = lines[at] ?? "";
    if (!line.startsWith(begin)) throw new Error("it is signed under another name");
    const blob = fromBase64(line.slice(begin.length));
    const id = await sha256(joined(utf8(`${origin}\n`), Uint8Array.of(1), key.raw));
    if (!same(blob.subarray(0, 4), id.subarray(0, 4))) throw new Error("it is signed by another key");
    if (!(await key.signed(blob.subarray(4), utf8(text)))) throw new Error("its signature does not hold");
  }
  return { origin, size: Number(size), root: fromBase64(root) };
}

/**
 * Open an envelope that this key signed, and return its statement.
 * @param {JsonObject} envelope
 * @param {PublicKey} key
 * @returns {Promise<JsonObject>}
 */
async function openEnvelope(envelope, key) {
  const signatures = items(envelope.signatures);
  const signature = members(signatures[0]);
  if (envelope.payloadType !== PAYLOAD_TYPE || signatures.length !== 1) throw new Error("no envelope");
  if (signature.keyid !== key.fingerprint) throw new Error("signed by another key than the one in force");
  const payload = fromBase64(string(envelope.payload));
  const head = `DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `;
  if (!(await key.signed(fromBase64(string(signature.sig)), joined(utf8(head), payload)))) {
    throw new Error("its signature does not hold");
  }
  return members(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload)));
}
