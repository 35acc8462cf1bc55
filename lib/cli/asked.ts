import { StrataError } from '../errors.js'

/**
 * What a stream has asked, with the answers, which come in the same order. `named`: the message of an error about an input, which speaks of
 * a place in the stream, in words of the command line; `place` counts the inputs from 1.
 */
export async function* answered<Input, Answer>(
  source: AsyncIterable<Input> | Iterable<Input>,
  ask: (inputs: AsyncIterable<Input>) => AsyncIterable<Answer>,
  named: (message: string, input: Input, place: number) => string,
): AsyncGenerator<[Input, Answer]> {
  const waiting: Input[] = []
  async function* inputs(): AsyncGenerator<Input> {
    for await (const input of source) {
      waiting.push(input)
      yield input
    }
  }
  try {
    for await (const answer of ask(inputs())) yield [waiting.shift() as Input, answer]
  } catch (error) {
    if (!(error instanceof StrataError) || typeof error.details.index !== 'number') throw error
    const place = error.details.index + 1
    // The answers before it have come: it is about the first that waits.
    const message = named(error.message, waiting[0], place)
    throw new StrataError(error.code, message, { cause: error, details: { line: place } })
  }
}
