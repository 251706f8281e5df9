"""Chromium of this machine: where it is, and its installation by a root user whose distribution has it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
ELSEWHERE = "PLAYWRIGHT_CHROMIUM_EXECUTABLE_PATH"
MISSING = f"No Chromium: `apt-get install chromium`, or set {ELSEWHERE} to one."
INSTALL_SECONDS = 600


def find_chromium() -> str | None:
    """The executable that the environment names, or the first on PATH."""
    named = os.environ.get(ELSEWHERE)
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


def install_chromium() -> bool:
    """Whether it is there now; only root installs, and only where there is apt-get."""
    if find_chromium() is not None:
        return True
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    print("Installing Chromium for the dashboard's tests ...", flush=True)
    options = ["-y", "-qq", "--no-install-recommends"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", *options, "chromium"]):
        try:
            subprocess.run(
                ["apt-get", *command], check=True, env=environment, stdout=subprocess.DEVNULL, timeout=INSTALL_SECONDS
            )
        except (subprocess.SubprocessError, OSError) as error:
            print(f"Chromium could not be installed: {error}", file=sys.stderr)
            return False
    return find_chromium() is not None


if __name__ == "__main__":
    if not install_chromium():
        print(f"{MISSING} The dashboard's tests are skipped.")
    else:
        print(f"Chromium: {Path(str(find_chromium()))}")
