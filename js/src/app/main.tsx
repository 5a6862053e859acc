/** The script that MLflow's page loads. */

import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { setPrefixFrom } from "../shared/http";
import { makeClient } from "../shared/queries";
import { App } from "./App";
import { takePlace } from "./mount";
import plot from "uplot/dist/uPlot.min.css?inline";
import narrow from "./narrow.css?inline";
import styles from "./styles.css?inline";

if (document.currentScript instanceof HTMLScriptElement) setPrefixFrom(document.currentScript.src);

const page = takePlace();
const style = document.createElement("style");
style.textContent = plot + styles + narrow;
const body = document.createElement("div");
body.className = "app";
page.root.append(style, body);
createRoot(body).render(
  <StrictMode>
    <QueryClientProvider client={makeClient()}>
      <App page={page} />
    </QueryClientProvider>
  </StrictMode>,
);
