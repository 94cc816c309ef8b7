"""The files of deploy/: well-formed, and true of this server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sterna_rest.http.request_context import PROBES
from sterna_server.settings import Settings
from tests.deploy.expressions import DEPLOY, alerts, dashboard_expressions, selections

ROOT = DEPLOY.parent
PROGRAMS = Path(sys.executable).parent
UNIT = DEPLOY / "systemd" / "sterna.service"
SETTINGS = {f"STERNA_{name.upper()}" for name in Settings.model_fields}


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_the_image_has_no_lint() -> None:
    result = _run(PROGRAMS / "hadolint", DEPLOY / "container" / "Dockerfile")
    assert result.returncode == 0, result.stdout


def test_the_compose_file_follows_its_schema() -> None:
    schema = ("--builtin-schema", "vendor.compose-spec")
    result = _run(PROGRAMS / "check-jsonschema", *schema, DEPLOY / "compose.yaml")
    assert result.returncode == 0, result.stdout


def test_files_that_compose_mounts_are_there() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    mounted = [
        volume.split(":")[0]
        for service in services.values()
        for volume in service["volumes"]
        if volume.startswith(".")
    ]
    assert len(mounted) == 3
    for path in mounted:
        assert (DEPLOY / path).exists(), path


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_the_unit_is_valid_and_hardened(tmp_path: Path) -> None:
    here = tmp_path / "sterna.service"
    here.write_text(UNIT.read_text().replace("/opt/sterna/bin/sterna", "/bin/true"))
    result = _run("systemd-analyze", "verify", here)
    assert (result.returncode, result.stderr) == (0, "")
    # 10 is a service without any protection; the threshold is in tenths.
    result = _run("systemd-analyze", "security", "--offline=true", "--threshold=20", here)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    "file",
    ["container/Dockerfile", "compose.yaml", "systemd/sterna.service", "systemd/voice.conf",
     "kubernetes/sterna.yaml"],
)  # fmt: skip
def test_every_variable_is_a_setting(file: str) -> None:
    text = re.sub(r"(?m)^\s*#.*$", "", (DEPLOY / file).read_text())
    named = set(re.findall(r"\bSTERNA_[A-Z_]+", text))
    assert named
    assert named <= SETTINGS


def test_nobody_is_ended_before_the_grace_period_is_over() -> None:
    grace = Settings().grace
    unit = re.search(r"TimeoutStopSec=(\d+)s", UNIT.read_text())
    assert unit is not None
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    compose = int(services["sterna"]["stop_grace_period"].removesuffix("s"))
    pod = _kubernetes("Deployment")["spec"]["template"]["spec"]
    for seconds in (int(unit[1]), compose, pod["terminationGracePeriodSeconds"]):
        assert seconds >= grace + 10


def test_probes_and_services_name_ports_that_there_are() -> None:
    pod = _kubernetes("Deployment")["spec"]["template"]
    container = pod["spec"]["containers"][0]
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in named
    service = _kubernetes("Service")["spec"]
    assert {port["targetPort"] for port in service["ports"]} <= set(named)
    labels = pod["metadata"]["labels"].items()
    assert service["selector"].items() <= labels
    budget = _kubernetes("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    assert budget.items() <= labels
    assert str(named["metrics"]) == pod["metadata"]["annotations"]["prometheus.io/port"]


def test_the_dashboard_is_what_its_script_makes() -> None:
    result = _run(sys.executable, "scripts/make_dashboard.py", "--check")
    assert result.returncode == 0, result.stderr


def test_panels_do_not_overlap_and_have_expressions() -> None:
    import json

    panels = json.loads((DEPLOY / "grafana" / "sterna.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_expression_can_be_read() -> None:
    expressions = dashboard_expressions() + [rule["expr"] for rule in alerts()]
    assert len(expressions) > 40
    for expression in expressions:
        assert selections(expression), expression


def test_probes_and_scrapes_do_not_count_as_work() -> None:
    asked = [*dashboard_expressions(), *(rule["expr"] for rule in alerts())]
    lists = {found for text in asked for found in re.findall(r'http_route!~"([^"]+)"', text)}
    assert [set(each.split("|")) for each in lists] == [set(PROBES)]


def test_every_alert_is_tested_with_promtool() -> None:
    """By scripts/test_prometheus.sh, where the program is; each when it fires and when not."""
    tests = yaml.safe_load((ROOT / "tests" / "deploy" / "alerts_test.yml").read_text())["tests"]
    fires: set[str] = set()
    silent: set[str] = set()
    for case in (case for test in tests for case in test["alert_rule_test"]):
        (fires if case.get("exp_alerts") else silent).add(case["alertname"])
    assert fires == silent == {rule["alert"] for rule in alerts()}


def test_alerts_have_what_people_need() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    for rule in alerts():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")
    operations = (ROOT / "docs" / "operations.md").read_text()
    for name in names:
        assert f"`{name}`" in operations, f"docs/operations.md says nothing of {name}"


def _kubernetes(kind: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes" / "sterna.yaml").read_text())
    found: dict[str, Any] = next(each for each in documents if each["kind"] == kind)
    return found
