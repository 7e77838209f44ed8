"""The wheel that ``make python`` builds."""

from __future__ import annotations

import os
import subprocess
import unittest
import venv
from pathlib import Path

from .support import JANE, KEY, PATIENCE, PROJECT, Case

WHEEL = os.environ.get("TRACKWAY_WHEEL")


@unittest.skipUnless(WHEEL, "TRACKWAY_WHEEL does not name a wheel, as `make python` does")
class Wheel(Case):
    def test_a_fresh_environment(self) -> None:
        folder = self.folder()
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python"

        def run(*arguments: str) -> str:
            env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
            done = subprocess.run(
                [str(python), *arguments], cwd=folder, env=env, capture_output=True, text=True
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout.strip()

        pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
        run(*pip, os.path.abspath(str(WHEEL)))  # it needs nothing else
        fake = self.fake()
        code = f"""
import importlib.metadata, importlib.resources, trackway
assert importlib.metadata.version("trackway") == trackway.__version__
assert importlib.resources.files("trackway").joinpath("py.typed").is_file()
client = trackway.Client({fake.url!r}, project={PROJECT!r}, key={KEY!r})
client.track("step", {{"n": 1}}, ids={JANE!r})
print(client.close({PATIENCE}).delivered)
"""
        self.assertEqual(run("-c", code), "1")
        self.assertEqual(fake.numbers, [1])


if __name__ == "__main__":
    unittest.main()
