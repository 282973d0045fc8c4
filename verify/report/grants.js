// Grants as a tree of directories: what is inside another grant stands inside of it.
"use strict";

/**
 * @typedef {{name: string, grants: JsonObject[], inside: Map<string, Branch>}} Branch
 */

const SHOWN_GRANTS = 2_000;
const DEEPEST = 64;

/**
 * The file grants of a capability set.
 * @param {Json[]} grants
 */
function grantsTree(grants) {
  /** @type {Branch} */
  const root = { name: "/", grants: [], inside: new Map() };
  for (const grant of grants.slice(0, SHOWN_GRANTS).map(members)) {
    let branch = root;
    for (const name of namesOf(plain(grant.path))) {
      let next = branch.inside.get(name);
      if (next === undefined) {
        next = { name, grants: [], inside: new Map() };
        branch.inside.set(name, next);
      }
      branch = next;
    }
    branch.grants.push(grant);
  }
  const list = element("ul", { class: "tree" }, branchItem(root, ""));
  const left = grants.length - SHOWN_GRANTS;
  return left > 0 ? element("div", {}, list, element("p", {}, `and ${left} more`)) : list;
}

/**
 * The names of a path; of a very long one the last is all the rest.
 * @param {string} path
 */
function namesOf(path) {
  const names = path.split("/").filter(Boolean);
  if (names.length > DEEPEST) names.splice(DEEPEST - 1, names.length, names.slice(DEEPEST - 1).join("/"));
  return names;
}

/**
 * @param {Branch} branch
 * @param {string} before the names above it that stand in one line with it
 * @returns {HTMLLIElement}
 */
function branchItem(branch, before) {
  const name = before === "" || before.endsWith("/") ? before + branch.name : `${before}/${branch.name}`;
  const inside = [...branch.inside.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
  const [only] = inside;
  if (only !== undefined && inside.length === 1 && !branch.grants.length) return branchItem(only, name);
  const label = [recorded(name, "path"), ...branch.grants.flatMap(grantMarks)];
  if (!inside.length) return element("li", {}, ...label);
  return element(
    "li",
    {},
    element(
      "details",
      { open: true },
      element("summary", {}, ...label),
      element("ul", {}, ...inside.map((each) => branchItem(each, ""))),
    ),
  );
}

/**
 * @param {JsonObject} grant
 * @returns {Child[]}
 */
function grantMarks(grant) {
  const access = string(grant.access);
  const kind = access === "read" ? "reading" : "writing";
  return [
    " ",
    element("span", { class: `access ${kind}` }, access),
    " ",
    element("span", { class: "source" }, `${plain(grant.type)}, by ${plain(grant.source)}`),
  ];
}
