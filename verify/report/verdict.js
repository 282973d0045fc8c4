// The verdict, what it rests on, and what came of the page's own check.
"use strict";

/** @typedef {{[word: string]: [mark: string, words: string]}} Banner */

const MARKS = new Map([
  ["verified", "✓"],
  ["not-met", "!"],
  ["failed", "✗"],
  ["not-checked", "?"],
]);

/**
 * The line that says it all, as nono-verify writes it (verify/render.py).
 * @param {JsonObject} verdict
 */
function headlineOf(verdict) {
  const severity = new Map([[1, "tampered"], [3, "unmet"]]).get(number(verdict.exit) ?? -1);
  const finding = items(verdict.findings).map(members).find((each) => each.severity === severity);
  const { message, code } = members(finding);
  if (verdict.exit === 1) return `FAILED: ${string(message)} [${string(code)}]`;
  if (verdict.exit === 3) {
    const behind = code === "key.none_pinned" ? ". Pin: -k FILE" : ` [${string(code)}]`;
    return `intact, not met: ${string(message)}${behind}`;
  }
  const pin = items(verdict.pins).map(members).find(({ met }) => met !== null);
  const by = pin === undefined ? "origin pinned" : `key ${string(pin.fingerprint).slice(0, 16)}… (pinned)`;
  const complete = number(members(verdict.launches).complete) ?? 0;
  return `verified: ${counted(complete, "launch", "launches")}, ${counted(number(verdict.size) ?? 0, "entry", "entries")}, ${by}`;
}

/**
 * A mark behind what this page has computed itself; before that it has computed nothing.
 * @param {Check | null} check
 */
function computed(check) {
  return check?.result === "agrees" ? standing("computed here", "computed") : takenOver();
}

/** A mark behind what is the word of nono-verify, or of whoever made the page. */
function takenOver() {
  return standing("taken over", "told");
}

/**
 * @param {string} words
 * @param {string} kind
 */
function standing(words, kind) {
  return element("span", { class: `standing ${kind}` }, words);
}

/**
 * @param {Carried} carried
 * @param {Check | null} check what came of the page's own check; null before
 */
function showVerdict(carried, check) {
  const { document: data } = carried;
  const verdict = members(data.verdict);
  const word = string(verdict.verdict);
  const section = byId("verdict");
  section.dataset.word = word;
  const launches = members(data.launches);
  fill(
    section,
    element("h2", { id: "verdict-heading" }, "Verdict"),
    element(
      "p",
      { class: "headline" },
      element("span", { class: "mark", "aria-hidden": "true" }, MARKS.get(word) ?? "?"),
      recorded(headlineOf(verdict)),
    ),
    element(
      "p",
      { class: "help" },
      "This is what nono-verify found. What is marked as computed here this page has computed again from the entries; the rest it takes over, and cannot check.",
    ),
    partOf(carried, launches),
    element("h3", {}, "What it rests on"),
    terms([
      ["ledger", recorded(plain(data.ledger)), takenOver(), " ", recorded(string(verdict.origin)), computed(check)],
      ["entries", `${counted(number(verdict.size) ?? 0, "entry", "entries")} under the signed head`, computed(check)],
      ["root", ...(typeof verdict.root === "string" ? [digest(verdict.root), computed(check)] : ["none: entries are missing"])],
      ...keyRows(verdict, check),
      launchesRow(carried, check),
      toldRow("how new", freshnessWords(verdict)),
      ...items(verdict.remembered).map((held) => toldRow("remembered", rememberedWords(members(held)))),
      toldRow("witnessed", witnessedWords(members(verdict.witnessed))),
      ...timestampRows(members(verdict.anchors)),
      toldRow("policy", policyWords(members(verdict.policy))),
      toldRow("asked of", typeof verdict.session === "string" ? `session ${verdict.session} alone` : ""),
      ...items(verdict.required).map((asked) => toldRow("required", requiredWords(members(asked)))),
      toldRow("made", `${secondWords(string(data.made))} UTC, by nono-verify ${plain(data.tool)}`),
    ]),
    findingsOf(verdict),
    notExcludedOf(verdict),
  );
}

/**
 * @param {string} term
 * @param {string} words none leave the row out
 * @returns {[string, ...Child[]]}
 */
function toldRow(term, words) {
  return words ? [term, recorded(words), takenOver()] : [term];
}

const SHOWN_KEYS = 20;

