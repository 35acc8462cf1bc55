/**
 * Texts and arguments of every kind through every method of an encoder, many calls at a time: a right answer or a typed error, and the
 * encoder answers as before. 400 calls; 110,000 with STRATABERT_LONG=1, up to a megabyte a text.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { StrataError } from '../lib/errors.js'
import { Encoder } from '../lib/inference/index.js'
import { SEED } from './helpers/fuzz.js'
import { writeServingFolder } from './helpers/serving-folder.js'

const LONG = process.env.STRATABERT_LONG === '1'
const CALLS = LONG ? 110_000 : 400
/** Calls that are open at once. */
const WAVE = 40
const LONGEST_WAVE_MS = LONG ? 120_000 : 30_000
const MEGABYTE = 1_000_000
const LONGEST = LONG ? MEGABYTE : 10_000
const REFUSALS = ['BAD_ARGUMENT', 'BAD_DATA', 'UNSUPPORTED', 'ABORTED']

/** Characters that tokenizers, regular expressions and terminals stumble over. */
const UNITS = [
  ...[
    'a',
    'ab ',
    'Cat',
    ' ',
    '\n',
    '\t\r',
    '\u00a0',
    '\u3000',
    '.',
    '...',
    '!?',
    "n't",
    '-',
    '_',
    '#',
    '##a',
    '@',
    'http://a.',
  ],
  ...[
    '0',
    '1.',
    '1,000',
    'U.S.',
    "o'",
    '\0',
    '\x01',
    '\x1b[31m',
    '\x7f',
    '\u0085',
    '\u200b',
    '\u200d',
    '\u202e',
    '\ufeff',
    '\ufffd',
  ],
  ...[
    'é',
    'e\u0301',
    '\u0301',
    'ß',
    'İ',
    'ﬁ',
    '\ufdfa',
    'ม',
    'ไทย',
    '東',
    '猫',
    '한',
    'ا',
    'ש',
    'ɐ',
    '\u{1f600}',
    '👩‍👩‍👧‍👦',
    '🇩🇪',
    '✊🏿',
  ],
  ...[
    '\ud800',
    '\udc00',
    '\udc00\ud800',
    '\u{10ffff}',
    '[MASK]',
    '[CLS]',
    '[SEP]',
    '[PAD]',
    '[UNK]',
    '[MASK',
    '<s>',
    '\\',
    '"',
    '\u2028',
  ],
]
const unit = fc.constantFrom(...UNITS)
const text: fc.Arbitrary<string> = fc.oneof(
  { weight: 300, arbitrary: fc.array(unit, { maxLength: 12 }).map((parts) => parts.join('')) },
  { weight: 150, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
  { weight: 150, arbitrary: fc.constantFrom('the cat is dancing in the city', 'a [MASK] is', 'café 東', '') },
  { weight: 50, arbitrary: fc.tuple(unit, fc.nat(400)).map(([part, times]) => part.repeat(times)) },
  {
    weight: 1,
    arbitrary: fc.tuple(unit, fc.constantFrom('', ' '), fc.nat(LONGEST)).map(([part, between, length]) => {
      const piece = part + between
      return piece.repeat(Math.ceil(length / piece.length)).slice(0, length)
    }),
  },
)

class Shouting {
  toString(): string {
    throw new Error('toString throws')
  }
}
/** A value made at the call: fast-check itself stumbles over proxies. */
class Late {
  constructor(readonly make: () => unknown) {}
}
/** Of lists and options that the generator made, the entries too. */
function made(value: unknown): any {
  if (value instanceof Late) return value.make()
  if (Array.isArray(value)) return value.map(made)
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, made(inner)]))
}
/** Not plain, but what a careless caller hands over. */
const odd: fc.Arbitrary<unknown> = fc
  .constantFrom<() => unknown>(
    ...[() => undefined, () => null, () => 0, () => -1, () => 1.5, () => Number.NaN, () => Number.POSITIVE_INFINITY],
    ...[
      () => 2 ** 53,
      () => 10n,
      () => true,
      () => Symbol('x'),
      () => () => {},
      () => ({}),
      () => [],
      () => [[]],
      () => new Date(),
    ],
    ...[
      () => 'x',
      () => '',
      () => '__proto__',
      () => 'constructor',
      () => new String('x'),
      () => Buffer.from('x'),
      () => new Map(),
    ],
    ...[
      () => new Shouting(),
      () => Object.create(null),
      () => new Float32Array(3),
      () => Promise.resolve('x'),
      () => new Error('x'),
    ],
    () => Proxy.revocable({}, {}).proxy,
    () => {
      const { proxy, revoke } = Proxy.revocable([], {})
      revoke()
      return proxy
    },
    () =>
      new Proxy(['a', 'b'], {
        get: () => {
          throw new Error('proxied')
        },
      }),
    () =>
      new Proxy(
        {},
        {
          has: () => {
            throw new Error('proxied')
          },
          ownKeys: () => {
            throw new Error('proxied')
          },
        },
      ),
  )
  .map((make) => new Late(make))
