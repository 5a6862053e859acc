"""One hierarchy of errors, each with MLflow's error code. How they look over HTTP is ``host.replies``' business."""

from __future__ import annotations


class ServingError(Exception):
    """Base of all errors meant for a caller: ``message`` is one sentence that its reader can act on."""

    error_code = "INTERNAL_ERROR"

    def __init__(self, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class NotFoundError(ServingError):
    """What was named does not exist, or is not served."""

    error_code = "RESOURCE_DOES_NOT_EXIST"


class InvalidParameterError(ServingError):
    """A value is wrong; the message names the field."""

    error_code = "INVALID_PARAMETER_VALUE"


class BadRequestError(ServingError):
    """The request body is not what its content type says, or the model refused it."""

    error_code = "BAD_REQUEST"


class UnsupportedTypeError(ServingError):
    """The content type, one of its parameters or the charset is not supported."""

    error_code = "UNSUPPORTED_MEDIA_TYPE"


class BodyTooLargeError(ServingError):
    """The request body is longer than the limit."""

    error_code = "REQUEST_TOO_LARGE"


class MethodNotAllowedError(ServingError):
    """The path exists, but not for this HTTP method."""

    error_code = "METHOD_NOT_ALLOWED"


class UnauthenticatedError(ServingError):
    """No credentials, or wrong ones."""

    error_code = "UNAUTHENTICATED"

    def __init__(self, message: str, *, challenge: str = 'Basic realm="mlflow"') -> None:
        super().__init__(message)
        self.challenge = challenge
        """For the header WWW-Authenticate: how to say who one is."""


class PermissionDeniedError(ServingError):
    """The caller is known and may not do this."""

    error_code = "PERMISSION_DENIED"


class TooManyRequestsError(ServingError):
    """More requests wait for this version than its queue holds."""

    error_code = "REQUEST_LIMIT_EXCEEDED"


class UnavailableError(ServingError):
    """The version cannot answer now: it starts, restarts or has failed."""

    error_code = "TEMPORARILY_UNAVAILABLE"


class WorkerLostError(UnavailableError):
    """The connection to a worker broke before it answered."""


class WorkerCrashedError(ServingError):
    """The worker died while it scored this very request."""

    error_code = "WORKER_CRASHED"


class DeadlineError(ServingError):
    """The prediction took longer than the endpoint's request timeout."""

    error_code = "DEADLINE_EXCEEDED"


class ConfigurationError(ServingError):
    """The server's own settings are wrong; raised at start-up."""
