"""A model that is trained in a second."""

from __future__ import annotations

from tests.library.support.tiny_training import register_tinynet

register_tinynet()
