"""What is shipped: ``devices``, ``links``, ``models`` and ``architectures``."""

from __future__ import annotations

from typing import Any

from workbench.cli.parser.arguments import command, json_switch

__all__ = ["add_architectures", "add_devices", "add_links", "add_models"]


def add_devices(commands: Any) -> None:
    parser = command(
        commands,
        "devices",
        "catalog",
        "List the device profiles, or show one with its sources.",
        "devices",
        "devices raspberry-pi-5",
    )
    parser.set_defaults(kind="device")
    parser.add_argument("name", nargs="?", help="show this one with the source of each value")
    json_switch(parser)


def add_links(commands: Any) -> None:
    parser = command(
        commands,
        "links",
        "catalog",
        "List the link profiles and traces, or show a profile with its sources.",
        "links",
        "links lte --json",
    )
    parser.set_defaults(kind="link")
    parser.add_argument("name", nargs="?", help="show this one with the source of each value")
    json_switch(parser)


def add_models(commands: Any) -> None:
    parser = command(
        commands,
        "models",
        "models",
        "List the shipped models, or show what any model is made of.",
        "models",
        "models tiny",
        "models ./my-model-folder --json",
    )
    parser.add_argument("name", nargs="?", help="a shipped model, a Hugging Face id or a folder")
    json_switch(parser)


def add_architectures(commands: Any) -> None:
    parser = command(
        commands,
        "architectures",
        "architectures",
        "List the shipped architectures: models to plan for without their weights.",
        "architectures",
        "architectures llama-3-70b --json",
    )
    parser.add_argument("name", nargs="?", help="one of them, a folder with a config.json, or its file")
    json_switch(parser)
