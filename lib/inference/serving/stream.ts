/** Results of an endless supply of inputs, in order, with a bounded look-ahead. */

/** Inputs of a stream that are on their way at once: enough for full batches of short texts. */
const LOOK_AHEAD = 256

/**
 * Pulls inputs while fewer than `lookAhead` (256) of them are on their way, serves each, and yields the results in order. A slow consumer
 * stops the pulling, a slow source holds no result back. When the consumer leaves, or something throws, `leave` is called
 * for what is on its way and the source is closed.
 */
export async function* inOrder<Input, Output>(
  source: AsyncIterable<Input>,
  serve: (input: Input, index: number) => Promise<Output>,
  leave: () => void,
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
      if (!ended && !pulling && onTheirWay.length < lookAhead) pulling = pull()
      const first = onTheirWay[0]
      if (!first) {
        if (!pulling) return
        await pulling
        continue
      }
      if (pulling && (await Promise.race([pulling, first.then(() => 'ready' as const)])) === 'pulled') continue
      const output = await first
      onTheirWay.shift()
      yield output
    }
  } finally {
    leave()
    // A source that is asked and does not answer cannot be waited for.
    const closing = ended ? undefined : iterator.return?.()
    if (pulling) closing?.catch(() => {})
    else await closing
  }
}