/** Lists that are none, or not of texts alone. */
const oddList: fc.Arbitrary<unknown> = fc.oneof(
  fc
    .tuple(fc.array(text, { maxLength: 3 }), odd, fc.array(text, { maxLength: 3 }))
    .map(([a, one, b]) => [...a, one, ...b]),
  fc
    .constantFrom<() => unknown>(
      // biome-ignore lint/suspicious/noSparseArray: that is what is tried
      ...[() => ['a', , 'b'], () => new Array(5), () => new Array(2 ** 32 - 1), () => [, 'a'], () => [['a', , 'b']]],
      ...[
        () => ({ length: 2, 0: 'a', 1: 'b' }),
        () => new Set(['a']),
        () => 'ab'[Symbol.iterator](),
        () => [['a']],
        () => [['a', 'b', 'c']],
      ],
      ...[
        () => [['a', new Shouting()]],
        () => [Object.assign(new Array(2), { 1: 'a' })],
        () => Object.assign(['a'], { length: 3 }),
      ],
      () =>
        Object.defineProperty(['a', 'b'], 1, {
          get: () => {
            throw new Error('a getter')
          },
        }),
      () => {
        let read = 0
        return Object.defineProperty(['a', 'b'], 1, { get: () => (read++ === 0 ? 'b' : 7) })
      },
      () => {
        const changing: unknown[] = ['a', 'b', 'c']
        queueMicrotask(() => changing.fill(7))
        return changing
      },
    )
    .map((make) => new Late(make)),
)
const list = fc.array(text, { maxLength: 6 })
const pairs = fc.array(fc.tuple(text, text), { maxLength: 4 })
const words = fc.array(fc.oneof(text, fc.array(text, { maxLength: 6 })), { maxLength: 4 })
const masked = text.map((part) => `${part} [MASK]`)
const questions = fc.array(fc.record({ question: text, context: text }), { maxLength: 4 })
const mostly = <T>(usual: fc.Arbitrary<T>, unusual: fc.Arbitrary<unknown> = odd, weight = 60): fc.Arbitrary<unknown> =>
  fc.oneof({ weight, arbitrary: usual }, { weight: 1, arbitrary: unusual })

const signal = fc.constantFrom('none', 'none', 'none', 'aborted', 'soon', 'odd')
const optionsOf = (shape: Record<string, fc.Arbitrary<unknown>>) =>
  mostly(
    fc.tuple(fc.record(shape, { requiredKeys: [] }), signal, fc.boolean()).map(
      ([options, when, getter]) =>
        new Late(() => {
          const own = made(options)
          if (when === 'aborted') own.signal = AbortSignal.abort(new Error('before'))
          if (when === 'odd') own.signal = { aborted: false }
          if (when === 'soon') {
            const controller = new AbortController()
            own.signal = controller.signal
            setImmediate(() => controller.abort())
          }
          if (getter && Object.keys(own).length > 4)
            Object.defineProperty(own, 'layer', {
              enumerable: true,
              get: () => {
                throw new Shouting()
              },
            })
          return own
        }),
    ),
    odd,
    20,
  )
const small = fc.constantFrom(1, 2, 3, 8, 16, 64)
const embedOptions = {
  layer: mostly(fc.constantFrom(0, 1, 2, 'mix', 'mix:all')),
  pooling: mostly(fc.constantFrom('mean', 'cls', 'max')),
  normalize: mostly(fc.boolean()),
  maxTokens: mostly(small),
  truncate: mostly(fc.constant(true)),
  adapter: mostly(fc.constantFrom(undefined, 'tone')),
}
const askOptions = (...tasks: string[]) => ({
  task: mostly(fc.constantFrom(...tasks)),
  maxTokens: mostly(fc.constantFrom(8, 16, 48)),
})

interface Call {
  method: string
  args: unknown[]
}
const call = (method: string, ...args: fc.Arbitrary<unknown>[]): fc.Arbitrary<Call> =>
  fc.tuple(...args).map((values) => ({ method, args: values }))
