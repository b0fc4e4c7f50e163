// What is happening, in words for people.

const PHASES = { "encoding": "Reading the prompt", "decoding": "Decoding", "saving": "Saving" };

export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  return `${minutes} min ${Math.round(seconds % 60)} s`;
}

export function speed(stepsPerSecond) {
  if (!stepsPerSecond) return "";
  return stepsPerSecond >= 1 ? `${stepsPerSecond.toFixed(1)} it/s` : `${(1 / stepsPerSecond).toFixed(1)} s/it`;
}

export function whatHappens(status) {
  switch (status.state) {
    case "queued":
      return status.position > 0 ? `Waiting, ${status.position} ahead` : "Waiting, next in line";
    case "running":
      return running(status);
    case "done":
      return "Done";
    case "stopped":
      return status.image_count ? "Stopped, kept what was there" : "Stopped";
    default:
      return "Failed";
  }
}

function running(status) {
  if (status.phase === "loading model") {
    const share = status.phase_fraction;
    return share === null || share === undefined ? "Loading model" : `Loading model ${Math.round(share * 100)} %`;
  }
  if (status.phase === "sampling" && status.steps) {
    const batch = status.batches > 1 ? ` · batch ${status.batch} of ${status.batches}` : "";
    return `Step ${status.step} of ${status.steps}${batch}`;
  }
  return PHASES[status.phase] ?? "Starting";
}

export function numbers(status, stepsPerSecond) {
  const parts = [];
  if (status.state === "running") {
    parts.push(speed(stepsPerSecond));
    if (status.eta !== null && status.eta !== undefined) parts.push(`${duration(status.eta)} left`);
  }
  if (status.elapsed && status.state !== "queued") parts.push(duration(status.elapsed));
  return parts.filter(Boolean).join(" · ");
}
