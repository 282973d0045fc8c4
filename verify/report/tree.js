// The ledger's tree (RFC 9162, section 2.1), from the carried entries and the subtrees of all the others.
"use strict";

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** @param {Uint8Array} body */
function hashLeaf(body) {
  return sha256(joined(LEAF, body));
}

/**
 * @param {Uint8Array} left
 * @param {Uint8Array} right
 */
function hashNode(left, right) {
  return sha256(joined(NODE, left, right));
}

/**
 * @typedef {{first: number, height: number, root: Uint8Array}} Subtree a perfect one
 * @typedef {{side: "left" | "right", hash: Uint8Array, first: number, last: number}} Sibling
 */

/**
 * A subtree as the page's data have it: index of the first leaf, height, root.
 * @param {Json} value
 * @returns {Subtree}
 */
function subtreeOf(value) {
  const [first, height, root] = items(value);
  if (typeof first !== "number" || typeof height !== "number" || height > 52) throw new Error("no subtree");
  return { first, height, root: fromHex(string(root)) };
}

/** A tree over `size` leaves that was computed from parts which cover it without a gap. */
class Tree {
  /**
   * @param {number} size
   * @param {Map<number, Uint8Array>[]} levels perfect subtrees by height and index
   */
  constructor(size, levels) {
    this.size = size;
    this.levels = levels;
    this.root = NO_BYTES;
  }

  /**
   * Compute a tree.
   *
   * The parts have to lie side by side, each at a place that a perfect subtree of its height can have: so
   * each of them is below the root, and none can be there without counting.
   * @param {number} size
   * @param {Subtree[]} parts leaves are those of height 0
   */
  static async over(size, parts) {
    /** @type {Map<number, Uint8Array>[]} */
    const levels = [new Map()];
    let expected = 0;
    for (const part of [...parts].sort((one, other) => one.first - other.first)) {
      const width = 2 ** part.height;
      if (part.first !== expected || part.first % width || part.root.length !== 32) {
        throw new Error(`no part of the tree begins at entry ${expected}`);
      }
      expected += width;
      while (levels.length <= part.height) levels.push(new Map());
      levels[part.height]?.set(part.first / width, part.root);
    }
    if (expected !== size) throw new Error(`the parts of the tree end at ${expected}, and its size is ${size}`);
    for (let height = 0; height < levels.length; height += 1) {
      const level = levels[height] ?? new Map();
      const pairs = [...level.keys()].filter((index) => index % 2 === 0 && level.has(index + 1));
      if (!pairs.length) continue;
      if (levels.length === height + 1) levels.push(new Map());
      const above = await forEach(pairs, (index) => hashNode(level.get(index), level.get(index + 1)));
      pairs.forEach((index, at) => levels[height + 1]?.set(index / 2, above[at] ?? NO_BYTES));
    }
    const tree = new Tree(size, levels);
    tree.root = size ? await tree.node(0, size) : await sha256(NO_BYTES);
    return tree;
  }

  /**
   * The root over the leaves from `first` to `end`, not including it.
   * @param {number} first
   * @param {number} end
   * @returns {Promise<Uint8Array>}
   */
  async node(first, end) {
    const width = end - first;
    const height = Math.round(Math.log2(width));
    if (2 ** height === width) {
      const known = this.levels[height]?.get(first / width);
      if (known !== undefined) return known;
    }
    if (width < 2) throw new Error(`entry ${first} is not in the tree`);
    const middle = first + splitOf(width);
    return hashNode(await this.node(first, middle), await this.node(middle, end));
  }

  /**
   * The inclusion proof of a leaf, the sibling nearest to it first (section 2.1.3.1).
   * @param {number} index
   * @returns {Promise<Sibling[]>}
   */
  async path(index) {
    /** @type {Sibling[]} */
    const siblings = [];
    let first = 0;
    let end = this.size;
    while (end - first > 1) {
      const middle = first + splitOf(end - first);
      if (index < middle) {
        siblings.unshift({ side: "right", hash: await this.node(middle, end), first: middle, last: end - 1 });
        end = middle;
      } else {
        siblings.unshift({ side: "left", hash: await this.node(first, middle), first, last: middle - 1 });
        first = middle;
      }
    }
    return siblings;
  }
}

/**
 * The largest power of two below a number of leaves.
 * @param {number} count
 */
function splitOf(count) {
  let split = 1;
  while (split * 2 < count) split *= 2;
  return split;
}

/**
 * The root to which a leaf and its siblings lead.
 * @param {Uint8Array} leaf
 * @param {Sibling[]} siblings
 */
async function rootOf(leaf, siblings) {
  let node = leaf;
  for (const { side, hash } of siblings) {
    node = side === "left" ? await hashNode(hash, node) : await hashNode(node, hash);
  }
  return node;
}
