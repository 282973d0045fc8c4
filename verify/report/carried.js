// What the page carries: its data blocks, read strictly.
"use strict";

const SCHEMA = "urn:nono-attest:schema:v1:report";

/**
 * An entry as it is carried. What it says is read from its bytes, which are hashed.
 * @typedef {{
 *   index: number, body: Uint8Array, leaf: Uint8Array, kind: string, session: string | null, time: string,
 * }} CarriedEntry
 */

/**
 * How many entries of a launch are left out, and the subtrees over them in the launch's own tree.
 * @typedef {{count: number, subtrees: Subtree[]}} LeftOut
 */

/**
 * @param {JsonObject} shortened
 * @returns {[session: string, LeftOut]}
 */
function leftOutOf(shortened) {
  const subtrees = items(shortened.subtrees).map(subtreeOf);
  return [string(shortened.session), { count: number(shortened.left_out) ?? 0, subtrees }];
}

/** The page's data. */
class Carried {
  /**
   * @param {JsonObject} document
   * @param {CarriedEntry[]} entries
   * @param {Map<string, {salt: Uint8Array, data: Uint8Array}>} blobs by the digest under which they are carried
   */
  constructor(document, entries, blobs) {
    this.document = document;
    this.entries = entries;
    this.blobs = blobs;
    /** @type {Map<number, CarriedEntry>} */
    this.byIndex = new Map(entries.map((entry) => [entry.index, entry]));
    /** @type {Map<string, LeftOut>} by session: what is left out of the launches that are carried in part */
    this.shortened = new Map(items(document.shortened).map(members).map(leftOutOf));
    /** @type {Set<string>} digests of blobs that were computed, and are the ones named */
    this.soundBlobs = new Set();
  }

  /** How many handovers are not carried. */
  get handoversLeftOut() {
    return number(this.document.handovers_left_out) ?? 0;
  }

  /**
   * The value of a field that may lie beside its entry; undefined when it is not carried.
   * @param {Json | undefined} value
   * @returns {Json | undefined}
   */
  value(value) {
    const reference = members(members(value).blob);
    if (!("blob" in members(value))) return value;
    const name = string(reference.sha256);
    const blob = this.soundBlobs.has(name) ? this.blobs.get(name) : undefined;
    if (blob === undefined || blob.data.length !== reference.size) return undefined;
    try {
      return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(blob.data));
    } catch {
      return undefined;
    }
  }
}

/**
 * What an entry says; nothing when its bytes are no JSON object.
 * @param {CarriedEntry} entry
 * @returns {JsonObject}
 */
function said(entry) {
  return parsed(entry.body);
}

const DECODER = new TextDecoder("utf-8", { fatal: true });

/**
 * @param {Uint8Array} body
 * @returns {JsonObject}
 */
function parsed(body) {
  try {
    return members(JSON.parse(DECODER.decode(body)));
  } catch {
    return {};
  }
}

/**
 * A data block's text.
 * @param {string} id
 */
function block(id) {
  return byId(id).textContent ?? "";
}

/** The JSON block. */
function readDocument() {
  const document = members(JSON.parse(block("nono-report")));
  if (document.schema !== SCHEMA) throw new Error("the page's data are of another version");
  const { handovers, shortened, handovers_left_out: leftOut } = document;
  if (!Array.isArray(handovers) || !Array.isArray(shortened) || typeof leftOut !== "number") {
    throw new Error("the page's data are not of their form");
  }
  return document;
}

/** Whether the blocks are those that the page was made with. */
async function blocksAreWhole() {
  await breath();
  const text = [block("nono-report"), block("nono-entries"), block("nono-blobs")].join("\n");
  return hexOf(await sha256(utf8(text))) === byId("nono-report").dataset.sha256;
}

/**
 * All of the page's data.
 * @param {JsonObject} document
 */
async function readCarried(document) {
  const count = number(document.entries) ?? 0;
  const size = (number(document.bytes) ?? 0) + 12 * count;
  const frames = await blockBytes("nono-entries", size);
  if (frames.length !== size) throw new Error("another number of bytes than the page says to carry");
  const entries = [];
  let previous = -1;
  for (let at = 0; at < frames.length; ) {
    const view = new DataView(frames.buffer, frames.byteOffset + at);
    if (frames.length - at < 12) throw new Error("an entry that is cut off");
    const index = Number(view.getBigUint64(0));
    const length = view.getUint32(8);
    const body = frames.subarray(at + 12, at + 12 + length);
    if (body.length !== length) throw new Error("an entry that is cut off");
    if (index <= previous) throw new Error("entries that are out of order");
    previous = index;
    const document = parsed(body);
    const session = document.session;
    entries.push({
      index,
      body,
      leaf: NO_BYTES,
      kind: string(document.kind),
      session: typeof session === "string" ? session : null,
      time: string(document.time),
    });
    at += 12 + length;
    if (entries.length % AT_ONCE === 0) await breath();
  }
  if (entries.length !== count) throw new Error("another number of entries than the page says to carry");
  const leaves = await forEach(entries, (entry) => hashLeaf(entry.body));
  entries.forEach((entry, at) => {
    entry.leaf = leaves[at] ?? NO_BYTES;
  });
  return new Carried(document, entries, await readBlobs());
}

const MAX_BLOBS_BYTES = 64 * 2 ** 20;

async function readBlobs() {
  const frames = await blockBytes("nono-blobs", MAX_BLOBS_BYTES);
  const blobs = new Map();
  for (let at = 0; at < frames.length; ) {
    if (frames.length - at < 68) throw new Error("a value that is cut off");
    const length = new DataView(frames.buffer, frames.byteOffset + at + 64).getUint32(0);
    const data = frames.subarray(at + 68, at + 68 + length);
    if (data.length !== length) throw new Error("a value that is cut off");
    blobs.set(hexOf(frames.subarray(at, at + 32)), { salt: frames.subarray(at + 32, at + 64), data });
    at += 68 + length;
  }
  return blobs;
}

/**
 * @param {string} id
 * @param {number} limit
 */
async function blockBytes(id, limit) {
  const text = block(id).replaceAll("\n", "");
  await breath();
  const packed = fromBase64(text);
  await breath();
  return unpacked(packed, limit);
}
