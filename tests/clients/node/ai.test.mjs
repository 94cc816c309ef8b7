// Vercel's `ai` package, through `@ai-sdk/openai-compatible` and through `@ai-sdk/openai`, which speaks
// the Responses API and names what is stored.
import assert from "node:assert/strict";
import test from "node:test";

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const { BASE_URL, MODEL, PARIS } = process.env;
const provider = createOpenAICompatible({
  name: "sterna",
  baseURL: BASE_URL,
  apiKey: "unused",
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = provider(MODEL);
const prompt = "What is the capital of France?";
const Weather = z.object({ city: z.enum(["Paris", "Rome"]), day: z.int().min(1).max(7) });
const question = { model, temperature: 0, maxRetries: 0 };

test("chat", async () => {
  const { text, usage } = await generateText({ ...question, prompt });
  assert.equal(text, PARIS);
  assert.ok(usage.outputTokens > 0);
});

test("stream", async () => {
  const result = streamText({ ...question, prompt });
  let text = "";
  for await (const part of result.textStream) text += part;
  assert.equal(text, PARIS);
  assert.equal(await result.finishReason, "stop");
  assert.ok((await result.usage).outputTokens > 0);
});

test("tools", async () => {
  const seen = [];
  const weather = tool({
    description: "Tell the weather of a city.",
    inputSchema: Weather,
    execute: async (input) => {
      seen.push(input);
      return "Sunny.";
    },
  });
  const { steps } = await generateText({
    ...question,
    prompt: "What is the weather in Rome?",
    tools: { weather },
    maxOutputTokens: 200,
    stopWhen: stepCountIs(2),
    prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" }),
  });
  assert.equal(steps.length, 2);
  assert.ok(seen.length > 0);
  for (const input of seen) Weather.parse(input);
});

test("streamed tools", async () => {
  const result = streamText({
    ...question,
    prompt: "What is the weather in Rome?",
    tools: { weather: tool({ inputSchema: Weather }) },
    toolChoice: "required",
    maxOutputTokens: 200,
  });
  for await (const _ of result.fullStream);
  const calls = await result.toolCalls;
  assert.ok(calls.length > 0);
  for (const call of calls) Weather.parse(call.input);
});

test("structured output", async () => {
  const result = await generateText({ ...question, prompt, output: Output.object({ schema: Weather }) });
  assert.ok(Weather.safeParse(result.output).success);
});

test("embeddings", async () => {
  const { embeddings } = await embedMany({
    model: provider.embeddingModel?.(MODEL) ?? provider.textEmbeddingModel(MODEL),
    values: ["One", "Two"],
  });
  assert.equal(embeddings.length, 2);
});

test("stored responses", async () => {
  const responses = createOpenAI({ baseURL: BASE_URL, apiKey: "unused" })(MODEL);
  const first = await generateText({ ...question, model: responses, prompt });
  assert.equal(first.text, PARIS);
  const seen = [];
  const weather = tool({
    description: "Tell the weather of a city.",
    inputSchema: Weather,
    execute: async (input) => {
      seen.push(input);
      return "Sunny.";
    },
  });
  const { steps } = await generateText({
    ...question,
    model: responses,
    prompt: "What is the weather in Rome?",
    tools: { weather },
    maxOutputTokens: 200,
    stopWhen: stepCountIs(2),
    prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" }),
  });
  assert.equal(steps.length, 2);
  assert.ok(seen.length > 0);
  const followed = await generateText({
    ...question,
    model: responses,
    prompt: "Thanks.",
    maxOutputTokens: 20,
    providerOptions: { openai: { previousResponseId: first.response.id } },
  });
  assert.ok(followed.usage.inputTokens > first.usage.inputTokens);
});
