"""A real Prometheus, with the rules of deploy/, that scrapes one server."""

from __future__ import annotations

import math
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
START_SECONDS = 60.0


@dataclass(frozen=True)
class Series:
    """One line of a graph: pairs of seconds since 1970 and a number, which may be no number."""

    labels: dict[str, str]
    points: list[tuple[float, float]]

    @property
    def numbers(self) -> list[float]:
        """The values without those that are none."""
        return [value for _, value in self.points if not math.isnan(value)]


class Prometheus:
    """Runs while the `with` block does, and keeps its data in `directory`.

    Its configuration is deploy/prometheus/prometheus.yml with another target and other intervals.
    """

    def __init__(self, address: str, directory: Path, interval: int) -> None:
        """Scrapes `address` (`host:port`) every `interval` seconds."""
        self._directory = directory
        self._interval = interval
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._listen = f"127.0.0.1:{free.getsockname()[1]}"
        configuration = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
        configuration["global"] = dict.fromkeys(configuration["global"], f"{interval}s")
        rules = configuration["rule_files"]
        configuration["rule_files"] = [str(DEPLOY / "prometheus" / each) for each in rules]
        [job] = configuration["scrape_configs"]
        job["static_configs"] = [{"targets": [address]}]
        self._configuration = configuration

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        file = self._directory / "prometheus.yml"
        file.write_text(yaml.safe_dump(self._configuration))
        command = [
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={self._directory / 'data'}",
            f"--web.listen-address={self._listen}",
            "--log.level=warn",
        ]
        self._log = (self._directory / "log").open("w+")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        self._http = httpx.Client(base_url=f"http://{self._listen}", timeout=30)
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                raise AssertionError((self._directory / "log").read_text())
            time.sleep(0.1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def graph(self, expression: str, begin: float, end: float, step: float) -> list[Series]:
        """What an expression is between two moments, every `step` seconds."""
        data = self._get("query_range", query=expression, start=begin, end=end, step=step)["result"]
        return [
            Series(each["metric"], [(float(at), float(value)) for at, value in each["values"]])
            for each in data
        ]

    def label_values(self, selector: str, label: str) -> list[str]:
        """What Grafana's `label_values(selector, label)` asks for."""
        values: list[str] = self._get(f"label/{label}/values", **{"match[]": selector})
        return values

    def rules(self) -> dict[str, dict[str, Any]]:
        """The alerts by name, with `health`, `lastError` and `state`."""
        groups = self._get("rules")["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    def target(self) -> dict[str, Any]:
        """The server that is scraped, with `health` and `lastError`."""
        [target] = self._get("targets")["activeTargets"]
        found: dict[str, Any] = target
        return found

    def _get(self, path: str, **parameters: str | float) -> Any:
        answer = self._http.get(f"/api/v1/{path}", params=parameters)
        document = answer.json()
        assert document["status"] == "success", document
        return document["data"]

    def _is_ready(self) -> bool:
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def _stop(self) -> None:
        self._http.close()
        self._process.terminate()
        self._process.wait(30)
        self._log.close()
