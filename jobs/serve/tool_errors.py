"""Errors of tools and resources of the Model Context Protocol, in one line each."""

from __future__ import annotations

import logging
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError, UnexpectedToolError
from mcp.types import CallToolResult, TextContent
from pydantic import ValidationError

from ...store.errors import UsageError, VidragError, one_line

log = logging.getLogger("vidrag.serve")


class OneLineErrors(MCPServer[Any]):
    """The SDK's server; what goes wrong is told in one line."""

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None) -> Any:
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as e:
            return CallToolResult(content=[TextContent(text=_reason(e))], is_error=True)

    async def read_resource(self, uri: Any, context: Context[Any, Any] | None = None) -> Any:
        try:
            return await super().read_resource(uri, context)
        except ResourceError as e:
            cause = e.__cause__
            if isinstance(cause, UsageError):
                raise ResourceNotFoundError(one_line(cause)) from cause
            if isinstance(cause, VidragError):
                raise ResourceError(one_line(cause)) from cause
            raise


def _reason(error: ToolError) -> str:
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in cause.errors()[:3])
    if isinstance(cause, VidragError):
        return one_line(cause)
    if isinstance(error, UnexpectedToolError):
        log.error("a tool failed", exc_info=cause)
        return f"unexpected {type(cause).__name__}; see the server's log"
    return one_line(error)