/**
 * @param {JsonObject} verdict
 * @param {Check | null} check
 * @returns {[string, ...Child[]][]}
 */
function keyRows(verdict, check) {
  const epochs = items(verdict.epochs).map(members);
  const pins = items(verdict.pins).map(members).filter(({ met }) => met !== null);
  const rows = epochs.slice(0, SHOWN_KEYS).map((epoch) => {
    const pin = pins.find(({ fingerprint }) => fingerprint === epoch.fingerprint);
    /** @type {[string, ...Child[]]} */
    const row = ["key", digest(string(epoch.fingerprint)), ` from entry ${plain(epoch.first)}`, computed(check)];
    return pin === undefined ? row : /** @type {typeof row} */ ([...row, " pinned by ", recorded(plain(pin.source)), takenOver()]);
  });
  const left = epochs.length - SHOWN_KEYS;
  return left > 0 ? [...rows, ["keys", `${left.toLocaleString("en")} more`, computed(check)]] : rows;
}

/**
 * How the launches ended; that one still runs only its host can tell.
 * @param {Carried} carried
 * @param {Check | null} check
 * @returns {[string, ...Child[]]}
 */
function launchesRow(carried, check) {
  const { complete, running, lost, unfinished } = members(members(carried.document.verdict).launches);
  const mark = carried.document.whole === true ? computed(check) : takenOver();
  return ["launches", `${plain(complete)} complete, ${plain(lost)} lost`, mark, ` ${plain(running)} running, ${plain(unfinished)} unfinished`, takenOver()];
}

/** @param {JsonObject} verdict */
function freshnessWords(verdict) {
  if (verdict.freshness === "witnessed") return "a quorum of witnesses saw it";
  if (verdict.freshness === "remembered") return "no older than the checkpoint that was remembered";
  return "unproven: nothing outside of the file says how new it is";
}

/** @param {JsonObject} asked */
function requiredWords(asked) {
  const by = typeof asked.session === "string" ? `session ${asked.session}` : "no launch";
  return `${string(asked.what)} (${by})`;
}

/** @param {JsonObject} held */
function rememberedWords(held) {
  const size = counted(number(held.size) ?? 0, "entry", "entries");
  return `${size} in ${plain(held.source)} (${held.continued === true ? "continued" : "not continued"})`;
}

/** @param {JsonObject} witnessed */
function witnessedWords(witnessed) {
  const size = number(witnessed.size);
  if (size === null) return "";
  const by = items(witnessed.by).map(plain).join(", ");
  return `${counted(size, "entry", "entries")} at ${string(witnessed.time)} by ${by}`;
}

const SHOWN_TIMESTAMPS = 5;

/**
 * @param {JsonObject} anchors
 * @returns {[string, ...Child[]][]}
 */
function timestampRows(anchors) {
  const holding = items(anchors.newest).map(members).filter(({ type, holds }) => type === "rfc3161" && holds === true);
  return holding.slice(-SHOWN_TIMESTAMPS).map(({ covers, time, by }) => {
    const size = number(members(covers).size);
    const what = size === null ? `attestation ${string(members(covers).leaf)}` : counted(size, "entry", "entries");
    return toldRow("timestamped", `${what} at ${string(time)} by ${plain(by)}`);
  });
}

/** @param {JsonObject} policy */
function policyWords(policy) {
  if (!("met" in policy)) return "";
  return `${plain(policy.source)} (${policy.met === true ? "met" : "not met"}), sha256 ${plain(policy.sha256)}`;
}

/**
 * @param {Carried} carried
 * @param {JsonObject} launches
 */
function partOf(carried, launches) {
  if (carried.document.whole === true) return null;
  const bounds = members(carried.document.bounds);
  const asked = [
    bounds.session === null ? "" : `session ${plain(bounds.session)}`,
    bounds.since === null ? "" : `from ${plain(bounds.since)}`,
    bounds.until === null ? "" : `before ${plain(bounds.until)}`,
  ].filter(Boolean);
  const left = (number(launches.asked) ?? 0) - (number(launches.carried) ?? 0);
  const shortened = [...carried.shortened.values()].reduce((sum, { count }) => sum + count, 0);
  const handovers = carried.handoversLeftOut;
  return element(
    "p",
    { class: "part", id: "part" },
    `This page carries a part of the ledger: ${plain(launches.carried)} of ${plain(launches.all)} launches`,
    asked.length ? ` (${asked.join(", ")})` : "",
    left > 0 ? `, the newest; ${counted(left, "older one was", "older ones were")} left out.` : ".",
    shortened
      ? ` Of ${counted(carried.shortened.size, "launch", "launches")} the first and the last entries are carried: ${counted(shortened, "entry", "entries")} between them left out.`
      : "",
    handovers ? ` The first handovers to other keys are carried: ${counted(handovers, "later one", "later ones")} left out.` : "",
    " The verdict is about all of it.",
  );
}

