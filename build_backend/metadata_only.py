"""How pip builds this project: with setuptools, but an editable install is the same as any other.

Installing brings the dependencies and no module. The programs run from the checkout, and top-level names such as
`data`, `models` and `configs` in site-packages would be in the way of everything else there. For an editable install
setuptools alone leaves an import hook even where there is nothing to import. There is no `build_sdist`: nothing is
published.
"""

from setuptools.build_meta import build_wheel, get_requires_for_build_wheel, prepare_metadata_for_build_wheel

build_editable = build_wheel
get_requires_for_build_editable = get_requires_for_build_wheel
prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel
