"""The dashboard's files: under a strict policy, open to everyone, and in the wheel."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.routes.dashboard import FOLDER
from tests.service.conftest import ClientFactory
from tests.service.keys import api_key

ROOT = FOLDER.parents[1]
FILES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file())
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
ELSEWHERE = re.compile(r"""(?:src|href|from|import|url)\s*[=(]?\s*["'(]?(?:https?:)?//""")


@pytest.mark.parametrize("path", ["/", *(f"/dashboard/{name}" for name in FILES)])
def test_every_file_is_served_under_the_policy(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    kind = TYPES.get(Path(path).suffix) if path != "/" else "text/html"
    assert kind is None or answer.headers["Content-Type"].startswith(kind)
    assert client.head(path).status_code == 200
    again = client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304 or path == "/"


@pytest.mark.parametrize("path", ["/dashboard", "/dashboard/", "/dashboard/nothing.js", "/dashboard/..%2fapp.py"])
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"] == "no_such_path"


def test_files_are_open_and_data_is_not(client_with: ClientFactory) -> None:
    client = client_with(api_keys=[api_key("ada")])
    assert client.get("/").status_code == client.get("/dashboard/app.js").status_code == 200
    assert client.get("/jobs").status_code == 401


def test_no_file_names_another_place() -> None:
    own = [FOLDER / name for name in FILES if not name.startswith("vendor/")]
    assert [path.name for path in own if ELSEWHERE.search(path.read_text())] == []
    assert "<script>" not in (FOLDER / "index.html").read_text()


def test_all_modules_are_asked_for_at_once() -> None:
    """Not one after the other, as each is found in the one before."""
    asked = re.findall(r'"modulepreload" href="dashboard/(.*?)"', (FOLDER / "index.html").read_text())
    modules = [name for name in FILES if name.endswith(".js") and not name.startswith("vendor/") and name != "app.js"]
    assert asked == modules


def test_vendored_code_comes_with_its_licence() -> None:
    for folder in (FOLDER / "vendor").iterdir():
        if folder.is_dir():
            assert "Permission is hereby granted" in (folder / "LICENSE").read_text()
            assert f"`{folder.name}/`" in (FOLDER / "vendor" / "README.md").read_text()


def test_a_wheel_has_the_files(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("service", "jobs"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    build = "import setuptools.build_meta as build; print(build.build_wheel('.'))"
    made = subprocess.run([sys.executable, "-c", build], cwd=tree, check=True, capture_output=True, text=True)
    with zipfile.ZipFile(tree / made.stdout.splitlines()[-1]) as wheel:
        inside = set(wheel.namelist())
    assert inside >= {f"service/dashboard/{name}" for name in FILES}
    assert inside >= {"service/app.py", "jobs/lua/job.lua", "service/py.typed"}
