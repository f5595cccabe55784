"""The settings of the process, without secrets."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from aiohttp import web

from batchgate_api import gateway, parameters


class SettingsHandler:
    """`SettingsHandlers`; the settings do not change while the process runs, so they are read at the first call."""

    def __init__(self, read_settings: Callable[[], list[gateway.Setting]]) -> None:
        self._read_settings = read_settings

    async def get_settings(
        self,
        request: web.Request,  # noqa: ARG002
        parameters: parameters.GetSettingsParameters,  # noqa: ARG002
    ) -> gateway.SettingList:
        """Return the settings."""
        return self._settings

    @cached_property
    def _settings(self) -> gateway.SettingList:
        return gateway.SettingList(data=self._read_settings())
