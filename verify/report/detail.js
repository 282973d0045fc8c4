// One launch: what was asked, what ran and inside what, what happened, and how it is proven.
"use strict";

const SHOWN_DECISIONS = 500;
const SHOWN_ENTRIES = 500;

/**
 * Show a launch.
 * @param {Carried} carried
 * @param {Check} check
 * @param {Launch} launch
 */
async function showDetail(carried, check, launch) {
  const section = byId("detail");
  const last = launch.entries.at(-1);
  const proof = element("div", { id: "proof" });
  fill(
    section,
    element("h2", { id: "detail-heading", tabindex: -1 }, "Launch ", recorded(launch.command || launch.session)),
    element("p", { class: "actions" }, element("button", { type: "button", id: "detail-close" }, "Back to the list")),
    outlineOf(carried, check, launch),
    ...launch.entries.filter(({ kind }) => kind !== "decision").flatMap((entry) => partsOf(carried, entry)),
    decisionsOf(launch),
    element("h3", {}, "Proof"),
    element(
      "p",
      {},
      element("label", { for: "proof-entry" }, "The way through the tree of "),
      entryChoice(launch, last),
    ),
    proof,
    entriesOf(launch),
  );
  section.hidden = false;
  if (last !== undefined) fill(proof, await proofPicture(check, last));
  byId("proof-entry").addEventListener("change", async (event) => {
    const entry = carried.byIndex.get(Number(/** @type {HTMLSelectElement} */ (event.target).value));
    if (entry !== undefined) fill(proof, await proofPicture(check, entry));
  });
}

/**
 * @param {Carried} carried
 * @param {Check} check
 * @param {Launch} launch
 */
function outlineOf(carried, check, launch) {
  const leftOut = carried.shortened.get(launch.session);
  const fault = check.attestations.get(launch.session);
  const attested =
    fault === undefined
      ? "there is none: nothing was signed about this launch by itself"
      : fault === null
        ? "signed by the key in force, and states what the entries say"
        : `DOES NOT HOLD: ${fault}`;
  return terms([
    ["session", recorded(launch.session, "digest")],
    ["state", stateWords(carried, launch)],
    leftOut === undefined ? ["entries"] : ["entries", `${launch.entries.length} are here; ${leftOut.count} between the first and the last are not`],
    ["asked at", recorded(launch.time)],
    ["ended", recorded(launch.ending), launch.duration === null ? null : ` after ${durationWords(launch.duration)}`],
    ["attestation", check.origin === null ? "could not be checked" : recorded(attested)],
  ]);
}

/**
 * How a launch stands. What has no attestation can have gone on in entries that a part of a ledger leaves out.
 * @param {Carried} carried
 * @param {Launch} launch
 */
function stateWords(carried, launch) {
  const words = launch.state === "open" ? "running or unfinished" : launch.state;
  const closed = launch.direct || launch.entries.some(({ kind }) => kind === "launch.attestation");
  return closed || carried.document.whole === true ? words : `${words}, as far as this page carries it`;
}

/**
 * @param {Carried} carried
 * @param {CarriedEntry} entry
 * @returns {Child[]}
 */
function partsOf(carried, entry) {
  const data = members(said(entry).data);
  if (entry.kind === "launch.intent") return intentOf(carried, data);
  if (entry.kind === "launch.start") return startOf(carried, data);
  if (entry.kind === "hook.result") return hookOf(data);
  if (entry.kind === "launch.outcome") return outcomeOf(data);
  if (entry.kind === "launch.lost") return [element("h3", {}, "Lost"), terms([["found", recorded(plain(data.found))]])];
  return [];
}

/**
 * @param {Carried} carried
 * @param {JsonObject} intent
 * @returns {Child[]}
 */
