"""``token create``, ``token list`` and ``token revoke``."""

from __future__ import annotations

import click

from mlflow_serving_plugin.cli.client import ServingClient
from mlflow_serving_plugin.cli.options import print_json, server_options
from mlflow_serving_plugin.cli.tables import print_tokens


@click.group()
def token() -> None:
    """Create, list and revoke tokens, which programs send.

    A token may do what you may do, on scoring and on the control API, until the token expires or is revoked. Send the
    token in the header "Authorization: Bearer TOKEN".
    """


@token.command()
@click.option("--comment", metavar="TEXT", help="What the token is for.")
@click.option(
    "--lifetime-seconds",
    type=click.IntRange(min=1),
    metavar="N",
    help="Lifetime in seconds. Without this option the token does not expire.",
)
@click.option("--model", metavar="NAME", help="Limit the token to reading and scoring this registered model.")
@server_options
def create(
    comment: str | None, lifetime_seconds: int | None, model: str | None, client: ServingClient, as_json: bool
) -> None:
    """Create a token and print it, once: the server keeps only a hash.

    \b
    Example: mlflow-serving token create --model iris --comment "Power BI"
    """
    fields = {
        "comment": comment,
        "lifetime_seconds": lifetime_seconds,
        "scope": None if model is None else {"registered_model_name": model},
    }
    made = client.create_token({name: value for name, value in fields.items() if value is not None})
    if as_json:
        print_json(made)
        return
    click.echo(made["token_value"])
    # To standard error, so that TOKEN=$(mlflow-serving token create) has the token alone.
    click.echo(
        f"The token is not shown again. To revoke: mlflow-serving token revoke {made['token_info']['token_id']}",
        err=True,
    )


@token.command("list")
@server_options
def list_tokens(client: ServingClient, as_json: bool) -> None:
    """Show your tokens; an admin sees the tokens of all users.

    \b
    Example: mlflow-serving token list
    """
    found = client.tokens()
    if as_json:
        print_json({"token_infos": found})
    else:
        print_tokens(found)


@token.command()
@click.argument("token_id")
@server_options
def revoke(token_id: str, client: ServingClient, as_json: bool) -> None:
    """Revoke the token with this id; it is refused within a second.

    \b
    Example: mlflow-serving token revoke 1f0c…
    """
    client.revoke_token(token_id)
    if as_json:
        print_json({})
    else:
        click.echo(f"Token {token_id} is revoked.")
