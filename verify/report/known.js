// A key that the reader knows from elsewhere, held against those of the ledger: what the page cannot know by itself.
"use strict";

/**
 * The fingerprint that a text means: one in hex, a public key in PEM, or a verifier key (name+id+key).
 * @param {string} text
 * @returns {Promise<string | null>} null when it is none of them
 */
async function fingerprintIn(text) {
  const words = text.trim();
  if (/^[0-9a-f]{64}$/i.test(words)) return words.toLowerCase();
  const pem = /^-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----$/.exec(words);
  const verifier = /^[^\s+]+\+[0-9a-f]{8}\+([A-Za-z0-9+/]+={0,2})$/.exec(words);
  try {
    if (pem?.[1] !== undefined) return (await PublicKey.read(fromBase64(pem[1].replace(/\s/g, "")))).fingerprint;
    if (verifier?.[1] !== undefined) {
      const [kind, ...raw] = fromBase64(verifier[1]);
      if (kind === 1) return (await PublicKey.read(joined(SPKI_PREFIX, Uint8Array.from(raw)))).fingerprint;
    }
  } catch {
    return null;
  }
  return null;
}

/**
 * What a key is to the ledger.
 * @param {Check} check
 * @param {string} text
 * @returns {Promise<[result: string, words: string]>}
 */
async function knownKeyWords(check, text) {
  if (!text.trim()) return ["", ""];
  const fingerprint = await fingerprintIn(text);
  if (fingerprint === null) return ["open", "this is no fingerprint, no public key and no verifier key"];
  if (check.result === "unable") return ["open", "this page was not checked, so that nothing follows from the key"];
  if (check.result !== "agrees") return ["fails", "this page does not hold, whatever the key is"];
  const founder = check.epochs[0]?.key.fingerprint === fingerprint;
  const signers = check.head === null ? [] : signersAt(check.epochs, check.head.size);
  if (founder) return ["holds", "this key founded the ledger: it, or a key that it handed over to, signed the head"];
  if (signers.some((key) => key.fingerprint === fingerprint)) {
    return ["holds", "this key signed the head; entries before it came into force are vouched for by it alone"];
  }
  if (check.epochs.some(({ key }) => key.fingerprint === fingerprint)) {
    return ["open", "this key was in force in between, and signed neither the first entry nor the head"];
  }
  return ["fails", "THIS KEY IS NOT THE LEDGER'S: anyone could have made this page"];
}

/** @param {Check} check */
function watchKnownKey(check) {
  const field = byId("known-key");
  const answer = byId("known-answer");
  byId("known").hidden = false;
  field.addEventListener("input", async () => {
    if (!(field instanceof HTMLTextAreaElement)) return;
    const asked = field.value;
    const [state, words] = await knownKeyWords(check, asked);
    if (field.value !== asked) return; // another answer is on its way
    answer.dataset.state = state;
    fill(answer, words);
  });
}
