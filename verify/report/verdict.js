// The verdict, what it rests on, and what came of the page's own check.
"use strict";

/** @typedef {{[word: string]: [mark: string, words: string]}} Banner */

const MARKS = new Map([
  ["verified", "✓"],
  ["not-met", "!"],
  ["failed", "✗"],
  ["not-checked", "?"],
]);

/** @param {Carried} carried */
function showVerdict(carried) {
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
      recorded(string(data.headline)),
    ),
    partOf(carried, launches),
    element("h3", {}, "What it rests on"),
    terms([
      ["ledger", recorded(plain(data.ledger)), " ", recorded(string(verdict.origin))],
      ["entries", counted(number(verdict.size) ?? 0, "entry", "entries"), " under the signed head"],
      ["root", typeof verdict.root === "string" ? digest(verdict.root) : "none: entries are missing"],
      ...items(verdict.epochs).map((epoch) => keyRow(members(epoch), verdict)),
      ["launches", launchCounts(verdict)],
      ["how new", freshnessWords(verdict)],
      ...items(verdict.remembered).map(
        (held) => /** @type {[string, ...Child[]]} */ (["remembered", recorded(rememberedWords(members(held)))]),
      ),
      ["witnessed", witnessedWords(members(verdict.witnessed))],
      ...timestampRows(members(verdict.anchors)),
      ["policy", policyWords(members(verdict.policy))],
      ...items(verdict.required).map(
        (asked) => /** @type {[string, ...Child[]]} */ (["required", recorded(string(members(asked).what))]),
      ),
      ["made", `${secondWords(string(data.made))} UTC, by nono-verify ${plain(data.tool)}`],
    ]),
    findingsOf(verdict),
    notExcludedOf(verdict),
  );
}

/**
 * @param {JsonObject} epoch
 * @param {JsonObject} verdict
 * @returns {[string, ...Child[]]}
 */
function keyRow(epoch, verdict) {
  const pins = items(verdict.pins).map(members);
  const pin = pins.find(({ fingerprint, met }) => met !== null && fingerprint === epoch.fingerprint);
  const from = ` from entry ${plain(epoch.first)}`;
  const pinned = pin === undefined ? "" : `, pinned by ${plain(pin.source)}`;
  return ["key", digest(string(epoch.fingerprint)), recorded(from + pinned)];
}

/** @param {JsonObject} verdict */
function launchCounts(verdict) {
  const counts = members(verdict.launches);
  return ["complete", "running", "lost", "unfinished"].map((name) => `${plain(counts[name])} ${name}`).join(", ");
}

/** @param {JsonObject} verdict */
function freshnessWords(verdict) {
  if (verdict.freshness === "witnessed") return "a quorum of witnesses saw it";
  if (verdict.freshness === "remembered") return "no older than the checkpoint that was remembered";
  return "unproven: nothing outside of the file says how new it is";
}

/** @param {JsonObject} held */
function rememberedWords(held) {
  const size = counted(number(held.size) ?? 0, "entry", "entries");
  return `${size} in ${plain(held.source)} (${held.continued === true ? "continued" : "not continued"})`;
}

/** @param {JsonObject} witnessed */
function witnessedWords(witnessed) {
  const size = number(witnessed.size);
  if (size === null) return null;
  const by = items(witnessed.by).map(plain).join(", ");
  return recorded(`${counted(size, "entry", "entries")} at ${string(witnessed.time)} by ${by}`);
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
    return ["timestamped", recorded(`${what} at ${string(time)} by ${plain(by)}`)];
  });
}

/** @param {JsonObject} policy */
function policyWords(policy) {
  if (!("met" in policy)) return null;
  return recorded(`${plain(policy.source)} (${policy.met === true ? "met" : "not met"}), sha256 ${plain(policy.sha256)}`);
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
  return element(
    "p",
    { class: "part", id: "part" },
    `This page carries a part of the ledger: ${plain(launches.carried)} of ${plain(launches.all)} launches`,
    asked.length ? ` (${asked.join(", ")})` : "",
    left > 0 ? `, the newest; ${counted(left, "older one was", "older ones were")} left out.` : ".",
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
  return element("div", {}, element("h3", {}, "Findings"), element("ul", { class: "findings" }, ...rows));
}

/** @param {JsonObject} verdict */
function notExcludedOf(verdict) {
  const caveats = items(verdict.not_excluded).map((caveat) =>
    element("li", {}, recorded(string(members(caveat).message))),
  );
  return caveats.length
    ? element("div", {}, element("h3", {}, "What it does not exclude"), element("ul", {}, ...caveats))
    : null;
}

const RESULTS = {
  agrees: "checked: the entries in this page are those under the signed head, and agree with the verdict",
  disagrees: "THE DATA IN THIS PAGE DO NOT AGREE WITH ITS VERDICT: rely on none of it",
  failed: "the ledger did not hold when it was verified: rely on none of it",
  unable: "not checked",
};

const STATES = { holds: ["✓", "holds"], fails: ["✗", "does not hold"], open: ["–", "cannot be said"] };

/** @param {Check} check */
function showCheck(check) {
  document.documentElement.dataset.check = check.result;
  const status = byId("check-status");
  status.dataset.result = check.result;
  fill(status, check.reason ? `${RESULTS[check.result]}: ${check.reason}` : RESULTS[check.result]);
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
  }
}
