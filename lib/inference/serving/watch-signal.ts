/** Many calls may share one signal: it gets one listener of ours, however many wait for it (Node warns of more than ten). */

const watchers = new WeakMap<AbortSignal, { callbacks: Set<() => void>; listener(): void }>()

/** Calls back once when the signal aborts; the function that comes back ends the watch. */
export function watchSignal(signal: AbortSignal, callback: () => void): () => void {
  let watched = watchers.get(signal)
  if (!watched) {
    const callbacks = new Set<() => void>()
    const listener = (): void => {
      for (const each of [...callbacks]) each()
    }
    watched = { callbacks, listener }
    watchers.set(signal, watched)
    signal.addEventListener('abort', listener, { once: true })
  }
  const { callbacks, listener } = watched
  callbacks.add(callback)
  return () => {
    if (!callbacks.delete(callback) || callbacks.size > 0) return
    signal.removeEventListener('abort', listener)
    watchers.delete(signal)
  }
}
