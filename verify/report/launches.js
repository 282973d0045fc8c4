// Launches, put together from the entries that are carried: what a list shows of each.
"use strict";

/**
 * @typedef {"complete" | "lost" | "open"} State open: running or unfinished, which only its host can tell
 * @typedef {{
 *   session: string, entries: CarriedEntry[], time: string, begun: number, who: string, host: string,
 *   command: string, directory: string, duration: number | null, ending: string, good: boolean | null,
 *   state: State, denied: number, direct: boolean, partial: boolean, words: string,
 * }} Launch
 */

/**
 * The launches of what is carried, the newest first.
 * @param {Carried} carried
 * @returns {Promise<Launch[]>}
 */
async function launchesOf(carried) {
  /** @type {Map<string, CarriedEntry[]>} */
  const sessions = new Map();
  for (const entry of carried.entries) {
    if (entry.session === null) continue;
    const known = sessions.get(entry.session);
    if (known === undefined) sessions.set(entry.session, [entry]);
    else known.push(entry);
  }
  const launches = [];
  for (const [session, entries] of sessions) {
    launches.push(launchOf(carried, session, entries));
    if (launches.length % AT_ONCE === 0) await breath();
  }
  return launches.reverse();
}

/**
 * @param {Carried} carried
 * @param {string} session
 * @param {CarriedEntry[]} entries
 * @returns {Launch}
 */
function launchOf(carried, session, entries) {
  /** @type {Launch} */
  const launch = {
    session, entries, time: entries[0]?.time ?? "", begun: 0, who: "", host: "", command: "", directory: "",
    duration: null, ending: "", good: null, state: "open", denied: 0, direct: false,
    partial: carried.shortened.has(session), words: "",
  };
  const words = [session];
  for (const entry of entries) {
    if (entry.kind === "launch.attestation") {
      launch.state = "complete";
      continue;
    }
    const data = members(said(entry).data);
    if (entry.kind === "launch.intent") {
      const host = members(data.host);
      launch.who = `uid ${plain(members(data.user).uid)}`;
      launch.host = plain(host.name);
      launch.command = commandWords(carried.value(data.command));
      launch.direct = data.strategy === "direct";
      for (const [name, value] of Object.entries(members(data.labels))) words.push(`${name}=${plain(value)}`);
      for (const profile of items(data.profile)) words.push(plain(members(profile).name));
    } else if (entry.kind === "launch.start") {
      launch.directory = plain(data.directory);
      words.push(plain(members(data.executable).path));
      if (launch.direct) launch.state = "complete";
    } else if (entry.kind === "decision") {
      if (data.verdict === "denied") launch.denied += 1;
      if (words.length < 200) words.push(plain(data.subject));
    } else if (entry.kind === "launch.outcome") {
      launch.duration = number(data.duration_us);
      launch.ending = endingWords(data);
      launch.good = data.exit === 0;
    } else if (entry.kind === "launch.lost") {
      launch.state = "lost";
      launch.ending = `lost: ${plain(data.found)}`;
      launch.good = false;
    }
  }
  if (!launch.ending) launch.ending = launch.direct ? "not watched (direct)" : "no end recorded";
  launch.begun = Date.parse(launch.time) || 0;
  words.push(launch.who, launch.host, launch.command, launch.directory, launch.ending);
  launch.words = words.join("\n").toLowerCase().slice(0, 8_192);
  return launch;
}
