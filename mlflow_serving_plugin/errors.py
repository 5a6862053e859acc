"""One hierarchy of errors, each with MLflow's error code. ``http_errors`` turns them into HTTP replies."""

from __future__ import annotations


class ServingError(Exception):
    """Base of all errors meant for a caller. ``message``: one sentence that the caller can act on."""

    error_code = "INTERNAL_ERROR"
    retryable = False
    """Whether the same request may succeed later, because the cause passes by itself."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RetryableError(ServingError):
    """Base of the errors whose cause passes by itself. ``retry_after_s``: seconds, for the header Retry-After."""

    retryable = True

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotFoundError(ServingError):
    """The named thing does not exist, or is not served."""

    error_code = "RESOURCE_DOES_NOT_EXIST"


class AlreadyExistsError(ServingError):
    """Something of that name exists."""

    error_code = "RESOURCE_ALREADY_EXISTS"


class ConflictError(ServingError):
    """Not possible in the present state, such as a second update during an update."""

    error_code = "RESOURCE_CONFLICT"


class InvalidParameterError(ServingError):
    """A value is wrong; the message names the field."""

    error_code = "INVALID_PARAMETER_VALUE"


class BadRequestError(ServingError):
    """The request body does not match its content type, or the model refused the body."""

    error_code = "BAD_REQUEST"


class UnsupportedTypeError(ServingError):
    """The content type, one of its parameters or the charset is not supported."""

    error_code = "UNSUPPORTED_MEDIA_TYPE"


class BodyTooLargeError(ServingError):
    """The request body is longer than the limit."""

    error_code = "REQUEST_TOO_LARGE"


class MethodNotAllowedError(ServingError):
    """The path exists, but does not accept this HTTP method."""

    error_code = "METHOD_NOT_ALLOWED"


class UnauthenticatedError(ServingError):
    """No credentials, or wrong ones."""

    error_code = "UNAUTHENTICATED"

    def __init__(self, message: str, *, challenge: str = 'Basic realm="mlflow"') -> None:
        super().__init__(message)
        self.challenge = challenge
        """For the header WWW-Authenticate: how to authenticate."""


class PermissionDeniedError(ServingError):
    """The caller is authenticated and may not do this."""

    error_code = "PERMISSION_DENIED"


class TooManyRequestsError(RetryableError):
    """A limit on waiting requests, or on their bytes, is reached."""

    error_code = "REQUEST_LIMIT_EXCEEDED"


class UnavailableError(ServingError):
    """The version, the registry or the database cannot answer now."""

    error_code = "TEMPORARILY_UNAVAILABLE"


class TemporarilyUnavailableError(RetryableError, UnavailableError):
    """Not available now, and available again without anybody's help: starting, restarting, or reconnecting."""


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
