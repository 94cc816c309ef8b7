// Listens and speaks, where the server and the browser can.

import { speak, transcribe } from "./api.js";

/** Whether this page may use a microphone: browsers allow it on localhost and over HTTPS. */
export function canListen() {
  return Boolean(navigator.mediaDevices && window.MediaRecorder);
}

/** Starts to record; the result stops, and then resolves to what was said. */
export async function listen(key) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(stream);
  const pieces = [];
  recorder.ondataavailable = (event) => pieces.push(event.data);
  recorder.start();
  return async () => {
    const stopped = new Promise((resolve) => (recorder.onstop = resolve));
    recorder.stop();
    await stopped;
    stream.getTracks().forEach((track) => track.stop());
    return transcribe(new Blob(pieces, { type: recorder.mimeType }), key);
  };
}

let playing = null;

/** Speaks a text, in place of what is being spoken. Resolves when it starts. */
export async function say(text, voice, key) {
  hush();
  const url = URL.createObjectURL(await speak(text, voice, key));
  playing = new Audio(url);
  playing.onended = () => URL.revokeObjectURL(url);
  await playing.play();
}

/** Stops speaking. */
export function hush() {
  playing?.pause();
  playing = null;
}
