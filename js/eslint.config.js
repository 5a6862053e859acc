import js from "@eslint/js";
import a11y from "eslint-plugin-jsx-a11y";
import hooks from "eslint-plugin-react-hooks";
import typescript from "typescript-eslint";

const forbid = (...layers) => ({
  "no-restricted-imports": [
    "error",
    { patterns: [{ group: layers.map((layer) => `**/${layer}/**`), message: "Imports go shared → features → app." }] },
  ],
});

export default typescript.config(
  { ignores: ["node_modules/**"] },
  js.configs.recommended,
  ...typescript.configs.strict,
  hooks.configs.flat["recommended-latest"],
  a11y.flatConfigs.recommended,
  {
    files: ["src/**"],
    rules: {
      "max-lines": ["error", 250],
      "max-lines-per-function": ["error", 80],
      "no-console": "error",
    },
  },
  { files: ["**/*.test.*"], rules: { "max-lines-per-function": "off" } },
  { files: ["src/shared/**"], rules: forbid("features", "app") },
  { files: ["src/features/**"], rules: forbid("app") },
);