function intentOf(carried, intent) {
  const user = members(intent.user);
  const host = members(intent.host);
  const supervisor = members(intent.supervisor);
  return [
    element("h3", {}, "What was asked"),
    terms([
      ["command", recorded(commandWords(carried.value(intent.command)), "command")],
      ["who", recorded(`uid ${plain(user.uid)}, gid ${plain(user.gid)}, groups ${items(user.groups).join(", ") || "none"}`)],
      ["host", recorded(`${plain(host.name)}, kernel ${plain(host.kernel)}, Landlock ABI ${plain(host.landlock_abi)}`)],
      ["supervisor", recorded(`nono ${plain(supervisor.version)}, pid ${plain(supervisor.pid)}, ${plain(intent.strategy)}`)],
      ["inside", typeof intent.outer_session === "string" ? recorded(`session ${intent.outer_session}`) : null],
      ...items(intent.profile).map(members).map((profile) => row("profile", `${plain(profile.name)}, sha256 ${plain(profile.sha256)}`)),
      ...Object.entries(members(intent.hooks)).map(([name, hook]) => row("hook", hookWords(name, members(hook)))),
      ["network", `${networkWords(intent.network)} (as asked)`],
      ...items(intent.bypass_protection).map((path) => row("protection lifted", plain(path))),
      ...items(intent.credentials).map(members).map((secret) => row("secret", `${plain(secret.variable)} from ${plain(secret.reference)}`)),
      ...Object.entries(members(intent.labels)).map(([name, value]) => row("label", `${name}=${plain(value)}`)),
      ...items(intent.outputs).map((path) => row("output declared", plain(path))),
    ]),
  ];
}

/**
 * @param {string} name
 * @param {string} text
 * @returns {[string, ...Child[]]}
 */
function row(name, text) {
  return [name, recorded(text)];
}

/**
 * @param {string} name
 * @param {JsonObject} hook
 */
function hookWords(name, hook) {
  const need = hook.required === true ? "required" : "not required";
  return `${name}: ${plain(hook.path)}, sha256 ${plain(hook.sha256)}, ${need}, at most ${plain(hook.timeout_seconds)} s`;
}

/**
 * @param {Carried} carried
 * @param {JsonObject} start
 * @returns {Child[]}
 */
function startOf(carried, start) {
  const enforcement = members(start.enforcement);
  const achieved = members(enforcement.achieved);
  const required = members(enforcement.required);
  const missing = Object.keys(required).filter((name) => required[name] === true && achieved[name] !== true);
  const environment = carried.value(start.environment);
  return [
    element("h3", {}, "What ran"),
    terms([
      ...[start.executable, ...items(start.interpreters)].map(members).map((image, at) => imageRow(image, at)),
      ["directory", recorded(plain(start.directory), "path")],
      ["environment", environment === undefined ? "‹withheld›" : recorded(items(environment).map(plain).join(", ") || "none")],
      ...Object.entries(members(start.limits)).map(([name, value]) => row("limit", `${name} ${plain(value)}`)),
      ["enforced", Object.keys(achieved).filter((name) => achieved[name] === true).sort().join(", ") || "nothing"],
      ["NOT enforced", missing.length ? recorded(missing.join(", ")) : null],
      ["waived", items(enforcement.waived).length ? recorded(items(enforcement.waived).map(plain).join(", ")) : null],
      ["pid", plain(start.pid)],
    ]),
    element("h3", {}, "What was granted"),
    ...grantedOf(carried, start),
  ];
}

/**
 * @param {JsonObject} image
 * @param {number} at
 * @returns {[string, ...Child[]]}
 */
function imageRow(image, at) {
  return [
    at ? "interpreter" : "executable",
    recorded(plain(image.path), "path"),
    " sha256 ",
    digest(plain(image.sha256)),
    `, ${bytesWords(number(image.size) ?? 0)}, held ${plain(image.held)}`,
  ];
}

/**
 * @param {Carried} carried
 * @param {JsonObject} start
 * @returns {Child[]}
 */
function grantedOf(carried, start) {
  const value = carried.value(start.capabilities);
  const capabilities = members(value);
  const named = terms([
    ["network", value === undefined ? null : networkWords(capabilities.network)],
    ...items(capabilities.unix_sockets).map(members).map((grant) => row("UNIX socket", `${plain(grant.access)} ${plain(grant.type)} ${plain(grant.path)} (${plain(grant.source)})`)),
    ["IPC", capabilities.ipc === "sysv" ? "System V memory, semaphores and queues, with all of this user outside" : null],
    ["capability set", "sha256 ", digest(plain(start.capabilities_sha256))],
  ]);
  if (value === undefined) return [element("p", {}, "The set itself is not carried in this page, or was withheld."), named];
  return [named, grantsTree(items(capabilities.files))];
}

/**
 * @param {JsonObject} hook
 * @returns {Child[]}
 */
function hookOf(hook) {
  const how = typeof hook.error === "string" ? hook.error : hook.timed_out === true ? "timed out" : endingWords(hook);
  return [
    element("h3", {}, "Hook"),
    terms([
      row(plain(hook.hook), `${how} after ${durationWords(number(hook.duration_us) ?? 0)}`),
      ["exported", items(hook.exported).length ? recorded(items(hook.exported).map(plain).join(", ")) : null],
      ["dropped", items(hook.dropped).length ? recorded(items(hook.dropped).map(plain).join(", ")) : null],
    ]),
  ];
}

