"""docker-compose.yml, as far as it can be held without a Docker engine: its schema, and that it runs what tests run."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
OURS = ("worker", "feed", "simulator")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_the_file_fits_the_compose_schema() -> None:
    found = _run(
        sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"
    )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("service", [*OURS, "codec"])
def test_its_commands_are_those_the_stack_starts_as_processes(compose: dict[str, Any], service: str) -> None:
    command = compose["services"][service]["command"]
    assert command[0] == service
    options = {word for word in command[1:] if word.startswith("--")}
    shown = _run(sys.executable, "-m", "cli.main", service, "--help")
    assert shown.returncode == 0, shown.stderr
    assert all(option in shown.stdout for option in options), options


@pytest.mark.parametrize("service", OURS)
def test_ours_run_unprivileged_restart_and_tell_their_health(compose: dict[str, Any], service: str) -> None:
    found = compose["services"][service]
    assert found["user"] == "10001:10001"
    assert found["cap_drop"] == ["ALL"]
    assert found["restart"] == "unless-stopped"
    assert found["healthcheck"]["test"]


@pytest.mark.parametrize("service", ["worker", "feed"])
def test_the_health_check_is_a_command_that_exists(compose: dict[str, Any], service: str) -> None:
    check = compose["services"][service]["healthcheck"]["test"]
    assert check[:3] == ["CMD", "hypertrader", "doctor"]
    shown = _run(sys.executable, "-m", "cli.main", "doctor", "--help")
    assert "--only" in shown.stdout


def test_each_key_is_for_those_alone_who_need_it(compose: dict[str, Any]) -> None:
    holders = {name: set(service.get("secrets", [])) for name, service in compose["services"].items()}
    assert {name for name, secrets in holders.items() if "private_key" in secrets} == {"worker"}
    assert {name for name, secrets in holders.items() if "payload_key" in secrets} == {"worker", "feed", "codec"}


def test_no_secret_is_written_in_it_and_only_the_web_ui_and_its_codec_are_published(
    compose: dict[str, Any],
) -> None:
    assert set(compose["secrets"]) == {"postgres_password", "pgpass", "private_key", "payload_key"}
    assert all(list(secret) == ["file"] for secret in compose["secrets"].values())
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {"temporal-ui": ["127.0.0.1:8233:8080"], "codec": ["127.0.0.1:8234:8234"]}
