"""Who is calling and what they may do. Fed request headers by the gateway and the API."""
