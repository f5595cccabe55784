"""The settings of the process, without secrets."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from batchgate_api import gateway, parameters


class SettingsHandler:
    """`SettingsHandlers`; the settings do not change while the process runs."""

    def __init__(self, settings: Sequence[gateway.Setting]) -> None:
        self._settings = list(settings)

    async def get_settings(
        self,
        request: web.Request,  # noqa: ARG002
        parameters: parameters.GetSettingsParameters,  # noqa: ARG002
    ) -> gateway.SettingList:
        """Return the settings."""
        return gateway.SettingList(data=self._settings)
