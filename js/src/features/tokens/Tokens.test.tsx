import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeAll, expect, test } from "vitest";
import { makeClient } from "../../shared/queries";
import { asked, reply } from "../../testing/setup";
import { Tokens } from "./Tokens";

const BASE = "/ajax-api/2.0/token";
const OLD = { token_id: "t1", creation_time: 1_700_000_000_000, expiry_time: -1, comment: "nightly report",
  created_by_username: "ada", last_used_time: null, scope: { registered_model_name: "iris" } };

beforeAll(() => {
  // jsdom knows no dialogs.
  HTMLDialogElement.prototype.showModal = function () {
    this.open = true;
  };
  HTMLDialogElement.prototype.close = function () {
    this.open = false;
  };
});

afterEach(cleanup);

function show(infos: object[]): void {
  reply("GET", `${BASE}/list`, { token_infos: infos });
  render(
    <QueryClientProvider client={makeClient()}>
      <Tokens name="iris" user="ada" />
    </QueryClientProvider>,
  );
}

test("a new token is shown once, with what it was made for sent along", async () => {
  show([]);
  await screen.findByText("You have no tokens.");
  reply("POST", `${BASE}/create`, { token_value: "secret-value", token_info: OLD });
  reply("GET", `${BASE}/list`, { token_infos: [OLD] });
  fireEvent.change(screen.getByLabelText("Comment"), { target: { value: " nightly report " } });
  fireEvent.click(screen.getByRole("button", { name: "Create token" }));
  await screen.findByText("secret-value");
  expect(asked).toContain(`POST ${BASE}/create {"comment":"nightly report","lifetime_seconds":2592000,"scope":{"registered_model_name":"iris"}}`);
  const row = (await screen.findByText("nightly report")).closest("tr") as HTMLElement;
  expect(within(row).getAllByText("Never")).toHaveLength(2);
  within(row).getByText("Scoring iris");
  expect(screen.queryByText("ada")).toBeNull();
});

test("a token for everything, without an end, asks for no limit", async () => {
  show([]);
  reply("POST", `${BASE}/create`, { token_value: "secret-value", token_info: OLD });
  fireEvent.change(screen.getByLabelText("Valid for"), { target: { value: "0" } });
  fireEvent.change(screen.getByLabelText("Scope"), { target: { value: "all" } });
  fireEvent.click(screen.getByRole("button", { name: "Create token" }));
  await screen.findByText("secret-value");
  expect(asked).toContain(`POST ${BASE}/create {"comment":""}`);
});

test("an admin sees whose tokens there are", async () => {
  show([OLD, { ...OLD, token_id: "t2", created_by_username: "grace", scope: null, comment: "other" }]);
  const row = (await screen.findByText("grace")).closest("tr") as HTMLElement;
  within(row).getByText("Everything that its user may do");
});

test("revoking asks first", async () => {
  show([OLD]);
  fireEvent.click(await screen.findByRole("button", { name: "Revoke token nightly report" }));
  expect(asked.filter((one) => one.startsWith("POST"))).toEqual([]);
  reply("POST", `${BASE}/delete`, {});
  fireEvent.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Revoke" }));
  await expect.poll(() => asked).toContain(`POST ${BASE}/delete {"token_id":"t1"}`);
});