const calls: fc.Arbitrary<Call> = fc.oneof(
  { weight: 4, arbitrary: call('embed', mostly(fc.oneof(list, text), oddList), optionsOf(embedOptions)) },
  {
    weight: 3,
    arbitrary: call(
      'classify',
      mostly(fc.oneof(list, pairs, text), oddList),
      optionsOf({ ...askOptions('tone', 'likeness'), topK: mostly(small) }),
    ),
  },
  { weight: 1, arbitrary: call('score', mostly(pairs, oddList), optionsOf(askOptions('rank', 'likeness'))) },
  {
    weight: 2,
    arbitrary: call(
      'fillMask',
      mostly(fc.oneof(masked, fc.array(masked, { maxLength: 4 })), oddList),
      optionsOf({ topK: mostly(small), head: mostly(fc.constant('mlm')) }),
    ),
  },
  {
    weight: 2,
    arbitrary: call(
      'answer',
      mostly(text),
      mostly(text),
      optionsOf({
        topK: mostly(small),
        noAnswer: mostly(fc.boolean()),
        stride: mostly(small),
        maxAnswerTokens: mostly(small),
      }),
    ),
  },
  { weight: 1, arbitrary: call('answer', mostly(questions, oddList), optionsOf({ topK: mostly(small) })) },
  { weight: 2, arbitrary: call('tag', mostly(words, oddList), optionsOf(askOptions('words'))) },
  { weight: 2, arbitrary: call('parse', mostly(words, oddList), optionsOf(askOptions('tree'))) },
  {
    weight: 1,
    arbitrary: call(
      'hiddenStates',
      mostly(list, oddList),
      optionsOf({ layers: mostly(fc.array(fc.nat(3), { maxLength: 3 })) }),
    ),
  },
  {
    weight: 1,
    arbitrary: call(
      'ask',
      mostly(list, oddList),
      optionsOf({
        tasks: mostly(fc.subarray(['tone', 'likeness', 'words', 'tree', 'none'])),
        embed: mostly(fc.record(embedOptions, { requiredKeys: [] })),
      }),
    ),
  },
  {
    weight: 2,
    arbitrary: fc
      .oneof(
        fc.tuple(fc.constantFrom('embed', 'tag', 'classify'), mostly(list, oddList)),
        fc.tuple(fc.constant('fillMask'), mostly(fc.array(masked, { maxLength: 4 }), oddList)),
        fc.tuple(fc.constant('answer'), mostly(questions, oddList)),
      )
      .map(([method, inputs]) => ({ method: `${method} stream`, args: [inputs] })),
  },
)

