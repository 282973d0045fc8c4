// The page's own check: from the entries that it carries to the signed head, and to the verdict.
"use strict";

/**
 * @typedef {{title: string, state: "holds" | "fails" | "open", words: string}} Step
 * @typedef {"agrees" | "disagrees" | "failed" | "unable"} Result
 * @typedef {{key: PublicKey, first: number}} Epoch
 */

/** What came of the check. */
class Check {
  constructor() {
    /** @type {Step[]} */
    this.steps = [];
    /** @type {Epoch[]} */
    this.epochs = [];
    /** @type {string | null} */
    this.origin = null;
    /** @type {Tree | null} */
    this.tree = null;
    /** @type {Checkpoint | null} */
    this.head = null;
    /** @type {string[]} what the verdict says otherwise than the data */
    this.contradictions = [];
    /** @type {Map<string, string | null>} by session: what is wrong with its attestation, or null */
    this.attestations = new Map();
    /** @type {Result} */
    this.result = "unable";
    this.reason = "";
  }

  /**
   * Do one step; whatever stops it is what is wrong.
   * @param {string} title
   * @param {() => Promise<string>} act
   */
  async step(title, act) {
    try {
      this.steps.push({ title, state: "holds", words: await act() });
    } catch (error) {
      if (error instanceof OpenError) this.steps.push({ title, state: "open", words: error.message });
      else this.steps.push({ title, state: "fails", words: wordsOf(error) });
    }
  }
}

/** Something that cannot be checked from what is there, because of what was reported already. */
class OpenError extends Error {}

/** @param {unknown} error */
function wordsOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Check what the page carries.
 * @param {Carried} carried
 * @param {(step: string) => void} progress
 * @returns {Promise<Check>}
 */
async function checkCarried(carried, progress) {
  const check = new Check();
  const verdict = members(carried.document.verdict);
  await check.step("the data are those that the page was made with", async () => {
    if (!(await blocksAreWhole())) throw new Error("they were changed");
    return `${counted(carried.entries.length, "entry", "entries")} hashed`;
  });
  progress("the keys");
  await check.step("the first entry gives key and origin", () => readOrigin(check, carried));
  progress("the tree");
  await check.step("the entries give the tree's root", () => computeRoot(check, carried));
  progress("the head");
  await check.step("the head is signed by the key in force, over that root", () => openHead(check, carried));
  await check.step("each handover to another key is signed by both", () => openHandovers(check, carried));
  progress("the attestations");
  await check.step("each attestation is signed, and states what the entries say", () =>
    openAttestations(check, carried),
  );
  progress("the values beside the entries");
  await check.step("the values beside the entries are those that they name", () => hashBlobs(carried));
  check.contradictions = await contradictions(check, carried, verdict);
  // Of a ledger that held every step can be done: one that cannot has had something taken away from it.
  const [data] = check.steps;
  if (verdict.exit !== 1) check.result = check.steps.every(({ state }) => state === "holds") ? "agrees" : "disagrees";
  else check.result = data?.state === "holds" ? "failed" : "disagrees";
  if (check.contradictions.length) check.result = "disagrees";
  return check;
}

/**
 * @param {Check} check
 * @param {Carried} carried
 */
async function readOrigin(check, carried) {
  const genesis = carried.byIndex.get(0);
  if (genesis === undefined || genesis.kind !== "ledger.genesis") throw new Error("there is no genesis entry");
  const data = members(said(genesis).data);
  const spki = fromBase64(string(data.public_key));
  const claimed = string(data.origin);
  const id = await sha256(joined(utf8("nono-ledger-v1\0"), spki, fromHex(string(data.nonce))));
  const derived = `${claimed.slice(0, claimed.lastIndexOf("/"))}/${hexOf(id.subarray(0, 16))}`;
  if (derived !== claimed) throw new Error("the origin is not the one that key and nonce give");
  check.origin = derived;
  check.epochs.push({ key: await PublicKey.read(spki), first: 0 });
  for (const entry of carried.entries) {
    if (entry.kind !== "ledger.key" || entry.session !== null) continue;
    const next = fromBase64(string(members(said(entry).data).public_key));
    check.epochs.push({ key: await PublicKey.read(next), first: entry.index + 1 });
  }
  return `${counted(check.epochs.length, "key", "keys")}, the first ${check.epochs[0]?.key.fingerprint}`;
}

/**
 * @param {Check} check
 * @param {Carried} carried
 */
async function computeRoot(check, carried) {
  const subtrees = carried.document.subtrees;
  const size = number(members(carried.document.verdict).size);
  if (!Array.isArray(subtrees) || size === null) throw new OpenError("entries are missing");
  const parts = carried.entries.map((entry) => ({ first: entry.index, height: 0, root: entry.leaf }));
  for (const subtree of subtrees) {
    const [first, height, root] = items(subtree);
    if (typeof first !== "number" || typeof height !== "number" || height > 52) throw new Error("no subtree");
    parts.push({ first, height, root: fromHex(string(root)) });
  }
  check.tree = await Tree.over(size, parts);
  const carries = `${carried.entries.length.toLocaleString("en")} of ${counted(size, "entry", "entries")}`;
  return `${hexOf(check.tree.root)}, over ${carries}${subtrees.length ? " and the subtrees of the others" : ""}`;
}

