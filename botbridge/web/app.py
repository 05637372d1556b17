"""The FastAPI application: which path leads where."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from botbridge.web.body import BodyLimits
from botbridge.web.webhook import TakeUpdate, Webhook, refused


def make_app(*, webhook_path: str, secret: str, take_update: TakeUpdate, limits: BodyLimits | None = None) -> FastAPI:
    """Make the application.

    Args:
        webhook_path: Where Telegram brings updates, beginning with `/`.
        secret: What Telegram's deliveries carry.
        take_update: Stores one.
        limits: None takes the usual ones.
    """
    app = FastAPI(
        openapi_url=None,  # nothing here is for others to discover
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        exception_handlers={HTTPException: _refuse},
    )
    webhook = Webhook(secret, take_update, limits or BodyLimits())
    app.add_api_route(webhook_path, webhook.receive, methods=["POST"], response_model=None)
    return app


async def _refuse(_request: Request, error: Exception) -> Response:
    """Answer an unknown path or method as the routes themselves refuse."""
    assert isinstance(error, HTTPException)
    response = refused(HTTPStatus(error.status_code))
    response.headers.update(error.headers or {})
    return response
