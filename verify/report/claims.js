// What the verdict says, against what the data say: a verdict that was changed does not fit them any more.
//
// What no data can show is whose key it ought to be: that is for whoever knows the key. Nor do they show what was
// asked beside them, a policy above all: of that only what contradicts itself is found, and the page says what it
// has taken over (verdict.js).
"use strict";

const VERDICT_SCHEMA = "urn:nono-attest:schema:v1:verdict";
const WORDS = ["verified", "failed", "not-checked", "not-met"];
const FRESHNESS = ["unproven", "remembered", "witnessed"];
const LISTS = ["pins", "epochs", "remembered", "required", "findings", "not_excluded"];
const ENDINGS = ["complete", "running", "lost", "unfinished"];
const NOT_PINNED = ["key.none_pinned", "key.not_pinned", "origin.not_pinned"];

/**
 * What the verdict says otherwise than the data.
 * @param {Check} check
 * @param {Carried} carried
 * @param {JsonObject} verdict
 */
async function contradictions(check, carried, verdict) {
  const sessions = await sessionsOf(carried);
  return new Set([
    ...withItself(verdict),
    ...withTheHead(carried.document, verdict),
    ...withTheLedger(check, carried, verdict),
    ...withThePins(check, carried, verdict),
    ...withTheAnchors(carried, verdict),
    ...withWhatIsCarried(carried, verdict, sessions),
    ...withTheLaunches(carried, verdict, sessions),
  ]);
}

/** @param {JsonObject} verdict */
function* withItself(verdict) {
  const findings = items(verdict.findings).map(members);
  if (verdict.schema !== VERDICT_SCHEMA) yield "it is of another version";
  const lists = [...LISTS.map((name) => verdict[name]), members(verdict.anchors).newest];
  const numbers = ENDINGS.map((name) => number(members(verdict.launches)[name]));
  const isList = (/** @type {Json | undefined} */ list) => Array.isArray(list) && list.every((each) => isObject(each));
  if (!lists.every(isList) || numbers.includes(null)) yield "it is not of its form";
  if (verdict.verdict !== WORDS[number(verdict.exit) ?? -1]) yield "its word is not that of its exit code";
  const severities = new Set(findings.map(({ severity }) => severity));
  const expected = severities.has("tampered") ? 1 : severities.has("unmet") ? 3 : 0;
  if (verdict.exit !== expected) yield "its exit code is not the one that its findings give";
  const policy = members(verdict.policy);
  if ("met" in policy) {
    const broken = verdict.exit === 1 || findings.some(({ code }) => string(code).startsWith("policy."));
    if (policy.met === true ? broken : verdict.exit === 0) yield "its policy is met or not otherwise than its findings say";
  }
  if (verdict.exit === 0 && items(verdict.required).some((asked) => typeof members(asked).session !== "string")) {
    yield "it says verified, and something that was required is not there";
  }
  if (!FRESHNESS.includes(string(verdict.freshness))) yield "how new it is it says in no word of its own";
  const continued = items(verdict.remembered).some((held) => members(held).continued === true);
  if (verdict.freshness !== "witnessed" && (verdict.freshness === "remembered") !== continued) {
    yield "it is as new as no checkpoint says that was remembered";
  }
  if (verdict.freshness === "witnessed" && members(verdict.witnessed).met !== true) {
    yield "it was witnessed, and the quorum is not met";
  }
}

/**
 * @param {JsonObject} document
 * @param {JsonObject} verdict
 */
