// What the verdict says, against what the data say: a verdict that was changed does not fit them any more.
//
// What no data can show is whose key it ought to be: that is for whoever knows the key.
"use strict";

const WORDS = ["verified", "failed", "not-checked", "not-met"];
const BEGINNINGS = ["verified: ", "FAILED: ", "not checked: ", "intact, not met: "];

/**
 * What the verdict says otherwise than the data.
 * @param {Check} check
 * @param {Carried} carried
 * @param {JsonObject} verdict
 */
async function contradictions(check, carried, verdict) {
  return [
    ...withItself(carried.document, verdict),
    ...withTheLedger(check, carried, verdict),
    ...withThePins(check, verdict),
    ...(await withTheLaunches(carried, verdict)),
  ];
}

/**
 * @param {JsonObject} document
 * @param {JsonObject} verdict
 */
function* withItself(document, verdict) {
  const exit = number(verdict.exit) ?? -1;
  if (verdict.verdict !== WORDS[exit] || !string(document.headline).startsWith(BEGINNINGS[exit] ?? "\0")) {
    yield "its word is not that of its exit code";
  }
  const severities = new Set(items(verdict.findings).map((finding) => members(finding).severity));
  const expected = severities.has("tampered") ? 1 : severities.has("unmet") ? 3 : 0;
  if (exit !== expected) yield "its exit code is not the one that its findings give";
}

/**
 * @param {Check} check
 * @param {Carried} carried
 * @param {JsonObject} verdict
 */
function* withTheLedger(check, carried, verdict) {
  const whole = check.tree !== null && carried.entries.length === check.tree.size;
  if (check.tree !== null && carried.document.whole !== whole) yield "it says otherwise whether this is all of it";
  if (check.origin !== null && verdict.origin !== check.origin) yield "it names another origin";
  if (check.tree !== null && verdict.root !== hexOf(check.tree.root)) yield "it names another root";
  if (check.head !== null && verdict.size !== check.head.size) yield "it names another size";
  const epochs = check.epochs.map(({ key, first }) => `${key.fingerprint} ${first}`).join();
  const named = items(verdict.epochs)
    .map(members)
    .map(({ fingerprint, first }) => `${fingerprint} ${first}`)
    .join();
  if (check.origin !== null && epochs !== named) yield "it names other keys";
}

/**
 * @param {Check} check
 * @param {JsonObject} verdict
 */
function* withThePins(check, verdict) {
  const signers = check.head === null ? [] : signersAt(check.epochs, check.head.size);
  const allowed = new Map([
    ["genesis", check.epochs.slice(0, 1).map(({ key }) => key.fingerprint)],
    ["head", signers.map((key) => key.fingerprint)],
  ]);
  let met = 0;
  for (const pin of items(verdict.pins).map(members)) {
    if (pin.met === null) continue;
    met += 1;
    if (!allowed.get(string(pin.met))?.includes(string(pin.fingerprint))) {
      yield "it says that a key is pinned which did not sign";
    }
  }
  if (verdict.exit === 0 && items(verdict.pins).length && !met) yield "it says verified, and no pin is met";
}

/**
 * @param {Carried} carried
 * @param {JsonObject} verdict
 */
async function withTheLaunches(carried, verdict) {
  if (carried.document.whole !== true || verdict.exit === 1) return [];
  const sessions = new Map();
  for (const entry of carried.entries) {
    if (entry.session === null) continue;
    const kinds = sessions.get(entry.session) ?? new Set();
    kinds.add(entry.kind);
    if (entry.kind === "launch.intent" && members(said(entry).data).strategy === "direct") kinds.add("direct");
    sessions.set(entry.session, kinds);
    if (sessions.size % AT_ONCE === 0) await breath();
  }
  const counts = { complete: 0, lost: 0, open: 0 };
  for (const kinds of sessions.values()) {
    if (kinds.has("launch.attestation") || (kinds.has("direct") && kinds.has("launch.start"))) counts.complete += 1;
    else if (kinds.has("launch.lost")) counts.lost += 1;
    else counts.open += 1;
  }
  const named = members(verdict.launches);
  const policed = "met" in members(verdict.policy) || typeof verdict.session === "string";
  if (verdict.exit === 0 && !policed && (counts.lost || number(named.unfinished))) {
    return ["it says verified, and launches are lost or unfinished"];
  }
  const open = (number(named.running) ?? 0) + (number(named.unfinished) ?? 0);
  const agrees = named.complete === counts.complete && named.lost === counts.lost && open === counts.open;
  return agrees ? [] : ["it counts other launches"];
}