/**
 * @param {JsonObject} outcome
 * @returns {Child[]}
 */
function outcomeOf(outcome) {
  const used = members(outcome.resources);
  const counts = members(outcome.counts);
  return [
    element("h3", {}, "How it ended"),
    terms([
      row("outcome", endingWords(outcome) + (typeof outcome.ended_by === "string" ? `, ended by ${outcome.ended_by}` : "")),
      ["started", typeof outcome.started === "string" ? recorded(outcome.started) : null],
      ["ended", recorded(plain(outcome.ended))],
      ["image", typeof outcome.executed_image === "string" ? recorded(`${outcome.executed_image} as hashed`) : null],
      [
        "resources",
        "resources" in outcome
          ? `user ${durationWords(number(used.user_us) ?? 0)}, system ${durationWords(number(used.system_us) ?? 0)}, at most ${bytesWords(number(used.max_rss_bytes) ?? 0)} of memory`
          : null,
      ],
      ["counts", recorded(Object.keys(counts).sort().map((name) => `${name.replaceAll("_", " ")} ${plain(counts[name])}`).join(", "))],
      ...items(outcome.outputs).map(members).map((output) =>
        row("output", `${plain(output.path)}, ${"unhashed" in output ? `not hashed: ${plain(output.unhashed)}` : `sha256 ${plain(output.sha256)}, ${bytesWords(number(output.size) ?? 0)}`}`),
      ),
    ]),
  ];
}

/** @param {Launch} launch */
function decisionsOf(launch) {
  const decisions = launch.entries.filter((entry) => entry.kind === "decision");
  if (!decisions.length) return null;
  const rows = decisions.slice(0, SHOWN_DECISIONS).map((entry) => {
    const data = members(said(entry).data);
    return element(
      "tr",
      {},
      element("td", {}, element("span", { class: data.verdict === "granted" ? "granted" : "denied" }, plain(data.verdict))),
      element("td", {}, recorded(plain(data.what))),
      element("td", {}, recorded(plain(data.subject), "path")),
      element("td", {}, recorded(plain(data.by))),
      element("td", {}, recorded(plain(data.reason))),
    );
  });
  const left = decisions.length - SHOWN_DECISIONS;
  const headings = ["verdict", "what", "subject", "by", "reason"];
  return element(
    "div",
    {},
    element("h3", { id: "decisions-heading" }, "Decisions"),
    element(
      "div",
      { class: "wide", tabindex: 0, role: "region", "aria-labelledby": "decisions-heading" },
      element(
        "table",
        {},
        element("thead", {}, element("tr", {}, ...headings.map((name) => element("th", { scope: "col" }, name)))),
        element("tbody", {}, ...rows),
      ),
    ),
    left > 0 ? element("p", {}, `and ${left} more`) : null,
  );
}

/**
 * @param {Launch} launch
 * @param {CarriedEntry | undefined} chosen
 */
function entryChoice(launch, chosen) {
  return element(
    "select",
    { id: "proof-entry" },
    ...launch.entries.slice(-SHOWN_ENTRIES).map((entry) =>
      element("option", { value: entry.index, selected: entry === chosen }, `entry ${entry.index}: ${shortened(entry.kind, 40)}`),
    ),
  );
}

/** @param {Launch} launch */
function entriesOf(launch) {
  const list = launch.entries.slice(0, SHOWN_ENTRIES).map((entry) => {
    const body = element("pre", { tabindex: 0 });
    const details = element(
      "details",
      {},
      element("summary", {}, `entry ${entry.index}: ${shortened(entry.kind, 40)} `, digest(hexOf(entry.leaf))),
      body,
    );
    details.addEventListener("toggle", () => {
      if (details.open && !body.hasChildNodes()) fill(body, shortened(bodyWords(entry), 70_000));
    });
    return element("li", {}, details);
  });
  const left = launch.entries.length - SHOWN_ENTRIES;
  return element(
    "div",
    {},
    element("h3", {}, "Entries, as they are recorded"),
    element("ul", { class: "entries" }, ...list),
    left > 0 ? element("p", {}, `and ${left} more`) : null,
  );
}

/** @param {CarriedEntry} entry */
function bodyWords(entry) {
  return new TextDecoder().decode(entry.body);
}