describe('texts of every kind', function () {
  this.timeout(LONG ? 3_600_000 : 120_000)
  let folder: string
  let encoder: Encoder
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-texts-'))
    await writeServingFolder(folder)
    encoder = await Encoder.load(folder, { device: 'cpu', threads: 1, maxQueueTokens: 100_000_000 })
  })
  after(async () => {
    await encoder?.dispose()
    rmSync(folder, { recursive: true, force: true })
  })

  /** Not a generator, which would await what it yields: a proxy's own error is none of the encoder's. */
  function streamOf(inputs: readonly unknown[]): AsyncIterable<unknown> {
    let next = 0
    return {
      [Symbol.asyncIterator]: () => ({
        next: async () => ({ done: next >= inputs.length, value: inputs[next++] }) as IteratorResult<unknown>,
      }),
    }
  }

  /** What a method answers, looked over. */
  async function answered({ method, args }: Call): Promise<void> {
    const asked = encoder as any
    if (method.endsWith(' stream')) {
      const inputs = args[0]
      try {
        if (!Array.isArray(inputs) || inputs.length > 1000) return
        void [...inputs]
      } catch {
        return // the source's own errors are the caller's
      }
      for await (const result of asked[method.split(' ')[0]](streamOf(inputs))) assert.ok(result)
      return
    }
    const result = await asked[method](...args)
    const count = typeof args[0] === 'string' ? 1 : (args[0] as { length: number }).length
    if (method === 'embed') {
      assert.equal(result.vectors.length, count)
      for (const vector of result.vectors) assert.ok(vector.length === 16 && vector.every(Number.isFinite))
    } else if (method === 'answer') {
      const many = Array.isArray(result)
      const found = many ? result : [result]
      if (many) assert.equal(found.length, count)
      for (const [index, { candidates }] of found.entries()) {
        const context: string = many ? (args[0] as any)[index].context : args[1]
        for (const { start, end, text: cut, score } of candidates) {
          assert.ok(0 <= start && start <= end && end <= context.length && score >= 0 && score <= 1 + 1e-6)
          assert.equal(cut, context.slice(start, end))
        }
      }
    } else if (method === 'fillMask') {
      const texts = typeof args[0] === 'string' ? [result] : result
      assert.equal(texts.length, count)
      for (const masks of texts) assert.ok(masks.length > 0 && masks.every((mask: any) => mask.candidates.length > 0))
    } else if (method !== 'ask') {
      assert.equal(result.length, count)
    }
  }

  it('arguments that are no texts, one by one: every method refuses them in words', async () => {
    for (const value of fc.sample(odd, { numRuns: 150, seed: SEED }).map(made)) {
      for (const method of [
        'embed',
        'classify',
        'score',
        'tag',
        'parse',
        'hiddenStates',
        'ask',
        'fillMask',
        'answer',
      ]) {
        for (const args of [[value], ['the cat', value], [[value]], ['the cat', 'a cat', value]]) {
          let returned: unknown
          // Never thrown before a promise is there.
          assert.doesNotThrow(() => {
            returned = (encoder as any)[method](...args)
          }, `${method} throws at once`)
          if (typeof (returned as any)?.then !== 'function') continue
          await (returned as Promise<unknown>).catch((error) => {
            assert.ok(error instanceof StrataError, `${method}: ${error instanceof Error ? error.stack : typeof error}`)
            assert.ok(REFUSALS.includes(error.code), `${error.code}: ${error.message}`)
          })
        }
      }
    }
    for (const value of fc.sample(odd, { numRuns: 60, seed: SEED + 1 }).map(made)) {
      for (const use of [
        () => Encoder.load(value as any),
        () => Encoder.load(folder, value as any),
        () => encoder.replace(value as any),
      ]) {
        await use().then(
          (loaded) => loaded?.dispose(),
          (error) => assert.ok(error instanceof StrataError, `${error instanceof Error ? error.stack : typeof error}`),
        )
      }
    }
  })

  it('a megabyte without a space, of words, of unknown characters and of emoji', async () => {
    for (const part of ['a', 'cat ', '猫', '\u{1f600}']) {
      const long = part.repeat(Math.ceil(MEGABYTE / part.length))
      const started = performance.now()
      const { truncated, vectors } = await encoder.embed([long.slice(0, LONG ? MEGABYTE : MEGABYTE / 10), 'the cat'])
      assert.equal(vectors.length, 2)
      assert.ok(part === 'a' || part === '\u{1f600}' || truncated.includes(0))
      assert.ok(performance.now() - started < 30_000)
    }
  })

  it(`${CALLS} calls, ${WAVE} at a time`, async () => {
    const probe = async () => (await encoder.embed('the cat is dancing in the city')).vectors[0]
    const before = await probe()
    let refusals = 0
    let texts = 0
    for (let done = 0; done < CALLS; done += WAVE) {
      const wave = fc
        .sample(calls, { numRuns: Math.min(WAVE, CALLS - done), seed: SEED + done })
        .map(({ method, args }) => ({ method, args: args.map(made) }))
      const started = performance.now()
      await Promise.all(
        wave.map((one) =>
          answered(one).catch((error) => {
            const shown = () =>
              `${one.method}(${one.args
                .map((arg) => {
                  try {
                    return JSON.stringify(arg)?.slice(0, 300)
                  } catch {
                    return 'unreadable'
                  }
                })
                .join(', ')})`
            if (!(error instanceof StrataError)) {
              throw new Error(`${shown()}: ${error instanceof Error ? error.stack : typeof error}`)
            }
            refusals++
            assert.ok(REFUSALS.includes(error.code), `${shown()}: ${error.code} ${error.message}`)
            assert.ok(error.message.length < 2000)
          }),
        ),
      )
      texts += wave.length
      assert.ok(performance.now() - started < LONGEST_WAVE_MS, `wave ${done}: ${performance.now() - started} ms`)
    }
    const { queuedCalls, queuedTokens, runningCalls } = encoder.stats()
    assert.deepEqual({ queuedCalls, queuedTokens, runningCalls }, { queuedCalls: 0, queuedTokens: 0, runningCalls: 0 })
    assert.deepEqual(await probe(), before)
    console.log(`      ${texts} calls, ${refusals} refused, seed ${SEED}`)
    assert.ok(refusals > CALLS / 10 && refusals < 0.8 * CALLS, `${refusals} refused`)
  })
})
