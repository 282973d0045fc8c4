// How recorded values become words.
//
// Most of them are an attacker's to choose. They become text of the page and nothing else (elements.js), and
// what a reader could not see, or would see in another place than it stands, is written as an escape. What that
// is attest/printable_text.py says; a browser knows the property that is written out there.
"use strict";

const SHOWN = 2_000; // characters of one value

const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800\u{13441}\u{13442}\u{1d159}]|(?! )\p{Zs}/gu;
const ESCAPED = new RegExp(`(?:${UNSEEN.source})+|^ +| +$| {2,}`, "gu");
const MOST_PIECES = 64;

/** @param {string} character */
function escapeOf(character) {
  const code = character.codePointAt(0) ?? 0;
  const digits = code.toString(16);
  if (code < 0x100) return `\\x${digits.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
}

/**
 * Write everything that is not printable as \xNN, \uNNNN or \UNNNNNNNN.
 * @param {string} text
 */
function printable(text) {
  return text.replace(UNSEEN, escapeOf);
}

/**
 * A recorded value in pieces: what stands in it, and in place of what nobody would see the escapes. To these
 * belong blanks at an end and in a row, of which a page shows one at most. A value of very many pieces is one.
 * @param {string} text
 * @returns {{text: string, escaped: boolean}[]}
 */
function piecesOf(text) {
  const pieces = [];
  let at = 0;
  for (const found of text.matchAll(ESCAPED)) {
    if (found.index > at) pieces.push({ text: text.slice(at, found.index), escaped: false });
    pieces.push({ text: Array.from(found[0], escapeOf).join(""), escaped: true });
    at = found.index + found[0].length;
  }
  if (at < text.length) pieces.push({ text: text.slice(at), escaped: false });
  if (pieces.length <= MOST_PIECES) return pieces;
  return [{ text: pieces.map((piece) => piece.text).join(""), escaped: false }];
}

/**
 * Cut off what is too long, and say how much that is.
 * @param {string} text
 */
function shortened(text, limit = SHOWN) {
  if (text.length <= limit) return text;
  return `${text.slice(0, limit)}… (${(text.length - limit).toLocaleString("en")} more characters)`;
}

/**
 * A value that is usually a string, as text: bytes that are no UTF-8 become \xNN.
 * @param {Json | undefined} value
 * @returns {string}
 */
function plain(value) {
  if (typeof value === "string") return value;
  const made = members(value);
  if (typeof made.base64 === "string") return bytesInWords(made.base64);
  if (typeof made.redacted === "string") return `‹redacted: ${made.redacted}›`;
  if (Array.isArray(made.parts)) return made.parts.map(plainPart).join("");
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return "‹unreadable›";
}

/**
 * A part of a value, which has no parts itself.
 * @param {Json} part
 */
function plainPart(part) {
  return "parts" in members(part) ? "‹unreadable›" : plain(part);
}

/** @param {string} base64 */
function bytesInWords(base64) {
  try {
    return Array.from(atob(base64), (char) => {
      const code = char.charCodeAt(0);
      return code >= 0x20 && code < 0x7f ? char : `\\x${code.toString(16).padStart(2, "0")}`;
    }).join("");
  } catch {
    return "‹unreadable›";
  }
}

/**
 * A command, its arguments quoted where a shell would need it.
 * @param {Json | undefined} value
 */
function commandWords(value) {
  if (!Array.isArray(value)) return "‹withheld›";
  return value
    .map((argument) => {
      const text = plain(argument);
      if (typeof argument === "object") return text;
      return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
    })
    .join(" ");
}

/** @param {number} microseconds */
function durationWords(microseconds) {
  if (microseconds < 1_000) return `${microseconds} µs`;
  if (microseconds < 1_000_000) return `${(microseconds / 1_000).toFixed(1)} ms`;
  if (microseconds < 60_000_000) return `${(microseconds / 1_000_000).toFixed(1)} s`;
  const seconds = Math.floor(microseconds / 1_000_000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours} h ${minutes % 60} min` : `${minutes} min ${seconds % 60} s`;
}

/**
 * An instant to the second.
 * @param {string} instant
 */
function secondWords(instant) {
  return instant.slice(0, 19).replace("T", " ");
}

/**
 * A count and its noun.
 * @param {number} count
 * @param {string} one
 * @param {string} many
 */
function counted(count, one, many) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** @param {number} count */
function bytesWords(count) {
  return `${counted(count, "byte", "bytes")}`;
}

/**
 * @param {Json | undefined} value
 * @returns {value is JsonObject}
 */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The members of what should be an object: those of none, when it is something else.
 * @param {Json | undefined} value
 * @returns {JsonObject}
 */
function members(value) {
  return isObject(value) ? value : {};
}

/**
 * The items of what should be a list.
 * @param {Json | undefined} value
 * @returns {Json[]}
 */
function items(value) {
  return Array.isArray(value) ? value : [];
}

/**
 * What should be a string.
 * @param {Json | undefined} value
 */
function string(value) {
  return typeof value === "string" ? value : "";
}

/**
 * What should be a number, or null.
 * @param {Json | undefined} value
 */
function number(value) {
  return typeof value === "number" ? value : null;
}

const SIGNALS = new Map([
  [1, "SIGHUP"], [2, "SIGINT"], [3, "SIGQUIT"], [4, "SIGILL"], [6, "SIGABRT"], [7, "SIGBUS"], [8, "SIGFPE"],
  [9, "SIGKILL"], [10, "SIGUSR1"], [11, "SIGSEGV"], [12, "SIGUSR2"], [13, "SIGPIPE"], [14, "SIGALRM"],
  [15, "SIGTERM"], [24, "SIGXCPU"], [25, "SIGXFSZ"], [31, "SIGSYS"],
]);

/** @param {number} signal */
function signalWords(signal) {
  const name = SIGNALS.get(signal);
  return name === undefined ? `signal ${signal}` : `signal ${signal} (${name})`;
}

/** @param {JsonObject} ended of an outcome, or of a hook's result */
function endingWords(ended) {
  const refused = members(ended.not_started);
  if ("not_started" in ended) return `not started: ${string(refused.message)} [${string(refused.code)}]`;
  const signal = number(ended.signal);
  if (signal !== null) return signalWords(signal);
  const exit = number(ended.exit);
  return exit === null ? "‹unreadable›" : `exit ${exit}`;
}

/** @param {Json | undefined} value */
function networkWords(value) {
  const network = members(value);
  if (network.mode === "all") return "all of it";
  if (network.mode === "blocked") return "none";
  const said = [
    ["connect to port", network.connect],
    ["listen on port", network.listen],
    ["listen for this host on port", network.listen_loopback],
  ]
    .filter(([, ports]) => items(ports).length)
    .map(([what, ports]) => `${what} ${items(ports).join(", ")}`);
  return said.join("; ") || "no port";
}
