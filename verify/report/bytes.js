// Bytes, and what this browser computes over them: all cryptography is WebCrypto's.
"use strict";

/** @type {Uint8Array} */
const NO_BYTES = new Uint8Array();

/** A browser that cannot do what the check needs: nothing is said to have been checked. */
class UnableError extends Error {}

/**
 * Read base64 in its one form: padded, canonical.
 * @param {string} text
 */
function fromBase64(text) {
  let binary;
  try {
    binary = atob(text);
  } catch {
    throw new Error("no base64");
  }
  if (btoa(binary) !== text) throw new Error("base64 that is not in its one form");
  const bytes = new Uint8Array(binary.length); // a loop, for there may be megabytes
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** @param {Uint8Array} bytes */
function hexOf(bytes) {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** @param {string} text */
function fromHex(text) {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw new Error("no digest in hex");
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** @param {string} text */
function utf8(text) {
  return new TextEncoder().encode(text);
}

/**
 * @param {Uint8Array} one
 * @param {Uint8Array} other
 */
function same(one, other) {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

/** @param {...Uint8Array} parts */
function joined(...parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/**
 * @param {Uint8Array} bytes
 * @returns {Promise<Uint8Array>}
 */
async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", /** @type {BufferSource} */ (bytes)));
}

/**
 * Undo gzip, up to a bound.
 * @param {Uint8Array} packed
 * @param {number} limit in bytes
 */
async function unpacked(packed, limit) {
  const stream = new Blob([/** @type {BlobPart} */ (packed)])
    .stream()
    .pipeThrough(new DecompressionStream("gzip"));
  const reader = stream.getReader();
  const pieces = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return joined(...pieces);
    size += value.length;
    if (size > limit) throw new Error("more data than the page says to carry");
    pieces.push(value);
  }
}

const SPKI_PREFIX = fromHex("302a300506032b6570032100"); // RFC 8410: Ed25519

/** A public key of the ledger. */
class PublicKey {
  /**
   * @param {Uint8Array} raw
   * @param {CryptoKey} key
   * @param {string} fingerprint
   */
  constructor(raw, key, fingerprint) {
    this.raw = raw;
    this.key = key;
    this.fingerprint = fingerprint;
  }

  /**
   * Read a SubjectPublicKeyInfo.
   * @param {Uint8Array} spki
   */
  static async read(spki) {
    if (spki.length !== 44 || !same(spki.subarray(0, 12), SPKI_PREFIX)) throw new Error("no Ed25519 key");
    const raw = spki.slice(12);
    const key = await crypto.subtle.importKey("raw", raw, "Ed25519", true, ["verify"]);
    return new PublicKey(raw, key, hexOf(await sha256(spki)));
  }

  /**
   * @param {Uint8Array} signature
   * @param {Uint8Array} message
   */
  async signed(signature, message) {
    return crypto.subtle.verify(
      "Ed25519",
      this.key,
      /** @type {BufferSource} */ (signature),
      /** @type {BufferSource} */ (message),
    );
  }
}

// RFC 8032, section 7.1, test 1, so that a browser that says yes to everything is found out too.
const TEST_KEY = "302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const TEST_SIGNATURE =
  "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b" +
  "d25bf5f0595bbe24655141438e7a100b";

/** Require that this browser can do what the check needs. */
async function requireCryptography() {
  if (!globalThis.isSecureContext || globalThis.crypto?.subtle === undefined) {
    throw new UnableError("this browser gives no cryptography to a page that it got in this way");
  }
  if (typeof DecompressionStream !== "function") throw new UnableError("this browser cannot undo gzip");
  let holds, fails;
  try {
    const key = await PublicKey.read(fromHex(TEST_KEY));
    holds = await key.signed(fromHex(TEST_SIGNATURE), NO_BYTES);
    fails = await key.signed(fromHex(TEST_SIGNATURE), utf8("x"));
  } catch {
    throw new UnableError("this browser does not know Ed25519 signatures");
  }
  if (!holds || fails) throw new UnableError("this browser takes Ed25519 signatures for what they are not");
}
