import { defineConfig } from "vitest/config";

const of = (name: string, include: string, environment: string) => ({
  extends: true as const,
  test: { name, include: [include], environment },
});

// A page for each file takes a second of processor time; what has no components needs none.
export default defineConfig({
  oxc: { jsx: { runtime: "automatic" } },
  test: {
    setupFiles: ["src/testing/setup.ts"],
    restoreMocks: true,
    projects: [of("decisions", "src/**/*.test.ts", "node"), of("components", "src/**/*.test.tsx", "jsdom")],
  },
});
