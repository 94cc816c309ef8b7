// What the page asks of the server: the OpenAI API, and nothing else.

/** A failure that the server explained. */
export class ApiError extends Error {}

function headers(key, more = {}) {
  return key ? { ...more, authorization: `Bearer ${key}` } : more;
}

async function checked(response) {
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  const message = body?.error?.message ?? body?.detail ?? response.statusText;
  throw new ApiError(`${message} (HTTP ${response.status})`);
}

/** The ids of the models that answer chats, the default one first. */
export async function models(key) {
  const response = await checked(await fetch("/v1/models", { headers: headers(key) }));
  return (await response.json()).data.map((model) => model.id);
}

/** The voices that can be used; none when the server does not speak. */
export async function voices(key) {
  const response = await fetch("/v1/voices", { headers: headers(key) });
  if (!response.ok) return [];
  return (await response.json()).data.filter((voice) => voice.usable).map((voice) => voice.id);
}

/**
 * Streams an answer: calls `onText` with each piece; the result is the stream's `usage`.
 * Throws ApiError when the server reports an error, before the stream or within it.
 */
export async function chat(body, { key, signal, onText }) {
  const response = await checked(
    await fetch("/v1/chat/completions", {
      method: "POST",
      headers: headers(key, { "content-type": "application/json" }),
      body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
      signal,
    }),
  );
  let usage = null;
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return usage;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ApiError(chunk.error.message);
    usage = chunk.usage ?? usage;
    const text = chunk.choices[0]?.delta?.content;
    if (text) onText(text);
  }
  throw new ApiError("The connection ended before the answer did.");
}

/** The data of server-sent events, one string each; comments are left out. */
async function* events(body) {
  let rest = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) yield line.slice(5).trim();
    }
  }
}

/** What was said in a recording. */
export async function transcribe(blob, key) {
  const form = new FormData();
  form.append("file", blob, "recording.webm");
  form.append("model", "whisper-1");
  const request = { method: "POST", headers: headers(key), body: form };
  const response = await checked(await fetch("/v1/audio/transcriptions", request));
  return (await response.json()).text;
}

/** A text, spoken: a WAV file. */
export async function speak(input, voice, key) {
  const request = {
    method: "POST",
    headers: headers(key, { "content-type": "application/json" }),
    body: JSON.stringify({ input, voice, response_format: "wav" }),
  };
  return (await checked(await fetch("/v1/audio/speech", request))).blob();
}
