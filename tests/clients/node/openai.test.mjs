// The `openai` package for JavaScript.
import assert from "node:assert/strict";
import test from "node:test";

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const { BASE_URL, MODEL, PARIS } = process.env;
const client = new OpenAI({ baseURL: BASE_URL, apiKey: "unused", maxRetries: 0 });
const messages = [{ role: "user", content: "What is the capital of France?" }];
const Weather = z.object({ city: z.enum(["Paris", "Rome"]), day: z.int().min(1).max(7) });

test("chat", async () => {
  const answer = await client.chat.completions.create({ model: MODEL, messages, temperature: 0 });
  assert.equal(answer.choices[0].message.content, PARIS);
});

test("stream", async () => {
  const stream = client.chat.completions.stream({
    model: MODEL,
    messages,
    temperature: 0,
    stream_options: { include_usage: true },
  });
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  assert.equal(text, PARIS);
  assert.ok((await stream.totalUsage()).completion_tokens > 0);
});

test("tools", async () => {
  const seen = [];
  const runner = client.chat.completions.runTools({
    model: MODEL,
    messages: [{ role: "user", content: "What is the weather in Rome?" }],
    max_tokens: 200,
    tool_choice: { type: "function", function: { name: "weather" } },
    tools: [
      {
        type: "function",
        function: {
          name: "weather",
          description: "Tell the weather of a city.",
          parameters: z.toJSONSchema(Weather),
          parse: (text) => Weather.parse(JSON.parse(text)),
          function: async (input) => {
            seen.push(input);
            return "Sunny.";
          },
        },
      },
    ],
  });
  await runner.done();
  assert.ok(seen.length > 0);
});

test("structured output", async () => {
  const answer = await client.chat.completions.parse({
    model: MODEL,
    messages,
    response_format: zodResponseFormat(Weather, "weather"),
  });
  assert.ok(Weather.safeParse(answer.choices[0].message.parsed).success);
});

test("responses", async () => {
  const first = await client.responses.create({
    model: MODEL,
    input: messages[0].content,
    temperature: 0,
  });
  assert.equal(first.output_text, PARIS);
  const stream = await client.responses.create({
    model: MODEL,
    input: "Thanks.",
    previous_response_id: first.id,
    max_output_tokens: 20,
    stream: true,
  });
  const kinds = [];
  for await (const event of stream) kinds.push(event.type);
  assert.equal(kinds[0], "response.created");
  assert.match(kinds.at(-1), /^response\.(completed|incomplete)$/);
});

test("embeddings", async () => {
  const answer = await client.embeddings.create({ model: MODEL, input: ["One", "Two"] });
  assert.equal(answer.data.length, 2);
});

test("an error", async () => {
  await assert.rejects(
    client.chat.completions.create({ model: "nothing", messages }),
    (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found",
  );
});
