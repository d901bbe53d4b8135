"""What is published says the same everywhere: package, citation and changelog."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SECTION = re.compile(r"^## (\d+\.\d+\.\d+) \((unreleased|\d{4}-\d{2}-\d{2})\)\n\n- ", re.MULTILINE)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    fields: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return fields


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    fields: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return fields


@pytest.fixture(scope="module")
def sections() -> list[tuple[str, str]]:
    """Version and date of each section of the changelog that holds an entry, newest first."""
    return SECTION.findall((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))


def test_the_version_is_semantic_and_that_of_the_installed_package(project: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert project["version"] == version("smoothserve")


def test_the_citation_has_what_its_format_requires(citation: dict[str, Any]) -> None:
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert all(isinstance(citation[field], str) and citation[field] for field in ("message", "title"))
    assert citation["authors"]
    assert all(author.get("name") or author.get("family-names") for author in citation["authors"])


def test_the_citation_is_of_this_package(citation: dict[str, Any], project: dict[str, Any]) -> None:
    assert citation["title"].startswith(f"{project['name']}: ")
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]


def test_the_changelog_begins_with_this_version(sections: list[tuple[str, str]], project: dict[str, Any]) -> None:
    assert sections[0][0] == project["version"]


def test_citation_and_changelog_agree_on_the_date(sections: list[tuple[str, str]], citation: dict[str, Any]) -> None:
    date = sections[0][1]
    assert str(citation.get("date-released", "unreleased")) == date


def test_the_licence_that_is_named_is_the_one_that_is_there(project: dict[str, Any]) -> None:
    (name,) = project["license-files"]
    assert (ROOT / name).read_text(encoding="utf-8").startswith(f"{project['license']} License")
