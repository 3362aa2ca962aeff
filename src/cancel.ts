// Cancelling by AbortSignal, for any number of waits on one signal.

const cancels = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `cancel` when the signal aborts, until the returned function is called. One listener per
 * signal serves all: an EventTarget looks through its listeners on each change, and warns from
 * eleven on.
 */
export function onAbort(signal: AbortSignal, cancel: () => void): () => void {
  const waiting = cancels.get(signal) ?? listen(signal);
  waiting.add(cancel);
  return () => {
    waiting.delete(cancel);
    if (waiting.size > 0) return;
    signal.removeEventListener('abort', cancelAll);
    cancels.delete(signal);
  };
}

function listen(signal: AbortSignal): Set<() => void> {
  const waiting = new Set<() => void>();
  cancels.set(signal, waiting);
  signal.addEventListener('abort', cancelAll);
  return waiting;
}

function cancelAll(event: Event): void {
  for (const cancel of cancels.get(event.target as AbortSignal) ?? []) cancel();
}
