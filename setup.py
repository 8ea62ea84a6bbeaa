"""Puts conf/, which lies at the top of the repository, into the package; all else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["segkit*"]), "segkit.conf"],
    package_dir={"segkit.conf": "conf"},
    package_data={"segkit.conf": ["**/*.yaml"]},
)
