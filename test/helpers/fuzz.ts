/** Generated input for readers, and what they must do with it. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { StrataError } from '../../lib/errors.js'

/** STRATABERT_LONG=1 runs ten times as many cases. */
export const FACTOR = process.env.STRATABERT_LONG === '1' ? 10 : 1
/** Fixed, so that a run can be repeated; STRATABERT_FUZZ_SEED chooses other cases. */
export const SEED = Number(process.env.STRATABERT_FUZZ_SEED ?? 20201109)
/** A case that takes longer hangs. */
const LONGEST_CASE_MS = 10_000

/** Counts the cases of one test file; anything that is neither a value nor a StrataError fails a property. */
export class Fuzzing {
  cases = 0
  refused = 0

  /** `shortShare`: share of the cases that the short form runs. */
  constructor(readonly shortShare = 1) {}

  get factor(): number {
    return FACTOR === 1 ? this.shortShare : FACTOR
  }

  /** Runs a reader on one case. `refusal` looks at the error. */
  async survives(read: () => unknown, refusal: (error: StrataError) => void = () => {}): Promise<void> {
    this.cases++
    const started = performance.now()
    try {
      await read()
    } catch (error) {
      if (!(error instanceof StrataError)) throw error
      this.refused++
      assert.ok(error.message.length < 5000, `a message of ${error.message.length} characters`)
      assert.notEqual(error.code, 'NATIVE_ERROR', error.message)
      refusal(error)
    }
    const milliseconds = performance.now() - started
    assert.ok(milliseconds < LONGEST_CASE_MS, `${milliseconds} ms`)
  }

  async check<T>(
    arbitrary: fc.Arbitrary<T>,
    cases: number,
    read: (value: T) => unknown,
    refusal?: (error: StrataError) => void,
  ): Promise<void> {
    await fc.assert(
      fc.asyncProperty(arbitrary, (value) => this.survives(() => read(value), refusal)),
      {
        numRuns: Math.round(cases * this.factor),
        seed: SEED,
        endOnFailure: false,
        interruptAfterTimeLimit: 110_000 * FACTOR,
        markInterruptAsFailure: true,
      },
    )
  }

  /** At least this many ran, and a good part of them was refused. */
  ranAtLeast(cases: number): void {
    console.log(`      ${this.cases} cases, ${this.refused} refused, seed ${SEED}`)
    assert.ok(this.cases >= cases * this.factor)
    assert.ok(this.refused > this.cases / 4 && this.refused < this.cases)
  }
}

/** Changes of bytes: overwritten, cut, doubled and inserted pieces. */
export const mutation = fc.record({
  kind: fc.constantFrom('set', 'cut', 'insert', 'double', 'truncate'),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  bytes: fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 6 }),
    fc
      .constantFrom(
        ...[
          '{',
          '}',
          '[',
          ']',
          '"',
          ':',
          ',',
          '-',
          '0',
          '9'.repeat(20),
          '\\',
          '\n',
          '\0',
          'null',
          '1e999',
          '\u00ff',
          '&a',
          '*a',
          '? ',
          '!!x',
          '<<',
        ],
      )
      .map((text) => new TextEncoder().encode(text)),
  ),
})
export type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never

export function mutate(bytes: Buffer, mutations: readonly Mutation[]): Buffer {
  let result = bytes
  for (const { kind, at, bytes: piece } of mutations) {
    const place = Math.floor(at * result.length)
    const [head, tail] = [result.subarray(0, place), result.subarray(place)]
    if (kind === 'set') result = Buffer.concat([head, piece, tail.subarray(piece.length)])
    else if (kind === 'cut') result = Buffer.concat([head, tail.subarray(piece.length)])
    else if (kind === 'insert') result = Buffer.concat([head, piece, tail])
    else if (kind === 'double') result = Buffer.concat([head, tail, tail.subarray(0, 200)])
    else result = Buffer.from(head)
  }
  return result
}

export const mutations = fc.array(mutation, { minLength: 1, maxLength: 4 })

/** Values like those of a file that somebody wrote by hand. */
export const odd = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    '',
    'x',
    '12',
    0,
    -1,
    0.5,
    1e300,
    2 ** 53,
    [],
    {},
    [[]],
    { a: 1 },
    '\u0000',
    '__proto__',
  ),
  fc.integer(),
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.jsonValue({ maxDepth: 3 }),
)