const SHOWN_FINDINGS = 100;

/** @param {JsonObject} verdict */
function findingsOf(verdict) {
  const findings = items(verdict.findings).map(members);
  if (!findings.length) return null;
  const rows = findings.slice(0, SHOWN_FINDINGS).map((finding) =>
    element(
      "li",
      { class: `finding ${["tampered", "unmet", "note"].includes(string(finding.severity)) ? finding.severity : ""}` },
      element("code", {}, plain(finding.code)),
      " ",
      recorded(string(finding.message)),
      finding.index === null ? "" : ` (entry ${plain(finding.index)})`,
    ),
  );
  return element("div", {}, element("h3", {}, "Findings", takenOver()), element("ul", { class: "findings" }, ...rows));
}

/** @param {JsonObject} verdict */
function notExcludedOf(verdict) {
  const caveats = items(verdict.not_excluded).map((caveat) =>
    element("li", {}, recorded(string(members(caveat).message))),
  );
  return caveats.length
    ? element("div", {}, element("h3", {}, "What it does not exclude", takenOver()), element("ul", {}, ...caveats))
    : null;
}

/**
 * What of the verdict is the word of nono-verify alone.
 * @param {Carried} carried
 */
function takenOverWords(carried) {
  const verdict = members(carried.document.verdict);
  const policy = members(verdict.policy);
  const stamped = items(members(verdict.anchors).newest).some((anchor) => members(anchor).holds === true);
  return [
    items(verdict.findings).length ? "its findings" : "that nothing was found",
    items(verdict.pins).length ? "which keys were pinned" : "",
    "met" in policy ? `that the policy is ${policy.met === true ? "met" : "not met"}` : "",
    items(verdict.required).length ? "what was required" : "",
    items(verdict.remembered).length ? "what was remembered" : "",
    verdict.witnessed === null ? "" : "what witnesses saw",
    stamped ? "what others say in anchors" : "",
    carried.document.whole === true ? "" : "how many launches there are, and how they ended",
  ].filter(Boolean);
}

const RESULTS = {
  agrees: "checked: the entries in this page are those under the signed head, and the verdict fits them as far as a page can compute it",
  disagrees: "THE DATA IN THIS PAGE DO NOT AGREE WITH ITS VERDICT: rely on none of it",
  failed: "the ledger did not hold when it was verified: rely on none of it",
  unable: "not checked",
};

const STATES = { holds: ["✓", "holds"], fails: ["✗", "does not hold"], open: ["–", "cannot be said"] };

/**
 * @param {Check} check
 * @param {Carried} [carried]
 */
function showCheck(check, carried) {
  document.documentElement.dataset.check = check.result;
  const status = byId("check-status");
  status.dataset.result = check.result;
  fill(status, check.reason ? `${RESULTS[check.result]}: ${check.reason}` : RESULTS[check.result]);
  if (check.result === "agrees" && carried !== undefined) {
    byId("check-told").hidden = false;
    fill(byId("check-told"), `Taken over from nono-verify, and not computed here: ${takenOverWords(carried).join("; ")}.`);
  }
  const steps = check.steps.map(({ title, state, words }) =>
    element(
      "li",
      { "data-state": state },
      element("span", { class: "mark", "aria-hidden": "true" }, STATES[state][0]),
      element("span", {}, `${title}: `, element("strong", {}, STATES[state][1] ?? ""), " "),
      recorded(words, "digest"),
    ),
  );
  for (const contradiction of check.contradictions) {
    steps.push(
      element(
        "li",
        { "data-state": "fails" },
        element("span", { class: "mark", "aria-hidden": "true" }, "✗"),
        `the verdict does not fit the data: ${contradiction}`,
      ),
    );
  }
  fill(byId("check-steps"), ...steps);
  if (check.result === "disagrees") {
    byId("verdict").dataset.word = "contradicted";
    fill(byId("alarm"), RESULTS.disagrees);
    document.title = "not in agreement with its verdict: nono report";
  }
}
