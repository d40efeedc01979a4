"""Secrets stay on the machine: names pass an allow-list, values are searched."""

from __future__ import annotations

from typing import Any

import pytest

from deriva_ml.environment.redact import (
    is_secret_name,
    redact,
    redact_arguments,
    redact_environment,
    redact_lines,
    redact_text,
    strip_credentials,
)

HIDDEN = "[redacted]"
KEY = "-".join(["sk", "proj", "a1B2" * 8])
GITHUB = "_".join(["ghp", "a1B2" * 9])


@pytest.mark.parametrize(
    "name",
    ["password", "PASSWORD", "db_password", "api_key", "API-KEY", "apiKey", "AWS_SECRET_ACCESS_KEY", "token", "HF_TOKEN", "access_token",
     "credential", "credentials", "cookie", "authorization", "auth", "private_key", "sshKey", "client_secret", "connection_string", "passphrase"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens",
        "tokenizer",
        "author",
        "key",
        "keys",
        "monkey",
        "primary_key",
        "passes",
        "secretary",
        "learning_rate",
        "bypass",
        "authority",
        "x",
    ],
)
def test_names_that_only_sound_alike(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "text",
    [KEY, GITHUB, "AKIAIOSFODNN7EXAMPLE", "hf_abcdefghijklmnopqrstuvwx", "xoxb-1234567890-abcdef", "AIza" + "a" * 35,
     "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----"],
    ids=["openai", "github", "aws", "hugging face", "slack", "google", "jwt", "private key"],
)  # fmt: skip
def test_values_of_known_makes_are_found_anywhere(text: str) -> None:
    cleaned = redact_text(f"before {text} after")
    assert cleaned == f"before {HIDDEN} after"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://me:pw@host/x", f"https://{HIDDEN}@host/x"),
        ("postgres://u:p@db:5432/x?sslmode=require", f"postgres://{HIDDEN}@db:5432/x?sslmode=require"),
        ("https://host/x?api_key=1&n=2", f"https://host/x?api_key={HIDDEN}&n=2"),
        ("https://host/a@b/c", "https://host/a@b/c"),
        ("Authorization: Bearer abcdefgh12345", f"Authorization: Bearer {HIDDEN}"),
        ("plain text, 50% @ home", "plain text, 50% @ home"),
        ("", ""),
    ],
)
def test_addresses_lose_their_credentials(text: str, expected: str) -> None:
    assert redact_text(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"lr": 0.1, "token": "abc"}, {"lr": 0.1, "token": HIDDEN}),
        ({"deep": [{"password": "x", "user": "me"}]}, {"deep": [{"password": HIDDEN, "user": "me"}]}),
        ({"auth": {"user": "me", "password": "x"}}, {"auth": {"user": "me", "password": HIDDEN}}),
        ({"token": ["a", "b"]}, {"token": HIDDEN}),
        ({"token": None, "use_auth": True, "password": ""}, {"token": None, "use_auth": True, "password": ""}),
        ({"note": f"use {GITHUB}"}, {"note": f"use {HIDDEN}"}),
        ([1, (2, "x")], [1, [2, "x"]]),
    ],
)
def test_settings_are_searched_at_any_depth(value: Any, expected: Any) -> None:
    assert redact(value) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train.py", "--epochs", "3"], ["train.py", "--epochs", "3"]),
        (["x", "--token", "abc", "more"], ["x", "--token", HIDDEN, "more"]),
        (["x", "--password=abc"], ["x", f"--password={HIDDEN}"]),
        (["x", "db.password=abc", "+api_key=1"], ["x", f"db.password={HIDDEN}", f"+api_key={HIDDEN}"]),
        (["x", "--token", "--verbose"], ["x", "--token", "--verbose"]),
        (["x", f"--header=Bearer {GITHUB}"], ["x", f"--header=Bearer {HIDDEN}"]),
        (["x", "https://a:b@c/d"], ["x", f"https://{HIDDEN}@c/d"]),
    ],
)
def test_command_lines_lose_their_secrets(arguments: list[str], expected: list[str]) -> None:
    assert redact_arguments(arguments) == expected


def test_environment_variables_pass_by_name_and_are_searched() -> None:
    given = {
        "CUDA_VISIBLE_DEVICES": "0",
        "PATH": "/bin",
        "MY_SECRET": "x",
        "HARMLESS": "y",
        "CUDA_VISIBLE_DEVICES_X": "1",
        "PYTHONPATH": f"/a:{KEY}",
    }
    assert redact_environment(given) == {"CUDA_VISIBLE_DEVICES": "0", "PATH": "/bin", "PYTHONPATH": f"/a:{HIDDEN}"}


def test_settings_files_are_cleaned_line_by_line() -> None:
    text = (
        "lr: 0.1\ndb:\n  password: hunter2\n  user: me\n- token=abc\nurl: https://a:b@c/d\nempty_password: ''\nlast: 1"
    )
    cleaned = "lr: 0.1\ndb:\n  password: [redacted]\n  user: me\n- token=[redacted]\nurl: https://[redacted]@c/d\nempty_password: ''\nlast: 1"
    assert redact_lines(text) == cleaned


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://a:b@host/x", "https://host/x"),
        ("https://host/a@b", "https://host/a@b"),
        ("git@host:x", "git@host:x"),
        ("", ""),
    ],
)
def test_repositories_are_named_without_credentials(address: str, expected: str) -> None:
    assert strip_credentials(address) == expected
