// A figure against its target. `roomy` is what the short form asks for, on whatever machine; a
// figure that only one of the two forms judges has `undefined` for the other.

export function atMost(what, value, unit, target, roomy) {
  return {
    what,
    value,
    unit,
    sign: '≤',
    target,
    roomy,
    met: value <= target,
    near: value <= roomy,
  };
}

export function atLeast(what, value, unit, target, roomy) {
  return {
    what,
    value,
    unit,
    sign: '≥',
    target,
    roomy,
    met: value >= target,
    near: value >= roomy,
  };
}

/** The limits that the form asks for: `target` or `roomy`. */
export function judged(verdicts, limit) {
  return verdicts.filter((verdict) => verdict[limit] !== undefined);
}
