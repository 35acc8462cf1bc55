/** Long texts are cut before they are tokenised: same ids as when all is read, in a fraction of the time. */
import assert from 'node:assert/strict'
import { assemble } from '../lib/text/encoded-text.js'
import { type EncodedText, type EncodeInput, Tokenizer } from '../lib/text/index.js'
import { definitionFromTokens } from '../lib/text/wordpiece-files.js'

const LETTERS = [...'abcdefghijklmnopqrstuvwxyz']
const WORDS = [
  'the',
  'city',
  'river',
  'man',
  '東',
  '京',
  '中',
  '\u00e9',
  '한',
  '.',
  ',',
  '!',
  '(',
  ')',
  '[',
  ']',
  '±',
  '٠',
]
const VOCABULARY = [
  '[PAD]',
  '[UNK]',
  '[CLS]',
  '[SEP]',
  '[MASK]',
  ...WORDS,
  ...LETTERS,
  ...LETTERS.map((one) => `##${one}`),
]

/** The same numbers in every run (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), 1 | state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32
  }
}

/** What texts are made of here: each is where a cut might go wrong. */
const PIECES = [
  ' ',
  ' ',
  '\n',
  '\t',
  '\r',
  ' ',
  '　',
  '\u0000',
  '\ufffd',
  '\u00ad',
  '\u200d',
  '\ufe0f',
  '\u0085',
  'the',
  'city',
  'RIVER',
  'xyz',
  'É',
  'e\u0301',
  '\u0301',
  '\u0301\u0323',
  ' \u0301',
  '\u302a',
  '東',
  '東京',
  '中',
  '中\u302a',
  '\uf900',
  '㐀',
  '\u{20000}',
  '한',
  '\u1112\u1161\u11ab',
  'ไทย',
  'नमस्ते',
  '[MASK]',
  '[mask]',
  '[MASK',
  'MASK]',
  '[SEP]',
  '東[MASK]京',
  '👩‍👩‍👧',
  '\ud83d',
  '\ude00',
  '.',
  '(',
  '…',
  '－',
  'Σς',
  'ß',
  'İ',
  'q'.repeat(90),
  'w'.repeat(120),
  '中'.repeat(40),
]

describe('long texts', function () {
  this.timeout(60_000)
  const tokenizers = [
    Tokenizer.fromVocabulary(VOCABULARY),
    new Tokenizer(definitionFromTokens(VOCABULARY, 'cased', { lowercase: false, stripAccents: false })),
    new Tokenizer(definitionFromTokens(VOCABULARY, 'plain ideographs', { handleChineseChars: false })),
  ]

  /** All of it tokenised, then cut: the plain path. */
  async function wholeThenCut(tokenizer: Tokenizer, input: EncodeInput, maxTokens: number): Promise<EncodedText> {
    const texts = typeof input === 'string' ? [input] : input
    const ids = []
    for (const text of texts) ids.push((await tokenizer.encode(text, { addSpecialTokens: false })).tokenIds)
    return assemble(ids[0], ids[1], tokenizer.specialTokens, { maxTokens })
  }
  async function check(tokenizer: Tokenizer, inputs: readonly EncodeInput[], maxTokens: number): Promise<void> {
    const found = await tokenizer.encodeBatch(inputs, { maxTokens })
    for (const [at, input] of inputs.entries()) {
      const expected = await wholeThenCut(tokenizer, input, maxTokens)
      const about = JSON.stringify(input).slice(0, 200)
      assert.deepEqual(found[at], expected, about)
      const here =
        typeof input === 'string'
          ? await tokenizer.encode(input, { maxTokens })
          : await tokenizer.encodePair(input[0], input[1], { maxTokens })
      assert.deepEqual(here, expected, about)
    }
  }

  it('texts of one kind of character: words, one word, ideographs, marks, space, nothing that can be cut', async () => {
    const texts = [
      'the city and the river . '.repeat(300),
      'a'.repeat(6000),
      'aGVsbG8+d29ybGQ/'.repeat(400),
      '東京中'.repeat(1500),
      '東\u302a'.repeat(2000),
      `e${'\u0301'.repeat(4000)}`,
      ' \u0301'.repeat(2000),
      ' '.repeat(6000),
      `${' '.repeat(5000)}the city`,
      '[MASK]'.repeat(800),
      '中[MASK]中'.repeat(800),
      'ไทย'.repeat(1500),
      '한국'.repeat(2000),
      '👩‍👩‍👧'.repeat(600),
      '\ud83d'.repeat(5000),
      '\u0000'.repeat(5000),
      `${'\u0000'.repeat(5000)}the`,
      '!'.repeat(5000),
    ]
    for (const tokenizer of tokenizers) await check(tokenizer, texts, 16)
    await check(tokenizers[0], texts, 100)
  })

  it('120 texts and pairs at random out of everything that a cut might hurt', async () => {
    const random = randomNumbers(7)
    const text = (): string => {
      // A few pieces again and again, so that texts without any space come about as well.
      const own = Array.from(
        { length: 1 + Math.floor(random() * 6) },
        () => PIECES[Math.floor(random() * PIECES.length)],
      )
      return Array.from({ length: Math.floor(random() * 500) }, () => own[Math.floor(random() * own.length)]).join('')
    }
    for (const [round, maxTokens] of [4, 5, 9, 13].entries()) {
      const inputs = Array.from({ length: 30 }, (_, at): EncodeInput => (at % 3 === 0 ? [text(), text()] : text()))
      await check(tokenizers[round % 3], inputs, maxTokens)
    }
  })

  it('pairs: the longer text is the one that is the longer as a whole', async () => {
    const [long, longer, short] = ['the '.repeat(900), 'city '.repeat(901), 'river .']
    for (const maxTokens of [16, 17])
      await check(
        tokenizers[0],
        [
          [long, longer],
          [longer, long],
          [long, short],
          [short, longer],
          [long, long],
        ],
        maxTokens,
      )
  })

  it('of a megabyte only the beginning is tokenised', async () => {
    const tokenizer = tokenizers[0]
    const text = 'the river and the man in the city . '.repeat(28_000)
    const time = async (maxTokens?: number): Promise<number> => {
      let best = Number.POSITIVE_INFINITY
      for (let round = 0; round < 3; round++) {
        const begun = performance.now()
        await tokenizer.encodeBatch([text], { maxTokens })
        best = Math.min(best, performance.now() - begun)
      }
      return best
    }
    const [cut, whole] = [await time(512), await time()]
    assert.ok(3 * cut < whole, `${cut} ms cut, ${whole} ms whole`)
  })
})
