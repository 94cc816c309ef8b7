"""One chat, from the first line to the last."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from sterna.errors import SternaError
from sterna_server.chat.background import BackgroundLoop
from sterna_server.chat.conversation import Conversation, Turn
from sterna_server.chat.terminal import Terminal

HELP = """/new           forget the conversation
/system TEXT   set the system prompt and start over
/help          show this
q, Ctrl-D      leave
Ctrl-C         stop the answer"""

Answer = Callable[[list[Turn]], AsyncIterator[str]]


class ChatSession:
    """Reads questions and shows answers until the person leaves.

    `answer` continues a list of turns; what it yields is shown at once.
    """

    def __init__(
        self, loop: BackgroundLoop, terminal: Terminal, answer: Answer, system: str = ""
    ) -> None:
        self._loop = loop
        self._terminal = terminal
        self._answer = answer
        self._conversation = Conversation(system=system)
        self._failed = False

    def run(self) -> bool:
        """Whether every question got its answer."""
        while True:
            try:
                line = self._terminal.read()
            except KeyboardInterrupt:
                if not self._terminal.interactive:
                    raise
                self._terminal.write("\n")
                self._terminal.hint("q leaves, /help lists the commands")
                continue
            if line is None or line.strip() in ("q", "/q", "/quit", "/exit"):
                return not self._failed
            if line.strip().startswith("/"):
                self._command(line.strip())
            elif line.strip():
                self._converse(line)

    def _command(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        match name:
            case "/new":
                self._conversation.clear()
                self._terminal.hint("a new conversation")
            case "/system":
                self._conversation = Conversation(system=rest.strip())
                self._terminal.hint("a new conversation with this system prompt")
            case "/help":
                self._terminal.hint(HELP)
            case _:
                self._fail(f"{name} is not a command; /help lists them")

    def _converse(self, question: str) -> None:
        self._conversation.ask(question)
        said = ""
        try:
            for text in self._loop.iterate(self._answer(self._conversation.messages())):
                said += text
                self._terminal.write(text)
        except KeyboardInterrupt:
            self._terminal.end_answer("stopped")
        except SternaError as error:
            if said:
                self._terminal.end_answer("failed")
            self._fail(error.message, *_remedies(error))
        else:
            self._terminal.end_answer()
        self._conversation.answer(said)

    def _fail(self, *lines: str) -> None:
        self._failed = True
        self._terminal.problem(lines)


def _remedies(error: SternaError) -> tuple[str, ...]:
    if error.reason == "CONTEXT_LENGTH_EXCEEDED":
        return ("/new starts a conversation that fits",)
    return ()
