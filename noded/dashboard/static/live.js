// Keeps the page true: when the node says that something changed, the live part is fetched again and put in place.
"use strict";

const live = document.getElementById("live");
const state = document.getElementById("state");
const everySeconds = Number(live?.dataset.every || 0);
let fetching = false;
let again = false;
let leaving = false;

const say = (word, good) => {
  if (state) {
    state.textContent = word;
    state.classList.toggle("good", good);
  }
};

const atBottom = (box) => box.scrollHeight - box.scrollTop - box.clientHeight < 40;

// One fetch at a time; a notice that comes meanwhile asks for one more afterwards.
async function refresh() {
  if (!live || !("live" in live.dataset) || document.hidden || leaving) return;
  if (fetching) {
    again = true;
    return;
  }
  fetching = true;
  try {
    const here = new URL(live.dataset.from || location.href, location.href);
    here.search = "?part";
    const answer = await fetch(here, { credentials: "same-origin", redirect: "manual" });
    if (answer.type === "opaqueredirect") location.reload();
    if (answer.ok) replace(await answer.text());
  } catch {
    say("offline", false);
  } finally {
    fetching = false;
    if (again) {
      again = false;
      refresh();
    }
  }
}

function replace(html) {
  if (live.innerHTML === html || live.contains(document.activeElement?.closest("input, select, textarea"))) return;
  const before = live.querySelector("[data-bottom]");
  const follow = !before || atBottom(before);
  const top = before?.scrollTop ?? 0;
  const open = [...live.querySelectorAll("details[open][id]")].map((each) => each.id);
  live.innerHTML = html;
  open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
  const box = live.querySelector("[data-bottom]");
  if (box) box.scrollTop = follow ? box.scrollHeight : top;
}

function listen() {
  const source = new EventSource("/events");
  source.addEventListener("open", () => say("live", true));
  source.addEventListener("changed", refresh);
  source.addEventListener("error", () => say("reconnecting", false));
}

// A form that destroys asks first; the server does what it is told only after the answer.
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.ask;
  if (question && !confirm(question)) event.preventDefault();
  // The answer is another page: what this one shows may be gone when it comes.
  else leaving = true;
});

// The new-server form shows the same order as a shell line while it is filled in.
const form = document.getElementById("new-server");
form?.addEventListener("input", () => {
  const quote = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);
  const words = ["openstack", "server", "create"];
  const options = { image: "--image", flavor: "--flavor", network: "--network", key: "--key-name" };
  for (const [field, option] of Object.entries(options)) {
    if (form.elements[field].value) words.push(option, form.elements[field].value);
  }
  const count = form.elements.count.value;
  if (count && count !== "1") words.push("--min", count, "--max", count);
  words.push(form.elements.name.value || "NAME");
  document.getElementById("command").textContent = words.map(quote).join(" ");
});

document.querySelectorAll("[data-bottom]").forEach((box) => { box.scrollTop = box.scrollHeight; });
if (live && "live" in live.dataset) {
  listen();
  document.addEventListener("visibilitychange", refresh);
  if (everySeconds) setInterval(refresh, everySeconds * 1000);
}
