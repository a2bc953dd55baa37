// @ts-check
// Start analysis: files go up a few at a time, what is there already is left out, and nothing starts before its price is seen.
import { WRITE_HEADER, latest, say } from "./console.js";

const AT_ONCE = 4;
const form = /** @type {HTMLFormElement} */ (document.getElementById("begin"));
/** @param {string} id */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
/** @param {string} id */
const field = (id) => /** @type {HTMLInputElement} */ (document.getElementById(id));

/** @type {Map<string, File>} */
const files = new Map();
let upload = "";
let paused = false;
let sending = false;
let complete = false;

/** @param {string} text */
function trouble(text) { const place = part("trouble"); place.textContent = text; place.hidden = !text; }
const fromS3 = () => /** @type {RadioNodeList} */ (form.elements.namedItem("from")).value === "s3";
/** @param {Response} answer */
async function told(answer) {
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error ?? `the server answered ${answer.status}`);
  return body;
}

/** The same choice has the same name, so that a page that was closed goes on. */
async function nameOf() {
  const first = [...files.keys()].sort()[0] ?? "";
  const top = (first.includes("/") && first.split("/")[0]) || "files";
  const plain = (field("name").value || top).replace(/[^A-Za-z0-9_.-]+/g, "-").replace(/^\.+/, "").slice(0, 48);
  return plain || "files";
}

/** @param {string} path @param {File} file */
function add(path, file) {
  if (!path.split("/").some((name) => name.startsWith(".") || name === "")) files.set(path, file);
}

