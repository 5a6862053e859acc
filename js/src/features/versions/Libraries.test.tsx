import { render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { Libraries } from "./Libraries";

test("a version that runs with another library than it was logged with says so beside it", () => {
  render(
    <Libraries
      libraries={[
        { name: "Python", logged: "3.11.7", running: "3.11.9", differs: false },
        { name: "scikit-learn", logged: "1.4.2", running: "1.9.1", differs: true },
        { name: "MLflow", logged: "3.17.2", running: "", differs: false },
      ]}
    />,
  );
  const cells = screen.getAllByRole("row").map((row) => row.textContent);
  expect(cells).toEqual([
    "LibraryLogged withRuns with",
    "Python3.11.73.11.9",
    "scikit-learn1.4.21.9.1 (another version)",
    "MLflow3.17.2–",
  ]);
});
