"""What pyproject.toml cannot say: installed, `configs/` is a folder of the package."""

import pathlib
import shutil

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
  """Copies the configurations that `--config=configs/NAME.py` finds when installed."""

  def run(self) -> None:
    """Builds the package, and then its configurations."""
    super().run()
    if not self.editable_mode:  # then the folder itself is found
      folder = pathlib.Path(self.build_lib) / "milan_jax" / "configs"
      folder.mkdir(parents=True, exist_ok=True)
      for path in pathlib.Path("configs").glob("*.py"):
        shutil.copy(path, folder)


setup(cmdclass={"build_py": BuildWithConfigs})
