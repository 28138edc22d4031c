// The form of the page: a row from its fields, sent to POST /predict; the answer, and the same as curl.
"use strict";
const form = document.querySelector("form");
const fields = [...form.querySelectorAll("[data-type]")];

function row() {
  const made = {};
  for (const field of fields) {
    const text = field.value;
    if (field.dataset.type !== "bool" && text === "") made[field.name] = null;
    else if (field.dataset.type === "number") made[field.name] = Number.isNaN(Number(text)) ? text : Number(text);
    else if (field.dataset.type === "bool") made[field.name] = text === "" ? null : text === "true";
    else made[field.name] = text;
  }
  return made;
}

function address() {
  const explain = form.elements["?explain"];
  return new URL("predict" + (explain && explain.value ? "?explain=" + encodeURIComponent(explain.value) : ""), document.baseURI);
}

function quoted(text) {
  return "'" + text.replaceAll("'", "'\\''") + "'";
}

function show() {
  const token = form.elements["?token"].value ? " \\\n  -H 'Authorization: Bearer …'" : "";
  document.querySelector("#curl").textContent =
    `curl ${quoted(address().href)}${token} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(row()))}`;
}

async function send(event) {
  event.preventDefault();
  show();
  const headers = { "Content-Type": "application/json" };
  if (form.elements["?token"].value) headers.Authorization = "Bearer " + form.elements["?token"].value;
  const status = document.querySelector("#status");
  const answer = document.querySelector("#answer");
  fields.forEach((field) => field.classList.remove("wrong"));
  try {
    const began = performance.now();
    const response = await fetch(address(), { method: "POST", headers, body: JSON.stringify(row()) });
    const text = await response.text();
    status.textContent = `${response.status} in ${(performance.now() - began).toFixed(1)} ms`;
    status.classList.toggle("bad", !response.ok);
    const body = JSON.parse(text);
    answer.textContent = JSON.stringify(body, null, 2);
    for (const error of body.errors || []) {
      const field = fields.find((f) => f.name === error.where);
      if (field) field.classList.add("wrong");
    }
  } catch (error) {
    status.textContent = "no answer: " + error.message;
    status.classList.add("bad");
  }
}

form.addEventListener("submit", send);
form.addEventListener("input", show);
show();
