"""``pytest -p floodwall.fsspeckit.pytest_plugin``: run a test suite on the drop-in."""

from floodwall.fsspeckit import install

# At import, which is before collection: test modules import fsspeckit's classes at their top.
install()
