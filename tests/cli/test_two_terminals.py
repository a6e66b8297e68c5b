"""``workbench serve`` in one process and ``workbench generate --cloud`` in another."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from workbench import cli

WORKBENCH = (sys.executable, "-m", "workbench")
PROMPT = "def read("
TIMEOUT_S = 120

pytestmark = pytest.mark.slow


@contextmanager
def _serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    process = subprocess.Popen(
        [*WORKBENCH, "serve", "--listen", "127.0.0.1:0", "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, json.loads(line)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _generate(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*WORKBENCH, "generate", "--prompt", PROMPT, "--max-new-tokens", "8", *options],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with _serving() as (_, ready):
        yield ready


def _at(ready: dict[str, str]) -> tuple[str, ...]:
    return "--cloud", ready["address"], f"--server-key={ready['server_key']}"  # one may begin with a minus


@pytest.mark.parametrize("where", [("--split", "3"), ("--split", "2,5"), ("--cloud-only",)])
def test_the_text_is_the_unsplit_models(server: dict[str, str], where: tuple[str, ...]) -> None:
    exact = ("--edge-bits", "32", "--cloud-bits", "32", "--wire", "fp32", "--json")
    split = _generate(*where, *_at(server), *exact)
    assert split.returncode == 0, split.stderr
    whole = _generate("--edge-only", "--clock", "wall", *exact)
    assert whole.returncode == 0, whole.stderr
    trace, reference = json.loads(split.stdout), json.loads(whole.stdout)
    assert trace["token_ids"] == reference["token_ids"]
    assert trace["bytes_up"] > 0
    assert trace["clock"] == "wall"


def test_tokens_come_as_text_and_then_the_trace(server: dict[str, str]) -> None:
    done = _generate("--split", "3", *_at(server))
    assert done.returncode == 0, done.stderr
    text, _, trace = done.stdout.partition("\n\n")
    assert text
    assert "ttft" in trace
    assert "measured" in trace
    assert "not shaped" in trace


def test_a_wrong_key_is_refused(server: dict[str, str]) -> None:
    with _serving() as (_, other):
        wrong = _generate("--split", "3", *_at({**other, "address": server["address"]}))
    assert wrong.returncode == 4
    assert wrong.stderr.startswith("error: ")
    assert "Traceback" not in wrong.stderr


def test_another_model_is_refused(server: dict[str, str]) -> None:
    other = _generate("--split", "1", "--model", "tiny-draft", *_at(server))
    assert other.returncode in (2, 4)
    assert "fingerprint" in other.stderr


def test_nobody_there_is_code_4() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    done = _generate("--split", "3", "--cloud", f"127.0.0.1:{port}", "--server-key", "0" * 40)
    assert done.returncode == 4
    assert "is `workbench serve` running there?" in done.stderr


def test_a_cloud_that_dies_in_the_middle_is_code_4() -> None:
    with _serving() as (process, ready):
        generating = subprocess.Popen(
            [
                *WORKBENCH,
                "generate",
                "--prompt",
                PROMPT,
                "--max-new-tokens",
                "900",
                "--split",
                "3",
                *_at(ready),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert generating.stdout is not None
        assert generating.stdout.read(1)  # it has begun
        process.kill()
        _, stderr = generating.communicate(timeout=TIMEOUT_S)
    assert generating.returncode == 4
    assert stderr.startswith("error: ")


def test_ctrl_c_in_the_middle_is_code_130_and_leaves_nobody() -> None:
    local = ("--split", "3", "--edge", "raspberry-pi-5", "--cloud", "h100-sxm", "--link", "lte")
    generating = subprocess.Popen(
        [*WORKBENCH, "generate", "--prompt", PROMPT, "--max-new-tokens", "900", *local],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert generating.stdout is not None
    assert generating.stdout.read(1)
    children = psutil.Process(generating.pid).children(recursive=True)
    assert len(children) >= 2
    generating.send_signal(signal.SIGINT)
    _, stderr = generating.communicate(timeout=TIMEOUT_S)
    assert generating.returncode == 130
    assert "Traceback" not in stderr
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_a_port_in_use_is_told(server: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--listen", server["address"]]) == 2
    assert server["address"].rpartition(":")[2] in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_server_cleanly(number: signal.Signals) -> None:
    with _serving() as (process, _):
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in stderr


def test_the_key_file_keeps_the_public_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "server.key"
    with _serving("--key-file", str(path)) as (_, first):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with _serving("--key-file", str(path)) as (_, second):
        assert second["server_key"] == first["server_key"]
    path.write_text("nonsense")
    assert cli.main(["serve", "--listen", "127.0.0.1:0", "--key-file", str(path)]) == 2
    assert "holds no key pair" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["5555", "localhost", "127.0.0.1:http", "127.0.0.1:70000", ":5555"])
def test_an_address_that_cannot_be_is_told(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--listen", text]) == 2
    assert "HOST:PORT" in capsys.readouterr().err
