import { defineConfig } from "vite";

// One classic script: it learns the server's address from its own tag, and MLflow's page stays as it is.
export default defineConfig({
  define: { "process.env.NODE_ENV": JSON.stringify("production") },
  oxc: { jsx: { runtime: "automatic" } },
  build: {
    outDir: "../mlflow_serving_plugin/ui/bundle",
    emptyOutDir: true,
    target: "es2020",
    cssCodeSplit: false,
    lib: { entry: "src/app/main.tsx", formats: ["iife"], name: "MLflowServing", fileName: () => "mlflow-serving.js" },
  },
});
