"""The playground, and the viewer of the API's document."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="run by scripts/test_browser.sh")
from playwright.sync_api import Page, Route, expect

ANSWER = "article.assistant .text"


def ask(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_label("Message").press("Enter")


def test_a_conversation(page: Page) -> None:
    page.goto("/")
    assert page.url.endswith("/playground")
    ask(page, "What is the capital of France?")
    expect(page.locator(ANSWER)).to_contain_text("Paris")
    expect(page.locator("article footer")).to_contain_text("tokens/s")
    for place, country in enumerate(["Japan", "Spain", "Italy"], 1):
        ask(page, f"And what is the capital of {country}?")
        expect(page.locator("article footer").nth(place)).to_contain_text("tokens/s")
    # The last prompt holds the whole conversation, most of which the server has computed before.
    expect(page.locator("article footer").last).to_contain_text("from the cache")


def test_an_answer_again(page: Page) -> None:
    page.goto("/playground")
    ask(page, "What is the capital of Italy?")
    expect(page.locator(ANSWER)).to_contain_text("Rome")
    page.get_by_role("button", name="Again").click()
    expect(page.locator("article footer")).to_contain_text("tokens")
    expect(page.locator("article")).to_have_count(2)
    expect(page.locator(ANSWER)).to_contain_text("Rome")


def test_a_new_chat_ends_the_old_one(page: Page) -> None:
    page.goto("/playground")
    ask(page, "Tell me a long story.")
    page.get_by_role("button", name="New chat").click()
    expect(page.locator("article")).to_have_count(0)
    ask(page, "What is the capital of Spain?")
    expect(page.locator(ANSWER)).to_contain_text("Madrid")


def test_an_answer_is_stopped(page: Page) -> None:
    page.goto("/playground")
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("System prompt").fill("You tell stories.")
    # The server waits with its answer until it is told to stop.
    page.route("**/v1/chat/completions", lambda route: None)
    ask(page, "Tell me a story.")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("article footer")).to_contain_text("Stopped.")
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_what_is_set_is_sent(page: Page) -> None:
    page.goto("/playground")
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("System prompt").fill("Be short.")
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Most tokens").fill("3")
    page.get_by_label("API key").fill("sk-secret")
    page.get_by_label("API key").press("Tab")
    with page.expect_request("**/v1/chat/completions") as sent:
        ask(page, "Hello!")
    body = sent.value.post_data_json
    assert body["messages"][0] == {"role": "system", "content": "Be short."}
    assert (body["temperature"], body["max_tokens"]) == (0, 3)
    assert sent.value.headers["authorization"] == "Bearer sk-secret"
    expect(page.locator("article footer")).to_contain_text("3 tokens")


def test_an_error_is_told(page: Page) -> None:
    page.goto("/playground")
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Temperature").fill("99")
    ask(page, "Hello!")
    expect(page.locator("article footer .error")).to_contain_text("temperature")
    page.get_by_label("Temperature").fill("0")
    page.get_by_role("button", name="Again").click()
    expect(page.locator(ANSWER)).not_to_be_empty()


def test_what_a_model_writes_is_only_text(page: Page) -> None:
    written = "<img src=x onerror=alert(1)> `a<b`\\n```js\\n<script>alert(2)</script>\\n```"

    def answer(route: Route) -> None:
        chunk = f'{{"choices": [{{"delta": {{"content": "{written}"}}}}]}}'
        route.fulfill(body=f"data: {chunk}\n\ndata: [DONE]\n\n", content_type="text/event-stream")

    page.route("**/v1/chat/completions", answer)
    page.on("dialog", lambda dialog: pytest.fail("a script ran"))
    page.goto("/playground")
    ask(page, "Show me some code.")
    expect(page.locator(f"{ANSWER} pre code")).to_have_text("<script>alert(2)</script>\n")
    expect(page.locator(f"{ANSWER} > code")).to_have_text("a<b")
    expect(page.locator(ANSWER)).to_contain_text("<img src=x onerror=alert(1)>")
    expect(page.locator(f"{ANSWER} img")).to_have_count(0)


def test_the_viewer_of_the_document(page: Page) -> None:
    page.goto("/docs")
    expect(page.locator(".info .title")).to_contain_text("Sterna")
    expect(page.get_by_text("/v1/chat/completions", exact=True).first).to_be_visible()
