// Much work in small pieces: whoever reads the page meanwhile finds it alive.
"use strict";

const AT_ONCE = 64; // things that are asked for before any of them is waited for
const BUSY = 16; // milliseconds of work between two breaths

let breathed = performance.now();

/** Let the browser do something else, when that is due. */
function breath() {
  if (performance.now() - breathed < BUSY) return Promise.resolve();
  return new Promise((resolve) => {
    // Not a timer, which would wait for some milliseconds each time.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      breathed = performance.now();
      resolve(undefined);
    };
    port2.postMessage(null);
  });
}

/**
 * Do something for each item, some at once.
 * @template Item, Result
 * @param {Item[]} list
 * @param {(item: Item) => Promise<Result>} act
 * @returns {Promise<Result[]>}
 */
async function forEach(list, act) {
  const results = [];
  for (let at = 0; at < list.length; at += AT_ONCE) {
    results.push(...(await Promise.all(list.slice(at, at + AT_ONCE).map(act))));
    await breath();
  }
  return results;
}
