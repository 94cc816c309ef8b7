"""Chat templates: what they may use, and what they may not do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sterna_service.errors import ModelLoadError
from sterna_service.inference import chat_template
from sterna_service.inference.chat_template import ChatTemplate, TemplateError, load_chat_template


def render(source: str, **variables: object) -> str:
    return ChatTemplate({"default": source}).render(variables)


def test_blocks_leave_no_blank_lines() -> None:
    source = "{% for m in messages %}\n    {% if true %}\n{{ m }}\n    {% endif %}\n{% endfor %}"
    assert render(source, messages=["a", "b"]) == "a\nb\n"


def test_tojson_keeps_text_as_it_is() -> None:
    value = {"b": "<Grüße> & 'x'", "a": [1, 2]}
    assert render("{{ v | tojson }}", v=value) == json.dumps(value, ensure_ascii=False)
    wanted = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
    assert render("{{ v | tojson(indent=2, sort_keys=true) }}", v=value) == wanted


def test_loop_controls_generation_blocks_and_namespaces() -> None:
    source = (
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% if m == 'x' %}{% continue %}"
        "{% endif %}{% generation %}{{ m }}{% endgeneration %}{% set ns.n = ns.n + 1 %}"
        "{% if ns.n == 2 %}{% break %}{% endif %}{% endfor %}"
    )
    assert render(source, messages=["a", "x", "b", "c"]) == "ab"


def test_dict_and_dates() -> None:
    assert render("{{ dict(a=1).a }}{{ strftime_now('%Y') | length }}") == "14"


def test_a_template_can_refuse_a_conversation() -> None:
    with pytest.raises(TemplateError, match=r"^roles must alternate$"):
        render("{{ raise_exception('roles must alternate') }}")


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ messages.__class__() }}",
        "{% set ns = namespace(__class__=1) %}",
        "{{ dict.__globals__.os }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ raise_exception.__globals__.json }}",
        "{% include '/etc/passwd' %}",
        "{{ 1 // 0 }}",
        "{{ '%s' | format }}",
        "{{ missing.attribute }}",
        "{% for i in range(1000000000) %}{{ i }}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ],
)
def test_whatever_a_template_does_fails_as_a_template_error(source: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(source, messages=[])
    assert "\n" not in str(caught.value)


def test_output_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "LARGEST_OUTPUT_CHARACTERS", 1000)
    with pytest.raises(TemplateError, match="more than 1000 characters"):
        render("{% for i in range(99999) %}{{ i }}{% endfor %}")


def test_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "LONGEST_SECONDS", 0.01)
    nested = "{% for i in range(9999) %}{% for j in range(9999) %}{{ j }}{% endfor %}{% endfor %}"
    with pytest.raises(TemplateError, match="took longer than"):
        render(nested)


def write(directory: Path, declared: object) -> Path:
    (directory / "tokenizer_config.json").write_text(json.dumps({"chat_template": declared}))
    return directory


def test_the_file_goes_before_the_configuration(tmp_path: Path) -> None:
    write(tmp_path, "from the configuration")
    (tmp_path / "chat_template.jinja").write_text("from the file")
    template = load_chat_template(tmp_path)
    assert template is not None
    assert template.render({}) == "from the file"


def test_several_templates_by_name(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]
    template = load_chat_template(write(tmp_path, named))
    assert template is not None
    assert template.render({}) == "plain"
    assert template.render({}, with_tools=True) == "tools"


def test_a_checkpoint_may_have_none(tmp_path: Path) -> None:
    assert load_chat_template(tmp_path) is None


@pytest.mark.parametrize("declared", [7, [], [1], [{"name": "x"}], {"default": "x"}])
def test_a_template_of_the_wrong_form_is_refused(tmp_path: Path, declared: object) -> None:
    with pytest.raises(ModelLoadError, match="chat_template must be text"):
        load_chat_template(write(tmp_path, declared))


def test_a_template_with_bad_syntax_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="chat template 'default' is not valid"):
        load_chat_template(write(tmp_path, "{% if %}"))


def test_a_configuration_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelLoadError, match="not UTF-8"):
        load_chat_template(tmp_path)
