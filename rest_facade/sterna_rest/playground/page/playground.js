// The page: a conversation, kept here and sent whole each time, so that the server finds all but the
// new turn in its prefix cache.

import { ApiError, chat, models, voices } from "./api.js";
import { element, show } from "./text.js";
import { canListen, hush, listen, say } from "./voice.js";

const $ = (id) => document.getElementById(id);
const KEY = "sterna-api-key";
let turns = [];
let answering = null;
let voiceNames = [];

$("key").value = sessionStorage.getItem(KEY) ?? "";
const key = () => $("key").value.trim();

async function connect() {
  try {
    const ids = await models(key());
    $("model").replaceChildren(...ids.map((id) => element("option", id)));
    $("state").textContent = "";
    voiceNames = await voices(key());
  } catch (error) {
    $("state").textContent = explained(error);
    voiceNames = [];
  }
  $("voices").hidden = voiceNames.length === 0;
  $("voice").replaceChildren(...voiceNames.map((name) => element("option", name)));
  $("microphone").hidden = voiceNames.length === 0 || !canListen();
}

function explained(error) {
  return error instanceof ApiError ? error.message : `The server cannot be reached: ${error.message}`;
}

function number(id) {
  const value = $(id).valueAsNumber;
  return Number.isNaN(value) ? undefined : value;
}

function requestBody() {
  const system = $("system").value.trim();
  return {
    model: $("model").value,
    messages: [
      ...(system ? [{ role: "system", content: system }] : []),
      // An answer that failed before its first word says nothing.
      ...turns.filter((turn) => turn.content),
    ],
    temperature: number("temperature"),
    max_tokens: number("tokens"),
  };
}

/** Adds a turn to the page; the result is where its text goes, and its footer. */
function addTurn(role) {
  $("hint").hidden = true;
  const text = element("div");
  text.className = "text";
  const footer = element("footer");
  const turn = element("article", text, ...(role === "user" ? [] : [footer]));
  turn.className = role;
  $("chat").append(turn);
  follow(true);
  return { text, footer };
}

function follow(always = false) {
  const box = $("chat");
  // Whoever scrolled up to read is left there.
  if (always || box.scrollHeight - box.scrollTop - box.clientHeight < 80) {
    box.scrollTop = box.scrollHeight;
  }
}

async function answer() {
  const { text, footer } = addTurn("assistant");
  const conversation = turns;
  text.classList.add("waiting");
  const began = performance.now();
  let written = "";
  let first = 0;
  busy(true);
  try {
    const usage = await chat(requestBody(), {
      key: key(),
      signal: answering.signal,
      onText(piece) {
        first ||= performance.now();
        written += piece;
        text.classList.remove("waiting");
        show(text, written);
        follow();
      },
    });
    footer.append(figures(usage, began, first));
  } catch (error) {
    const stopped = error.name === "AbortError";
    const note = element("span", stopped ? "Stopped." : explained(error));
    note.className = stopped ? "" : "error";
    footer.append(note);
  }
  // A new chat began meanwhile: this answer belongs to none.
  if (turns !== conversation) return;
  text.classList.remove("waiting");
  turns.push({ role: "assistant", content: written });
  addButtons(footer, written, turns.length - 1);
  busy(false);
  follow();
}

function figures(usage, began, first) {
  const seconds = (performance.now() - began) / 1000;
  const count = usage?.completion_tokens ?? 0;
  const parts = [
    `${count} tokens`,
    `first after ${Math.round(first - began)} ms`,
    `${(count / seconds).toFixed(1)} tokens/s`,
  ];
  const cached = usage?.prompt_tokens_details?.cached_tokens;
  if (cached) parts.push(`${cached} of ${usage.prompt_tokens} from the cache`);
  return element("span", parts.join(" · "));
}

function addButtons(footer, written, place) {
  const add = (label, action) => {
    const button = element("button", label);
    button.type = "button";
    button.addEventListener("click", action);
    footer.append(button);
  };
  if (written) add("Copy", () => navigator.clipboard?.writeText(written));
  if (written && voiceNames.length > 0) {
    add("Listen", () =>
      say(written, $("voice").value, key()).catch((error) => {
        $("state").textContent = explained(error);
      }),
    );
  }
  add("Again", () => {
    if (answering) return;
    turns = turns.slice(0, place);
    const later = [...$("chat").querySelectorAll("article")].slice(place);
    later.forEach((turn) => turn.remove());
    answer();
  });
}

function busy(now) {
  answering = now ? new AbortController() : null;
  $("send").hidden = now;
  $("stop").hidden = !now;
  if (!now) $("message").focus();
}

function send(message) {
  const content = message.trim();
  if (!content || answering) return;
  hush();
  turns.push({ role: "user", content });
  show(addTurn("user").text, content);
  $("message").value = "";
  grow();
  answer();
}

function grow() {
  const box = $("message");
  box.rows = Math.min(10, box.value.split("\n").length);
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send($("message").value);
});
$("settings").addEventListener("submit", (event) => event.preventDefault());
$("message").addEventListener("input", grow);
$("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send($("message").value);
  }
});
$("stop").addEventListener("click", () => answering?.abort());
$("fresh").addEventListener("click", () => {
  answering?.abort();
  hush();
  turns = [];
  busy(false);
  $("chat").querySelectorAll("article").forEach((turn) => turn.remove());
  $("hint").hidden = false;
});
$("toggle").addEventListener("click", () => {
  $("settings").hidden = !$("settings").hidden;
  $("toggle").setAttribute("aria-expanded", String(!$("settings").hidden));
});
$("key").addEventListener("change", () => {
  sessionStorage.setItem(KEY, key());
  connect();
});

let finishListening = null;
$("microphone").addEventListener("click", async () => {
  try {
    if (finishListening) {
      const finish = finishListening;
      finishListening = null;
      $("microphone").setAttribute("aria-pressed", "false");
      send(await finish());
    } else {
      finishListening = await listen(key());
      $("microphone").setAttribute("aria-pressed", "true");
    }
  } catch (error) {
    $("state").textContent = explained(error);
  }
});

connect();
