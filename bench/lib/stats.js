/** The value below which the share `q` of the samples lies. */
export function quantile(samples, q) {
  if (samples.length === 0) return Number.NaN;
  const sorted = Float64Array.from(samples).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}

export const median = (samples) => quantile(samples, 0.5);
export const p99 = (samples) => quantile(samples, 0.99);

/** Samples of several contestants that were measured in alternating rounds. */
export class Rounds {
  #rounds = new Map();

  add(id, samples) {
    if (!this.#rounds.has(id)) this.#rounds.set(id, []);
    this.#rounds.get(id).push(samples);
  }

  all(id) {
    return this.#rounds.get(id).flat();
  }

  /** Round by round, so that a machine that gets slower meanwhile slows both sides. */
  #pairs(id, other) {
    const others = this.#rounds.get(other);
    return this.#rounds.get(id).map((samples, i) => [median(samples), median(others[i])]);
  }

  ratio(id, other) {
    return median(this.#pairs(id, other).map(([a, b]) => a / b));
  }

  difference(id, other) {
    return median(this.#pairs(id, other).map(([a, b]) => a - b));
  }
}
