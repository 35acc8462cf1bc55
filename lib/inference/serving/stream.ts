/** Results of an endless supply of inputs, in order, with a bounded look-ahead. */

/** Inputs of a stream that are on their way at once: enough for full batches of short texts. */
const LOOK_AHEAD = 256

/** What ends a stream from outside, if anything does, however long its source keeps it waiting. */
export interface StreamLife {
  /** What it ends with at once. */
  aborted?(): Error | undefined
  /** What it ends with when all that is on its way has been answered; no more is pulled. */
  refused?(): Error | undefined
  /** Calls back when one of the two may have changed; the function that comes back ends the watch. */
  watch?(changed: () => void): () => void
  /** The stream has ended. */
  leave?(): void
}

/**
 * Pulls inputs while fewer than `lookAhead` (256) of them are on their way, serves each, and yields the results in order. A slow consumer
 * stops the pulling, a slow source holds no result back. When the consumer leaves, or something throws, `life` is told and the source
 * is closed.
 */
export async function* inOrder<Input, Output>(
  source: AsyncIterable<Input>,
  serve: (input: Input, index: number) => Promise<Output>,
  life: StreamLife,
  lookAhead = LOOK_AHEAD,
): AsyncGenerator<Output, void, undefined> {
  const iterator = source[Symbol.asyncIterator]()
  const onTheirWay: Promise<Output>[] = []
  let pulling: Promise<'pulled'> | undefined
  let ended = false
  let count = 0
  const pull = async (): Promise<'pulled'> => {
    let result: Promise<Output> | undefined
    // A source that throws at once would otherwise end this before the caller knows that it runs.
    await undefined
    try {
      const next = await iterator.next()
      if (next.done) ended = true
      else result = serve(next.value, count++)
    } catch (error) {
      // Told in its turn, behind the results of the inputs before.
      ended = true
      result = Promise.reject(error)
    }
    result?.catch(() => {})
    if (result) onTheirWay.push(result)
    pulling = undefined
    return 'pulled'
  }
  try {
    for (;;) {
      const aborted = life.aborted?.()
      if (aborted) throw aborted
      const refused = life.refused?.()
      if (!refused && !ended && !pulling && onTheirWay.length < lookAhead) pulling = pull()
      const first = onTheirWay[0]
      if (!first) {
        if (refused && !ended) throw refused
        if (!pulling) return
        await unlessChanged(life, pulling)
        continue
      }
      if (pulling) {
        const ready = first.then(() => 'ready' as const)
        if ((await unlessChanged(life, Promise.race([pulling, ready]))) !== 'ready') continue
      }
      const output = await first
      onTheirWay.shift()
      yield output
    }
  } finally {
    life.leave?.()
    // A source that is asked and does not answer cannot be waited for.
    const closing = ended ? undefined : iterator.return?.()
    if (pulling) closing?.catch(() => {})
    else await closing
  }
}

/** Watched only while it waits: a stream that nobody reads any more, and nobody closed, is not kept. */
async function unlessChanged<Outcome>(life: StreamLife, outcome: Promise<Outcome>): Promise<Outcome | 'changed'> {
  let unwatch: (() => void) | undefined
  try {
    return await new Promise((resolve, reject) => {
      unwatch = life.watch?.(() => resolve('changed'))
      outcome.then(resolve, reject)
    })
  } finally {
    unwatch?.()
  }
}
