"""``token create``, ``token list`` and ``token revoke``."""

from __future__ import annotations

import click

from mlflow_serving_plugin.cli.options import client_for, print_json, server_options
from mlflow_serving_plugin.cli.tables import make_console, print_tokens


@click.group()
def token() -> None:
    """Tokens: what a program sends in your place.

    A token does what you may do, on scoring and on the control API, until it expires or is revoked. Send it as
    "Authorization: Bearer TOKEN".
    """


@token.command()
@click.option("--comment", metavar="TEXT", help="What it is for.")
@click.option("--lifetime-seconds", type=click.IntRange(min=1), metavar="N", help="When it ends; never, if not given.")
@click.option("--model", metavar="NAME", help="Good for reading and scoring this registered model only.")
@server_options
def create(
    comment: str | None, lifetime_seconds: int | None, model: str | None, tracking_uri: str, as_json: bool
) -> None:
    """Make a token and print it: this once, since the server keeps only a hash of it.

    \b
    Example: mlflow-serving token create --model iris --comment "Power BI"
    """
    fields = {
        "comment": comment,
        "lifetime_seconds": lifetime_seconds,
        "scope": None if model is None else {"registered_model_name": model},
    }
    made = client_for(tracking_uri).create_token({name: value for name, value in fields.items() if value is not None})
    if as_json:
        print_json(made)
        return
    click.echo(made["token_value"])
    # Beside it, so that TOKEN=$(mlflow-serving token create) has the token alone.
    click.echo(
        f"Keep it: it is not shown again. To end it: mlflow-serving token revoke {made['token_info']['token_id']}",
        err=True,
    )


@token.command("list")
@server_options
def list_tokens(tracking_uri: str, as_json: bool) -> None:
    """Show your tokens; as an admin, everybody's.

    \b
    Example: mlflow-serving token list
    """
    found = client_for(tracking_uri).tokens()
    if as_json:
        print_json({"token_infos": found})
    else:
        print_tokens(make_console(), found)


@token.command()
@click.argument("token_id")
@server_options
def revoke(token_id: str, tracking_uri: str, as_json: bool) -> None:
    """End the token with this id; within a second nobody is let in with it.

    \b
    Example: mlflow-serving token revoke 1f0c…
    """
    client_for(tracking_uri).revoke_token(token_id)
    if as_json:
        print_json({})
    else:
        click.echo(f"Token {token_id} is revoked.")
