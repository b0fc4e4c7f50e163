// The jobs API, by addresses relative to the page.

const address = (path) => new URL(`api/v1/jobs${path}`, document.baseURI).href;
const ofJob = (id, path = "") => address(`/${encodeURIComponent(id)}${path}`);

export const previewUrl = (id, version) => ofJob(id, `/preview?v=${version}`);
export const imageUrl = (id, index) => ofJob(id, `/images/${index}`);

const FINAL = new Set(["done", "stopped", "error"]);
export const isFinal = (state) => FINAL.has(state);

async function ask(url, options) {
  const response = await fetch(url, options);
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  return response;
}

export const infotext = async (id, index) => (await ask(ofJob(id, `/images/${index}/infotext`))).text();
export const request = async (id) => (await ask(ofJob(id, "/request"))).json();
export const list = async () => (await ask(address(""))).json();

export const stop = (id, keep) =>
  ask(ofJob(id, "/stop"), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ keep }),
  });
export const skip = (id) => ask(ofJob(id, "/skip"), { method: "POST" });
export const cancel = (id) => ask(ofJob(id), { method: "DELETE" });

// Calls `onStatus` with every status of the job until the final one. Returns a function that stops listening.
// `onLost(isGone)`: the line broke; it is tried again unless the job is gone for good.
export function follow(id, onStatus, onLost) {
  const source = new EventSource(ofJob(id, "/events"));
  source.onmessage = (event) => {
    const status = JSON.parse(event.data);
    if (isFinal(status.state)) source.close();
    onStatus(status);
  };
  source.onerror = () => onLost(source.readyState === EventSource.CLOSED);
  return () => source.close();
}