/**
 * The keys whose signatures stand under a checkpoint: at a handover the old one's and the new one's.
 * @param {Epoch[]} epochs
 * @param {number} size
 */
function signersAt(epochs, size) {
  const before = epochs.filter((epoch) => epoch.first < size).map((epoch) => epoch.key);
  const begun = epochs.filter((epoch) => epoch.first === size && size > 0).map((epoch) => epoch.key);
  return [...before.slice(-1), ...begun];
}

/**
 * @param {Check} check
 * @param {Carried} carried
 */
async function openHead(check, carried) {
  const size = number(members(carried.document.verdict).size);
  if (check.origin === null || size === null) throw new OpenError("there is no key to check it with");
  const head = await openCheckpoint(plain(carried.document.head), signersAt(check.epochs, size));
  check.head = head;
  if (head.origin !== check.origin) throw new Error("the head is that of another ledger");
  if (check.tree === null) throw new OpenError("signed, but there is no root to compare it with");
  if (head.size !== check.tree.size || !same(head.root, check.tree.root)) {
    throw new Error("the entries are not those under the signed head");
  }
  return counted(head.size, "entry", "entries");
}

/**
 * The checkpoints that are kept where another key came into force: without them anybody could have made an entry
 * that hands over to a key of his own.
 * @param {Check} check
 * @param {Carried} carried
 */
async function openHandovers(check, carried) {
  const notes = items(carried.document.handovers);
  if (check.origin === null || check.tree === null) throw new OpenError("there is nothing to check them with");
  for (const [at, { first }] of check.epochs.slice(1).entries()) {
    const note = await openCheckpoint(plain(notes[at]), signersAt(check.epochs, first));
    if (note.origin !== check.origin || note.size !== first || !same(note.root, await check.tree.node(0, first))) {
      throw new Error(`the checkpoint of the handover at ${first} is another's`);
    }
  }
  return counted(check.epochs.length - 1, "handover", "handovers");
}

/**
 * @param {Check} check
 * @param {Carried} carried
 */
async function openAttestations(check, carried) {
  /** @type {Map<string, CarriedEntry[]>} */
  const before = new Map();
  /** @type {[CarriedEntry, CarriedEntry[]][]} */
  const closing = [];
  for (const entry of carried.entries) {
    if (entry.session === null) continue;
    const session = before.get(entry.session) ?? [];
    if (entry.kind === "launch.attestation") closing.push([entry, [...session]]);
    session.push(entry);
    before.set(entry.session, session);
  }
  if (check.origin === null) throw new OpenError("there is no key to check them with");
  await forEach(closing, async ([entry, session]) => {
    let fault = null;
    try {
      await openAttestation(check, entry, session);
    } catch (error) {
      fault = wordsOf(error);
    }
    check.attestations.set(entry.session ?? "", fault);
  });
  const bad = [...check.attestations].filter(([, fault]) => fault !== null);
  if (bad.length) {
    const [[session, fault]] = /** @type {[[string, string]]} */ (bad);
    throw new Error(`${counted(bad.length, "does", "do")} not hold; of session ${session}: ${fault}`);
  }
  return counted(closing.length, "attestation", "attestations");
}

/**
 * @param {Check} check
 * @param {CarriedEntry} entry
 * @param {CarriedEntry[]} session the entries before it
 */
async function openAttestation(check, entry, session) {
  const epoch = check.epochs.filter(({ first }) => first <= entry.index).at(-1);
  if (epoch === undefined) throw new Error("no key was in force");
  const statement = await openEnvelope(members(said(entry).data), epoch.key);
  const predicate = members(statement.predicate);
  const leaves = members(predicate.leaves);
  const root = await rootOver(session.map((each) => each.leaf));
  const leafOf = (/** @type {string} */ kind) => {
    const found = session.find((each) => each.kind === kind);
    return found === undefined ? null : hexOf(found.leaf);
  };
  const agrees =
    statement.predicateType === "urn:nono-attest:launch:v1" &&
    predicate.session === entry.session &&
    predicate.origin === check.origin &&
    predicate.first === session[0]?.index &&
    predicate.last === session.at(-1)?.index &&
    predicate.n === session.length &&
    predicate.root === hexOf(root) &&
    leaves.intent === leafOf("launch.intent") &&
    leaves.start === leafOf("launch.start") &&
    leaves.outcome === leafOf("launch.outcome");
  if (!agrees) throw new Error("it states something else than the entries");
}

/**
 * The root over a few leaves.
 * @param {Uint8Array[]} leaves
 * @returns {Promise<Uint8Array>}
 */
async function rootOver(leaves) {
  const [first] = leaves;
  if (first === undefined) return sha256(NO_BYTES);
  if (leaves.length === 1) return first;
  const middle = splitOf(leaves.length);
  return hashNode(await rootOver(leaves.slice(0, middle)), await rootOver(leaves.slice(middle)));
}

/** @param {Carried} carried */
async function hashBlobs(carried) {
  for (const [name, { salt, data }] of carried.blobs) {
    if (hexOf(await sha256(joined(salt, data))) !== name) throw new Error(`${name} has another digest`);
    carried.soundBlobs.add(name);
  }
  return counted(carried.blobs.size, "value", "values");
}