function* withTheHead(document, verdict) {
  const unpinned = items(verdict.findings).some((finding) => NOT_PINNED.includes(string(members(finding).code)));
  if (verdict.head !== null && verdict.head !== document.head) yield "it names another head";
  if (verdict.head === null ? verdict.exit === 0 : verdict.exit === 1 || unpinned) {
    yield "whether a pinned key signed the head is not what it found";
  }
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
 * @param {Carried} carried
 * @param {JsonObject} verdict
 */
function* withThePins(check, carried, verdict) {
  const signers = check.head === null ? [] : signersAt(check.epochs, check.head.size);
  const allowed = new Map([
    ["genesis", check.epochs.slice(0, 1).map(({ key }) => key.fingerprint)],
    ["head", signers.map((key) => key.fingerprint)],
  ]);
  let met = 0;
  for (const pin of items(verdict.pins).map(members)) {
    if (pin.met === null) continue;
    met += 1;
    if (pin.met === "head" && carried.handoversLeftOut) continue; // its key may not be carried
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
function* withTheAnchors(carried, verdict) {
  if (carried.document.whole !== true || verdict.exit === 1) return;
  const { count, newest } = members(verdict.anchors);
  if (count !== carried.entries.filter(({ kind }) => kind === "anchor").length) yield "it counts other anchors";
  for (const { index, type, covers } of items(newest).map(members)) {
    const entry = carried.byIndex.get(number(index) ?? -1);
    const data = entry?.kind === "anchor" ? members(said(entry).data) : {};
    const { size, leaf } = members(covers);
    if (data.type !== type || members(data.covers).size !== size || members(data.covers).leaf !== leaf) {
      yield "it names an anchor that is another";
    }
  }
}

/**
 * A launch as far as it is carried: the kinds of its entries, their numbers, when it was asked for.
 * @typedef {{kinds: Set<string>, direct: boolean, numbers: Json[], time: string}} Session
 */

/**
 * @param {Carried} carried
 * @returns {Promise<Map<string, Session>>}
 */
async function sessionsOf(carried) {
  /** @type {Map<string, Session>} */
  const sessions = new Map();
  let count = 0;
  for (const entry of carried.entries) {
    if (entry.session === null) continue;
    let session = sessions.get(entry.session);
    if (session === undefined) {
      session = { kinds: new Set(), direct: false, numbers: [], time: entry.time };
      sessions.set(entry.session, session);
    }
    const document = said(entry);
    session.kinds.add(entry.kind);
    session.numbers.push(document.seq ?? null);
    if (entry.kind === "launch.intent" && members(document.data).strategy === "direct") session.direct = true;
    count += 1;
    if (count % AT_ONCE === 0) await breath();
  }
  return sessions;
}

/**
 * @param {Carried} carried
 * @param {JsonObject} verdict
 * @param {Map<string, Session>} sessions
 */
function* withWhatIsCarried(carried, verdict, sessions) {
  const { launches, bounds } = carried.document;
  const counts = members(launches);
  const { limit, session: asked, since, until } = members(bounds);
  if (asked !== verdict.session) yield "it is about another launch than was asked for";
  if (verdict.exit === 1) return;
  const all = number(counts.all) ?? -1;
  const fitting = number(counts.asked) ?? -1;
  const there = number(counts.carried) ?? -1;
  if (there !== sessions.size || all < fitting || fitting < there) {
    yield "the page counts other launches than it carries";
  }
  if (carried.document.whole === true && all !== there) yield "the page counts other launches than the ledger has";
  const named = members(verdict.launches);
  const ended = ENDINGS.reduce((sum, name) => sum + (number(named[name]) ?? 0), 0);
  if (ended !== all) yield "it counts other launches than the page";
  if (there > (number(limit) ?? -1)) yield "the page carries more launches than it was to";
  for (const [session, { time, numbers }] of sessions) {
    const outside =
      (asked !== null && asked !== session) ||
      (since !== null && time < string(since)) ||
      (until !== null && !(time < string(until)));
    if (outside) yield "the page carries a launch that was not asked for";
    const left = carried.shortened.get(session)?.count ?? 0;
    const inOrder = numbers.every((seq, at) => (left && at ? Number(seq) > Number(numbers[at - 1]) : seq === at));
    if (!inOrder || Number(numbers.at(-1)) + 1 !== numbers.length + left) {
      yield "the page leaves out other entries of a launch than it says";
    }
  }
  for (const session of carried.shortened.keys()) {
    if (!sessions.has(session)) yield "the page shortens a launch that it does not carry";
  }
}

/**
 * @param {Carried} carried
 * @param {JsonObject} verdict
 * @param {Map<string, Session>} sessions
 */
function* withTheLaunches(carried, verdict, sessions) {
  if (carried.document.whole !== true || verdict.exit === 1) return;
  const counts = { complete: 0, lost: 0, open: 0 };
  for (const { kinds, direct } of sessions.values()) {
    if (kinds.has("launch.attestation") || (direct && kinds.has("launch.start"))) counts.complete += 1;
    else if (kinds.has("launch.lost")) counts.lost += 1;
    else counts.open += 1;
  }
  const named = members(verdict.launches);
  const policed = "met" in members(verdict.policy) || typeof verdict.session === "string";
  if (verdict.exit === 0 && !policed && (counts.lost || number(named.unfinished))) {
    yield "it says verified, and launches are lost or unfinished";
    return;
  }
  const open = (number(named.running) ?? 0) + (number(named.unfinished) ?? 0);
  if (named.complete !== counts.complete || named.lost !== counts.lost || open !== counts.open) {
    yield "it counts other launches";
  }
  for (const { session } of items(verdict.required).map(members)) {
    if (typeof session === "string" && !sessions.get(session)?.kinds.has("launch.attestation")) {
      yield "it names a launch that did not do what was required";
    }
  }
}
