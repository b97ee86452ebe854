// Sends an image's file in parts. What came is kept by the cloud: after a fault, or another day, it goes on from there.
"use strict";

const PART_BYTES = 8 * 1024 * 1024;
const PAUSE_MS = 2000;
const FAULTS_MAX = 30;

const upload = document.getElementById("upload");
const bar = upload?.querySelector("progress");
const told = upload?.querySelector("[data-said]");
const pause = upload?.querySelector("[data-pause]");
let paused = false;

const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const mib = (bytes) => (bytes / 1048576).toFixed(bytes < 104857600 ? 1 : 0);

function show(offset, size, more) {
  bar.value = size ? (100 * offset) / size : 0;
  told.textContent = `${mib(offset)} of ${mib(size)} MiB${more ? `: ${more}` : ""}`;
}

// How much of the part has gone out is known while it goes; what is kept, when it was answered.
function put(path, file, start, end) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `${path}/file`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("Content-Range", end > start ? `bytes ${start}-${end - 1}/${file.size}` : `bytes */${file.size}`);
    request.responseType = "json";
    request.upload.onprogress = (event) => show(start + event.loaded, file.size, "");
    request.onload = () => (request.status === 200 && request.response ? done(request.response) : failed(new Error("no answer")));
    request.onerror = request.onabort = () => failed(new Error("offline"));
    request.send(file.slice(start, end));
  });
}

async function ask(path) {
  const answer = await fetch(`${path}/progress`, { credentials: "same-origin", redirect: "error" });
  return answer.json();
}

async function send(path, file) {
  let faults = 0;
  let { offset, status, fault } = await ask(path);
  while (!paused && !fault && (status === "queued" || status === "saving")) {
    if (offset > file.size) return `This is another file: ${mib(offset)} MiB of the first one are kept.`;
    try {
      ({ offset, status, fault } = await put(path, file, offset, Math.min(offset + PART_BYTES, file.size)));
      faults = 0;
    } catch (error) {
      faults += 1;
      if (faults > FAULTS_MAX) return `Given up: ${error.message}. Go on later; what came is kept.`;
      show(offset, file.size, `${error.message}; trying again`);
      await wait(PAUSE_MS);
      ({ offset, status } = await ask(path).catch(() => ({ offset, status })));
    }
  }
  if (paused) return "Paused.";
  return fault;
}

upload?.addEventListener("submit", async (event) => {
  event.preventDefault();
  event.stopPropagation();
  const [file] = upload.querySelector("input[type=file]").files;
  const path = `/images/${encodeURIComponent(upload.dataset.image)}`;
  const button = upload.querySelector("button.main");
  paused = false;
  button.disabled = true;
  pause.hidden = false;
  const fault = await send(path, file).catch((error) => error.message);
  button.disabled = false;
  pause.hidden = true;
  if (fault) told.textContent = fault;
  else location.reload();
});

pause?.addEventListener("click", () => {
  paused = true;
});
