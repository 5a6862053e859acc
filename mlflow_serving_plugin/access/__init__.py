"""Authentication and permissions. Fed with request headers by the gateway and the API."""
