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

const MAX_HANDOVERS = 10_000; // as verify/report/choice.py has it

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
  check.contradictions = [...(await contradictions(check, carried, verdict))];
  check.result = resultOf(check, carried, verdict.exit !== 1);
  if (check.result === "unable") check.reason = `this page carries ${counted(check.epochs.length - 1, "handover", "handovers")}, and not all`;
  return check;
}

/**
 * What came of all the steps.
 * @param {Check} check
 * @param {Carried} carried
 * @param {boolean} held whether the ledger did, according to the verdict
 * @returns {Result}
 */
function resultOf(check, carried, held) {
  const states = check.steps.map(({ state }) => state);
  if (check.contradictions.length || states[0] !== "holds") return "disagrees";
  if (!held) return "failed";
  if (states.includes("fails")) return "disagrees";
  if (!states.includes("open")) return "agrees";
  // Of a ledger that held every step can be done, but for those that need what there are bounds on: where another
  // one cannot, something was taken away.
  return carried.handoversLeftOut ? "unable" : "disagrees";
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
    await breath();
  }
  const handovers = check.epochs.length - 1;
  if (carried.handoversLeftOut && members(carried.document.verdict).exit !== 1 && handovers < MAX_HANDOVERS) {
    throw new Error("handovers are left out for which there is room");
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
  check.tree = await Tree.over(size, parts.concat(subtrees.map(subtreeOf)));
  const carries = `${carried.entries.length.toLocaleString("en")} of ${counted(size, "entry", "entries")}`;
  return `${hexOf(check.tree.root)}, over ${carries}${subtrees.length ? " and the subtrees of the others" : ""}`;
}

/**
 * The place of the epoch to which an entry belongs.
 * @param {Epoch[]} epochs by their first entries, the first of which is entry 0
 * @param {number} index
 */
function epochAt(epochs, index) {
  let [low, high] = [0, epochs.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((epochs[middle]?.first ?? 0) <= index) low = middle;
    else high = middle - 1;
  }
  return low;
}

/**
 * The keys whose signatures stand under a checkpoint: at a handover the old one's and the new one's.
 * @param {Epoch[]} epochs
 * @param {number} size at least 1
 */
function signersAt(epochs, size) {
  const at = epochAt(epochs, size - 1);
  const [signer, next] = epochs.slice(at, at + 2);
  return [signer, next?.first === size ? next : undefined].flatMap((epoch) => (epoch === undefined ? [] : [epoch.key]));
}

/**
 * Stop a step that needs a key which came into force by a handover that is not carried.
 * @param {Carried} carried
 */
function requireAllHandovers(carried) {
  const count = carried.handoversLeftOut;
  if (count) throw new OpenError(`${counted(count, "handover is", "handovers are")} not carried, nor the keys of these`);
}

/**
 * @param {Check} check
 * @param {Carried} carried
 */
async function openHead(check, carried) {
  const size = number(members(carried.document.verdict).size);
  if (check.origin === null || size === null) throw new OpenError("there is no key to check it with");
  requireAllHandovers(carried);
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
  if (notes.length !== check.epochs.length - 1) throw new Error("there are not as many checkpoints as handovers");
  for (const [at, { first }] of check.epochs.slice(1).entries()) {
    const note = await openCheckpoint(plain(notes[at]), signersAt(check.epochs, first));
    if (note.origin !== check.origin || note.size !== first || !same(note.root, await check.tree.node(0, first))) {
      throw new Error(`the checkpoint of the handover at ${first} is another's`);
    }
    await breath();
  }
  requireAllHandovers(carried);
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
  requireAllHandovers(carried);
  await forEach(closing, async ([entry, session]) => {
    let fault = null;
    try {
      await openAttestation(check, entry, session, carried.shortened.get(entry.session ?? ""));
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
 * @param {LeftOut | undefined} leftOut
 */
async function openAttestation(check, entry, session, leftOut) {
  const epoch = check.epochs[epochAt(check.epochs, entry.index)];
  if (epoch === undefined) throw new Error("no key was in force");
  const statement = await openEnvelope(members(said(entry).data), epoch.key);
  const predicate = members(statement.predicate);
  const leaves = members(predicate.leaves);
  const n = session.length + (leftOut?.count ?? 0);
  const root = await rootOfSession(session, n, leftOut);
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
    predicate.n === n &&
    predicate.root === hexOf(root) &&
    leaves.intent === leafOf("launch.intent") &&
    leaves.start === leafOf("launch.start") &&
    leaves.outcome === leafOf("launch.outcome");
  if (!agrees) throw new Error("it states something else than the entries");
}

/**
 * The root over a launch's own entries; of one that is carried in part with the subtrees of what is left out.
 * @param {CarriedEntry[]} session
 * @param {number} n
 * @param {LeftOut | undefined} leftOut
 */
async function rootOfSession(session, n, leftOut) {
  if (leftOut === undefined) return rootOver(session.map((each) => each.leaf));
  const parts = session.map((each) => ({ first: number(said(each).seq) ?? -1, height: 0, root: each.leaf }));
  return (await Tree.over(n, parts.concat(leftOut.subtrees))).root;
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
