import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { useState } from "react";
import { afterEach, expect, test } from "vitest";
import { Tabs } from "./Tabs";

const TABS = [
  { key: "a", label: "First" },
  { key: "b", label: "Second" },
  { key: "c", label: "Third" },
] as const;

function Example() {
  const [chosen, choose] = useState<"a" | "b" | "c">("a");
  return (
    <Tabs label="Parts" tabs={TABS} chosen={chosen} choose={choose}>
      <p>body of {chosen}</p>
    </Tabs>
  );
}

afterEach(cleanup);

test("arrow keys choose the tab beside, round the ends, and take the focus along", () => {
  render(<Example />);
  fireEvent.keyDown(screen.getByRole("tab", { name: "First" }), { key: "ArrowLeft" });
  const third = screen.getByRole("tab", { name: "Third", selected: true });
  expect(document.activeElement).toBe(third);
  expect(screen.getByRole("tabpanel", { name: "Third" }).textContent).toBe("body of c");
  fireEvent.keyDown(third, { key: "ArrowRight" });
  screen.getByRole("tab", { name: "First", selected: true });
});

test("only the chosen tab is in the order of the tab key", () => {
  render(<Example />);
  expect(screen.getAllByRole("tab").map((tab) => tab.tabIndex)).toEqual([0, -1, -1]);
});
