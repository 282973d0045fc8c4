// The page: read what it carries, show it, check it.
"use strict";

const WAIT = 120; // milliseconds after the last key before a search begins

/** @param {string} reason */
function showUnable(reason) {
  const check = new Check();
  check.reason = reason;
  showCheck(check);
}

async function openPage() {
  const status = byId("check-status");
  fill(status, "checking…");
  document.documentElement.dataset.check = "checking";
  const data = readDocument();
  showVerdict(new Carried(data, [], new Map()), null);
  await requireCryptography();
  const carried = await readCarried(data);
  const check = await checkCarried(carried, (what) => fill(status, `checking ${what}…`));
  showVerdict(carried, check);
  showCheck(check, carried);
  watchKnownKey(check);
  showLaunches(carried, check, await launchesOf(carried));
  document.documentElement.dataset.ready = "true";
}

/**
 * @param {Carried} carried
 * @param {Check} check
 * @param {Launch[]} launches
 */
function showLaunches(carried, check, launches) {
  const bySession = new Map(launches.map((launch) => [launch.session, launch]));
  const list = new LaunchList((launch) => void openLaunch(launch));

  /** @param {Launch} launch */
  async function openLaunch(launch) {
    const shown = showDetail(carried, check, launch); // all but the proof is there when it returns
    history.replaceState(null, "", `#${launch.session}`);
    byId("detail-heading").focus();
    byId("detail-close").addEventListener("click", closeLaunch);
    await shown;
  }

  function closeLaunch() {
    byId("detail").hidden = true;
    history.replaceState(null, "", "#launches");
    list.grid.focus();
  }

  function refresh() {
    const shown = filtered(launches);
    list.show(shown);
    showOverview(shown);
    fill(byId("count"), `${counted(shown.length, "launch", "launches")} of ${launches.length.toLocaleString("en")}`);
  }

  let waiting = 0;
  byId("filters").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(refresh, WAIT);
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(refresh));
  byId("detail").addEventListener("keydown", (event) => {
    if (event.key === "Escape") closeLaunch();
  });
  refresh();
  const asked = bySession.get(location.hash.slice(1));
  if (asked !== undefined) list.choose(launches.indexOf(asked), true);
}

openPage().catch((error) => {
  if (error instanceof UnableError) showUnable(error.message);
  else {
    const check = new Check();
    check.steps.push({ title: "the page's data can be read", state: "fails", words: wordsOf(error) });
    check.result = "disagrees";
    showCheck(check);
  }
});