/** @param {FileSystemEntry} entry @param {string} above */
async function walk(entry, above) {
  const path = above ? `${above}/${entry.name}` : entry.name;
  if (entry.isFile) {
    const file = await new Promise((found, failed) => /** @type {FileSystemFileEntry} */ (entry).file(found, failed));
    add(path, /** @type {File} */ (file));
    return;
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  for (;;) {
    const found = /** @type {FileSystemEntry[]} */ (await new Promise((read, failed) => reader.readEntries(read, failed)));
    if (!found.length) return;
    for (const below of found) await walk(below, path);
  }
}

/** @param {FileList|null} list */
function choose(list) {
  for (const file of list ?? []) add(file.webkitRelativePath || file.name, file);
  void chosen();
}

async function chosen() {
  const bytes = [...files.values()].reduce((sum, file) => sum + file.size, 0);
  part("chosen").textContent = `${files.size.toLocaleString("en-US")} files, ${(bytes / 1e6).toFixed(1)} MB`;
  await priceOf(files.size);
  if (files.size && !sending) await send();
}

const pricing = latest();
/** @param {number} images @param {boolean} [more] */
async function priceOf(images, more = false) {
  const isLast = pricing();
  const place = part("price");
  if (!images) { place.textContent = "Choose images to see the price."; return; }
  try {
    const query = new URLSearchParams({ images: String(images), adapter: field("adapter").value });
    const found = await told(await fetch(`${form.dataset.price}?${query}`));
    if (!isLast()) return;
    const cost = found.cost_usd < 1 ? found.cost_usd.toFixed(4) : found.cost_usd.toFixed(2);
    place.textContent = `${more ? "At least" : "At most"} $${cost} for ${images.toLocaleString("en-US")}${more ? " and more" : ""} images at the set prices.`;
  } catch (error) { if (isLast()) trouble(`The price cannot be told: ${/** @type {Error} */ (error).message}`); }
}

async function send() {
  sending = true;
  complete = false;
  field("go").disabled = true;
  trouble("");
  part("bar").hidden = part("pause").hidden = false;
  try {
    upload = await nameOf();
    const there = (await told(await fetch(/** @type {string} */ (form.dataset.uploads).replace("NAME", upload)))).files;
    const waiting = [...files].filter(([path, file]) => there[path] !== file.size);
    let done = files.size - waiting.length;
    const progress = /** @type {HTMLProgressElement} */ (part("sent"));
    const show = () => { progress.max = files.size; progress.value = done; part("sent-told").textContent = `${done.toLocaleString("en-US")} of ${files.size.toLocaleString("en-US")}`; };
    show();
    /** @type {string[]} */
    const failed = [];
    const worker = async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        while (paused) await new Promise((go) => setTimeout(go, 200));
        const [path, file] = next;
        try { await put(path, file); done += 1; show(); } catch (error) { failed.push(`${path}: ${/** @type {Error} */ (error).message}`); }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    if (failed.length) trouble(`${failed.length} files were not sent; choose the folder again to send the rest. ${failed[0]}`);
    complete = !failed.length;
    part("pause").hidden = complete;
    if (!fromS3()) field("go").disabled = !complete;
    say(complete ? "All files are sent." : "Some files were not sent.");
  } catch (error) {
    trouble(`The files cannot be sent: ${/** @type {Error} */ (error).message}. Choose the folder again to go on.`);
  } finally { sending = false; }
}

/** @param {string} path @param {File} file */
async function put(path, file) {
  const place = `${/** @type {string} */ (form.dataset.uploads).replace("NAME", upload)}/${path.split("/").map(encodeURIComponent).join("/")}`;
  for (let turn = 1; ; turn += 1) {
    const answer = await fetch(place, { method: "PUT", body: file, headers: WRITE_HEADER }).catch(() => null);
    if (answer?.ok) return;
    if (turn >= 4 || (answer && answer.status < 500)) throw new Error(answer ? (await answer.json().catch(() => ({}))).error ?? String(answer.status) : "no connection");
    await new Promise((go) => setTimeout(go, 500 * 2 ** turn));
  }
}

let settle = 0;
const looking = latest();
async function looked() {
  const isLast = looking();
  const place = field("source").value.trim();
  field("go").disabled = true;
  if (!place) { part("looked").textContent = ""; void priceOf(0); return; }
  try {
    const found = await told(await fetch(`${form.dataset.look}?${new URLSearchParams({ source: place })}`));
    if (!isLast()) return;
    part("looked").textContent = `${found.more ? "more than " : ""}${found.objects.toLocaleString("en-US")} objects`;
    await priceOf(found.objects, found.more);
    if (!isLast()) return;
    field("go").disabled = found.objects === 0;
    trouble("");
  } catch (error) {
    if (!isLast()) return;
    part("looked").textContent = /** @type {Error} */ (error).message;
    void priceOf(0);
  }
}

form.addEventListener("change", (event) => {
  const changed = /** @type {HTMLElement} */ (event.target);
  if (changed.id === "folder" || changed.id === "files") choose(/** @type {HTMLInputElement} */ (changed).files);
  if (changed.id === "adapter") void (fromS3() ? looked() : priceOf(files.size));
  if (changed instanceof HTMLInputElement && changed.name === "from") {
    part("from-upload").hidden = fromS3();
    part("from-s3").hidden = !fromS3();
    field("go").disabled = fromS3() ? true : !complete;
    if (fromS3()) void looked(); else { looking(); void priceOf(files.size); }
  }
});
field("source").addEventListener("input", () => {
  clearTimeout(settle);
  looking();
  field("go").disabled = true; // What is known is of another place.
  part("looked").textContent = "…";
  void priceOf(0);
  settle = window.setTimeout(() => void looked(), 400);
});
part("pause").addEventListener("click", () => { paused = !paused; part("pause").textContent = paused ? "Go on" : "Pause"; });
const drop = part("drop");
drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const entries = [...(event.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  for (const entry of entries) await walk(entry, "");
  await chosen();
});
window.addEventListener("beforeunload", (event) => { if (sending) event.preventDefault(); });

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  field("go").disabled = true;
  trouble("");
  const wanted = {
    ...(fromS3() ? { source: field("source").value.trim() } : { upload }),
    name: field("name").value,
    // Left empty it is the installation's default, which asks for nothing that is answered already.
    min_confidence: field("min").value ? Number(field("min").value) : null,
    adapter: field("adapter").value || null,
  };
  try {
    const found = await told(await fetch(/** @type {string} */ (form.dataset.start), { method: "POST", body: JSON.stringify(wanted), headers: { "Content-Type": "application/json", ...WRITE_HEADER } }));
    const place = part("done");
    place.hidden = false;
    place.replaceChildren();
    if (found.command) {
      const text = document.createElement("pre");
      text.tabIndex = 0;
      text.textContent = found.command;
      place.append("Run this where Airflow is:", text);
    } else {
      const link = document.createElement("a");
      link.href = /** @type {string} */ (form.dataset.jobs);
      link.textContent = "All jobs";
      place.append(`The run ${found.name} is started. `, link);
      link.focus();
    }
    say("Done.");
  } catch (error) {
    trouble(`Nothing was started: ${/** @type {Error} */ (error).message}`);
    field("go").disabled = false;
  }
});
