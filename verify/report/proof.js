// The way from an entry up to the signed root, as a picture and in words.
"use strict";

const STEP = 58;
const BOX = { width: 150, height: 30 };
const MIDDLE = 300;
const ASIDE = 205;

/**
 * @param {Check} check
 * @param {CarriedEntry} entry
 */
async function proofPicture(check, entry) {
  if (check.tree === null) return element("p", {}, "Entries are missing, so there is no tree to show a way through.");
  const siblings = await check.tree.path(entry.index);
  const nodes = [entry.leaf];
  for (const { side, hash } of siblings) {
    const below = nodes.at(-1) ?? NO_BYTES;
    nodes.push(side === "left" ? await hashNode(hash, below) : await hashNode(below, hash));
  }
  const reached = nodes.at(-1) ?? NO_BYTES;
  const holds = check.head !== null && same(reached, check.head.root);
  const high = siblings.length * STEP + BOX.height + 12;
  /** @type {Child[]} */
  const shapes = [];
  siblings.forEach(({ side, hash, first, last }, level) => {
    const y = high - 6 - BOX.height - level * STEP;
    const x = MIDDLE + (side === "left" ? -ASIDE : ASIDE);
    shapes.push(line(MIDDLE, y, MIDDLE, y - STEP + BOX.height, "way"), line(x, y, MIDDLE, y - STEP + BOX.height, "beside"));
    shapes.push(...box(x, y, hash, first === last ? `entry ${first}` : `entries ${first}–${last}`, "sibling"));
  });
  nodes.forEach((node, level) => {
    const y = high - 6 - BOX.height - level * STEP;
    const name = level === 0 ? `entry ${entry.index}` : level === siblings.length ? "root" : "";
    shapes.push(...box(MIDDLE, y, node, name, level === siblings.length ? "root" : "node"));
  });
  const words = holds
    ? `Entry ${entry.index} leads by ${counted(siblings.length, "hash", "hashes")} to the root under the signed head.`
    : `Entry ${entry.index} does not lead to the root under the signed head.`;
  return element(
    "figure",
    { class: holds ? "proof" : "proof broken" },
    drawn("svg", { viewBox: `0 0 ${2 * MIDDLE} ${high}`, role: "img", "aria-label": words }, ...shapes),
    element("figcaption", {}, words),
    element(
      "details",
      {},
      element("summary", {}, "The same in words"),
      element(
        "ol",
        {},
        element("li", {}, "leaf ", digest(hexOf(entry.leaf))),
        ...siblings.map(({ side, hash, first, last }, level) =>
          element(
            "li",
            {},
            `with the ${side} sibling over ${first === last ? `entry ${first}` : `entries ${first} to ${last}`} `,
            digest(hexOf(hash)),
            " to ",
            digest(hexOf(nodes[level + 1] ?? NO_BYTES)),
          ),
        ),
      ),
    ),
  );
}

/**
 * @param {number} x
 * @param {number} y
 * @param {Uint8Array} hash
 * @param {string} name
 * @param {string} kind
 */
function box(x, y, hash, name, kind) {
  return [
    drawn("rect", { x: x - BOX.width / 2, y, ...BOX, rx: 4, class: `box ${kind}` }),
    drawn("text", { x, y: y + (name ? 13 : 19), class: "hash" }, `${hexOf(hash.subarray(0, 6))}…`),
    name ? drawn("text", { x, y: y + 25, class: "name" }, name) : null,
  ];
}

/**
 * @param {number} x1
 * @param {number} y1
 * @param {number} x2
 * @param {number} y2
 * @param {string} kind
 */
function line(x1, y1, x2, y2, kind) {
  return drawn("line", { x1, y1, x2, y2, class: kind });
}
