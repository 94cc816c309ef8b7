"""`sterna chat`: in a pipe and on a terminal, with a server and without."""

from __future__ import annotations

from pathlib import Path

from tests.support.server_process import STERNA, ServerProcess, clean_environment, run_sterna
from tests.support.terminal_process import TerminalProcess

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."


def test_pipe_without_a_server(home: Path) -> None:
    result = run_sterna("chat", home=home, stdin=f"{QUESTION}\n\n/new\n{QUESTION}\nq\nignored\n")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{ANSWER}\n{ANSWER}\n"
    assert result.stderr == ""


def test_pipe_with_a_server(server: ServerProcess, home: Path) -> None:
    result = run_sterna("chat", "--core", server.grpc_address, home=home, stdin=QUESTION)
    assert (result.returncode, result.stdout) == (0, f"{ANSWER}\n"), result.stderr


def test_history_is_sent(server: ServerProcess, home: Path) -> None:
    """The second answer to one question depends on the first being there."""
    core = ("chat", "--core", server.grpc_address, "--temperature", "0")
    story = "Tell me a story about a dog."
    once = run_sterna(*core, home=home, stdin=f"{story}\n").stdout
    twice = run_sterna(*core, home=home, stdin=f"{QUESTION}\n{story}\n").stdout
    fresh = run_sterna(*core, home=home, stdin=f"{QUESTION}\n/new\n{story}\n").stdout
    assert fresh == f"{ANSWER}\n{once}"
    assert twice != fresh


def test_too_long_a_conversation_says_how_to_go_on(server: ServerProcess, home: Path) -> None:
    result = run_sterna(
        "chat", "--core", server.grpc_address, home=home, stdin=f"{'word ' * 2000}\n{QUESTION}\n"
    )
    assert result.returncode == 1
    assert result.stdout == f"{ANSWER}\n"
    assert "/new" in result.stderr
    assert "Traceback" not in result.stderr


def test_no_server_there(home: Path) -> None:
    result = run_sterna("chat", "--core", "127.0.0.1:1", home=home, stdin=QUESTION)
    assert result.returncode == 2
    assert "127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.stderr


def test_unknown_model_of_a_server(server: ServerProcess, home: Path) -> None:
    result = run_sterna("chat", "gpt-9", "--core", server.grpc_address, home=home, stdin=QUESTION)
    assert result.returncode == 2
    assert "gpt-9" in result.stderr
    assert "sterna/tern-nano" in result.stderr


def on_terminal(server: ServerProcess, home: Path, *options: str) -> TerminalProcess:
    """`sterna chat` on a terminal, talking to a running server."""
    command = [str(STERNA), "chat", "--core", server.grpc_address, *options]
    return TerminalProcess(command, clean_environment(home))


def test_terminal_chat(server: ServerProcess, home: Path) -> None:
    with on_terminal(server, home) as terminal:
        terminal.expect("sterna/tern-nano")
        terminal.expect("> ")
        terminal.type(f"{QUESTION}\n")
        terminal.expect(ANSWER)
        terminal.expect("> ")
        terminal.type("/help\n")
        terminal.expect("/new")
        terminal.expect("> ")
        terminal.insist("\x03", "q leaves")
        terminal.type("q\n")
        assert terminal.wait() == 0


def test_ctrl_c_stops_the_answer_and_not_the_program(
    slow_server: ServerProcess, home: Path
) -> None:
    # So hot that the end token is improbable: with this seed the embedded model would go on until
    # its context window is full.
    options = ("--temperature", "2", "--seed", "15")
    with on_terminal(slow_server, home, *options) as terminal:
        terminal.expect("> ")
        terminal.type("Tell me a story.\n")
        terminal.expect("story.\r\n")
        terminal.expect(" ")
        terminal.type("\x03")
        terminal.expect("[stopped]")
        terminal.expect("> ")
        terminal.type("/help\n")
        terminal.expect("/new")
        terminal.expect("> ")
        terminal.type("\x04")
        assert terminal.wait() == 0


def test_with_an_adapter(home: Path) -> None:
    adapter = Path(__file__).parents[1] / "data/adapters/pirate"
    result = run_sterna("chat", "--adapter", str(adapter), home=home, stdin=QUESTION)
    assert result.stdout == "The capital of France be Paris, matey!\n", result.stderr
    missing = run_sterna("chat", "--adapter", "./nowhere", home=home, stdin=QUESTION)
    assert missing.returncode == 2
    assert "adapter_config.json" in missing.stderr
