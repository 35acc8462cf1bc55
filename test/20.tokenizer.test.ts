import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import fc from 'fast-check'
import { StrataError } from '../lib/errors.js'
import { SPECIAL_TOKENS, Tokenizer, WordPieceEncoder } from '../lib/text/index.js'
import { encodeWithOffsets } from '../lib/text/token-offsets.js'
import { compileTokenizer } from '../lib/text/wordpiece-encoder.js'
import { SHARED_DATA } from './helpers/shared-data.js'

interface GoldenCase {
  lowercase: boolean
  text: string | [string, string]
  maxTokens: number | null
  ids: number[]
  segments: number[]
  decoded?: string
}

const VOCABULARY = resolve(__dirname, 'golden/tokenizer-vocab.txt')
const SAMPLE = resolve(__dirname, '../examples/data/wikipedia-sample.txt')
const goldens = JSON.parse(readFileSync(resolve(__dirname, 'golden/tokenizer.json'), 'utf8')) as GoldenCase[]

/** The typed error that `work` throws. */
async function failure(work: Promise<unknown>): Promise<StrataError> {
  const error = await work.then(
    () => assert.fail('an error was expected'),
    (reason) => reason,
  )
  assert.ok(error instanceof StrataError, String(error?.stack ?? error))
  return error
}

describe('Tokenizer', () => {
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-tokenizer-'))
  })
  after(() => rmSync(folder, { recursive: true }))

  for (const lowercase of [true, false]) {
    it(`gives BertTokenizerFast's ids, segments and truncation (lowercase ${lowercase})`, async () => {
      const tokenizer = await Tokenizer.load(VOCABULARY, { lowercase })
      const cases = goldens.filter((golden) => golden.lowercase === lowercase)
      assert.ok(cases.length > 100)
      for (const { text, maxTokens, ids, segments, decoded } of cases) {
        const options = { maxTokens: maxTokens ?? undefined }
        const one =
          typeof text === 'string'
            ? await tokenizer.encode(text, options)
            : await tokenizer.encodePair(...text, options)
        const [batched] = await tokenizer.encodeBatch([text], options)
        for (const { tokenIds, segmentIds, truncated } of [one, batched]) {
          assert.deepEqual([...tokenIds], ids, JSON.stringify(text))
          assert.deepEqual([...segmentIds], segments, JSON.stringify(text))
          if (maxTokens === null) assert.equal(truncated, false)
        }
        if (decoded !== undefined) assert.equal(await tokenizer.decode(one.tokenIds), decoded)
      }
    })
  }

  it('writes Hugging Face files that load to the same tokenizer', async () => {
    const tokenizer = await Tokenizer.load(VOCABULARY, { lowercase: false })
    const names = await tokenizer.save(folder)
    assert.deepEqual(names.sort(), ['special_tokens_map.json', 'tokenizer.json', 'tokenizer_config.json', 'vocab.txt'])
    const again = await Tokenizer.load(folder)
    rmSync(join(folder, 'tokenizer.json'))
    const fromVocabulary = await Tokenizer.load(folder)
    for (const other of [again, fromVocabulary]) {
      assert.equal(other.fingerprint, tokenizer.fingerprint)
      assert.equal(other.lowercase, false)
      assert.deepEqual(other.specialTokens, tokenizer.specialTokens)
    }
    const lower = await Tokenizer.load(VOCABULARY)
    assert.notEqual(lower.fingerprint, tokenizer.fingerprint)
  })

  it('knows tokens, ids and the starts of words', async () => {
    const tokenizer = await Tokenizer.load(VOCABULARY)
    assert.deepEqual(tokenizer.specialTokens, { vocabSize: 2000, padId: 0, unkId: 1, clsId: 2, sepId: 3, maskId: 4 })
    assert.equal(tokenizer.tokenToId('[MASK]'), 4)
    assert.equal(tokenizer.idToToken(2), '[CLS]')
    assert.equal(tokenizer.tokenToId('no such token'), undefined)
    assert.equal(tokenizer.idToToken(2000), undefined)
    assert.equal(tokenizer.vocabulary().length, 2000)
    const { tokenIds } = await tokenizer.encode('unbelievably good.')
    const starts = tokenizer.wordStarts(tokenIds)
    const tokens = [...tokenIds].map((id) => tokenizer.idToToken(id)!)
    assert.ok(tokens.some((token) => token.startsWith('##')))
    assert.deepEqual(
      [...starts],
      tokens.map((token) => (token.startsWith('##') ? 0 : 1)),
    )
    assert.equal((await failure(tokenizer.decode([5000]))).code, 'BAD_ARGUMENT')
  })

  it('ignores the padding and truncation that a tokenizer.json asks for', async () => {
    const tokenizer = await Tokenizer.load(VOCABULARY)
    const padded = join(folder, 'padded.json')
    const padding = {
      strategy: { Fixed: 128 },
      direction: 'Right',
      pad_to_multiple_of: null,
      pad_id: 0,
      pad_type_id: 0,
      pad_token: '[PAD]',
    }
    const truncation = { max_length: 4, strategy: 'LongestFirst', stride: 0 }
    writeFileSync(padded, JSON.stringify({ ...tokenizer.definition.json, padding, truncation }))
    const loaded = await Tokenizer.load(padded)
    const text = 'one two three four five six'
    assert.deepEqual((await loaded.encode(text)).tokenIds, (await tokenizer.encode(text)).tokenIds)
    assert.equal(loaded.fingerprint, tokenizer.fingerprint)
  })

  it('encodes chunk by chunk exactly as the library encodes the whole text', async () => {
    const { Tokenizer: Library } = await import('tokenizers')
    for (const lowercase of [true, false]) {
      const { definition } = await Tokenizer.load(VOCABULARY, { lowercase })
      const library = Library.fromString(JSON.stringify(definition.json))
      const encoder = new WordPieceEncoder(definition, 'match')
      const compare = async (texts: string[]): Promise<void> => {
        const { tokenIds, offsets } = await encoder.encode(texts)
        const expected = await library.encodeBatch(texts, { addSpecialTokens: false })
        expected.forEach((encoding, index) => {
          assert.deepEqual([...tokenIds.subarray(offsets[index], offsets[index + 1])], encoding.getIds(), texts[index])
        })
      }
      const lines = readFileSync(SAMPLE, 'utf8').split('\n')
      await compare(lines)
      const alphabet = [
        ...'aB1 .,-[]#MASK\t\n\u00a0\u2028é\u0301中日\u{1F600}ßİΣς\u200b\ufffd',
        '[MASK]',
        '[SEP] ',
        '##a',
        'x'.repeat(101),
      ]
      await fc.assert(
        fc.asyncProperty(fc.array(fc.array(fc.constantFrom(...alphabet)).map((parts) => parts.join(''))), compare),
        { numRuns: 300, seed: 20 },
      )
      await fc.assert(fc.asyncProperty(fc.array(fc.string({ unit: 'binary' })), compare), { numRuns: 300, seed: 21 })
    }
  })

  it('takes special tokens in corpora for plain text', async () => {
    const { definition, specialTokens } = await Tokenizer.load(VOCABULARY)
    const { tokenIds } = await new WordPieceEncoder(definition, 'plain').encode(['a [MASK] and [SEP] of[CLS]b [PAD]'])
    const special = new Set([specialTokens.maskId, specialTokens.sepId, specialTokens.clsId, specialTokens.padId])
    assert.deepEqual(
      [...tokenIds].filter((id) => special.has(id)),
      [],
    )
  })

  it('flags words and punctuation', async () => {
    const { definition } = await Tokenizer.load(VOCABULARY)
    const { tokenIds, tokenFlags } = await new WordPieceEncoder(definition, 'plain').encode([
      'Unbelievably, it\u2019s 3° \u2014 \u{1F600} \u{1F600}x \u0496\u0496 $',
    ])
    const words: string[] = []
    tokenIds.forEach((id, index) => {
      const token = definition.tokens[id]!
      if (tokenFlags[index] & 1) words.push(`${tokenFlags[index] & 2 ? 'P' : 'W'}:${token}`)
      else {
        words[words.length - 1] += token.slice(2)
        assert.equal(tokenFlags[index] & 2, words.at(-1)!.startsWith('P') ? 2 : 0)
      }
    })
    assert.deepEqual(words, [
      'W:unbelievably',
      'P:,',
      'W:it',
      'P:’',
      'W:s',
      'W:3°',
      'P:—',
      'P:[UNK]',
      'W:[UNK]',
      'W:[UNK]',
      'P:$',
    ])
  })

  it('keeps the event loop free while it encodes a large batch', async function () {
    this.timeout(60_000)
    const tokenizer = await Tokenizer.load(VOCABULARY)
    const lines = readFileSync(SAMPLE, 'utf8').split('\n')
    const texts = Array.from({ length: 5 }, () => lines).flat()
    await tokenizer.encodeBatch(lines.slice(0, 10))
    const delay = monitorEventLoopDelay({ resolution: 2 })
    delay.enable()
    const encoded = await tokenizer.encodeBatch(texts)
    delay.disable()
    assert.equal(encoded.length, texts.length)
    const median = delay.percentile(50) / 1e6
    assert.ok(median < 25, `median delay ${median} ms`)
    assert.deepEqual(encoded[7].tokenIds, (await tokenizer.encode(texts[7])).tokenIds)
  })

  it('places of tokens are the library’s, of long texts that the worker encodes and of lists in blocks', async () => {
    const tokenizer = await Tokenizer.load(VOCABULARY)
    const { source, json } = tokenizer.definition
    const native = compileTokenizer(source, json)
    const line = 'Caf\u00e9 \u{1f600} of 1,000 e\u0301 \udc00 [MASK] \u732b the church. '
    const [long, longer] = [line.repeat(600), ` ${line}`.repeat(900)]
    const short = Array.from({ length: 150 }, (_, index) => line.repeat(index % 40))
    const texts = [long, ...short, longer, 'end']
    const placed = await tokenizer.encodeWithOffsets(texts)
    assert.equal(placed.length, texts.length)
    for (const [index, text] of texts.entries()) {
      const [expected] = await encodeWithOffsets(native, [text])
      assert.deepEqual(placed[index], expected)
    }
    const { tokenIds, starts, ends } = placed[0]
    assert.ok(tokenIds.length > 600 * 12)
    const last = tokenIds.length - 2
    assert.equal(long.slice(starts[last], ends[last]).toLowerCase(), tokenizer.idToToken(tokenIds[last]))
    assert.deepEqual(await tokenizer.encodeWithOffsets([]), [])
  })

  it('answers concurrent batches of several tokenizers, each with its own ids', async () => {
    const tokenizers = await Promise.all([true, false].map((lowercase) => Tokenizer.load(VOCABULARY, { lowercase })))
    const text = 'The Church of England'
    const expected = await Promise.all(tokenizers.map((tokenizer) => tokenizer.encode(text)))
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => tokenizers[index % 2].encodeBatch([text, text])),
    )
    answers.forEach((answer, index) => {
      assert.deepEqual(answer, [expected[index % 2], expected[index % 2]])
    })
    assert.notDeepEqual(expected[0].tokenIds, expected[1].tokenIds)
  })

  it('refuses files that are no BERT tokenizer, naming file and reason', async () => {
    const tokenizer = await Tokenizer.load(VOCABULARY)
    const { json } = tokenizer.definition
    const write = (name: string, content: string | Buffer): string => {
      const path = join(folder, name)
      writeFileSync(path, content)
      return path
    }
    const vocab = { ...json.model.vocab }
    const without = (token: string): Record<string, number> =>
      Object.fromEntries(Object.entries(vocab).filter(([name]) => name !== token))
    const cases: [string, string, RegExp][] = [
      [join(folder, 'missing'), 'NOT_FOUND', /does not exist/],
      [write('cut.json', JSON.stringify(json).slice(0, 5000)), 'BAD_FILE', /no.* valid JSON/],
      [write('empty.json', ''), 'BAD_FILE', /empty/],
      [write('list.json', '[1,2]'), 'BAD_FILE', /JSON object/],
      [write('no-model.json', '{"version":"1.0"}'), 'BAD_FILE', /"model"/],
      [write('bpe.json', '{"model":{"type":"BPE","vocab":{}}}'), 'UNSUPPORTED', /WordPiece/],
      [write('utf8.json', Buffer.from([0x7b, 0xff, 0xfe])), 'BAD_FILE', /UTF-8/],
      [
        write('normalizer.json', JSON.stringify({ ...json, normalizer: { type: 'Magic' } })),
        'BAD_FILE',
        /no tokenizer/,
      ],
      [
        write('ids.json', JSON.stringify({ ...json, model: { ...json.model, vocab: { ...vocab, a: 'x' } } })),
        'BAD_FILE',
        /"a"/,
      ],
      [
        write('negative.json', JSON.stringify({ ...json, model: { ...json.model, vocab: { ...vocab, a: -1 } } })),
        'BAD_FILE',
        /-1/,
      ],
      [
        write('huge.json', JSON.stringify({ ...json, model: { ...json.model, vocab: { ...vocab, a: 2 ** 31 } } })),
        'BAD_FILE',
        /2147483648/,
      ],
      [
        write('twice.json', JSON.stringify({ ...json, model: { ...json.model, vocab: { ...vocab, zzz: 7 } } })),
        'BAD_FILE',
        /unique/,
      ],
      [write('vocab-empty-line.txt', `${SPECIAL_TOKENS.join('\n')}\n\nx\n`), 'BAD_FILE', /line 6 is empty/],
      [write('vocab-twice.txt', `${SPECIAL_TOKENS.join('\n')}\nx\ny\nx\n`), 'BAD_FILE', /line 8.*"x"/],
    ]
    for (const token of SPECIAL_TOKENS) {
      const added_tokens = json.added_tokens.filter(({ content }) => content !== token)
      const model = { ...json.model, vocab: without(token) }
      const path = write(`without-${token.slice(1, -1)}.json`, JSON.stringify({ ...json, added_tokens, model }))
      cases.push([path, 'BAD_FILE', new RegExp(`\\[${token.slice(1, -1)}\\]`)])
      const lines = SPECIAL_TOKENS.filter((other) => other !== token).join('\n')
      cases.push([
        write(`without-${token.slice(1, -1)}.txt`, `${lines}\nx\n`),
        'BAD_FILE',
        new RegExp(`\\[${token.slice(1, -1)}\\]`),
      ])
    }
    for (const [path, code, message] of cases) {
      const error = await failure(Tokenizer.load(path))
      assert.equal(error.code, code, `${path}: ${error.message}`)
      assert.match(error.message, message)
      assert.ok(error.message.includes(path), error.message)
      assert.equal(error.exitCode, 2)
    }
    const empty = mkdtempSync(join(folder, 'no-tokenizer-'))
    const error = await failure(Tokenizer.load(empty))
    assert.equal(error.code, 'NOT_FOUND')
    assert.ok(error.message.includes(empty))
  })

  it('survives a thousand damaged tokenizer.json files', async function () {
    this.timeout(60_000)
    const tokens = [...SPECIAL_TOKENS, 'a', '##b', 'c']
    const text = JSON.stringify(Tokenizer.fromVocabulary(tokens).definition.json)
    const path = join(folder, 'fuzzed.json')
    let loaded = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(text.length - 1), fc.constantFrom(...'0129-"{}[],:nulltrue\\ x')), {
          minLength: 1,
          maxLength: 3,
        }),
        async (changes) => {
          const characters = [...text]
          for (const [place, character] of changes) characters[place] = character
          writeFileSync(path, characters.join(''))
          try {
            const tokenizer = await Tokenizer.load(path)
            await tokenizer.encode('a b [MASK] abc')
            loaded++
          } catch (error) {
            assert.ok(error instanceof StrataError, String((error as Error).stack))
          }
        },
      ),
      { numRuns: 1000, seed: 22 },
    )
    assert.ok(loaded > 50, `${loaded} files could still be used`)
  })

  it('refuses wrong arguments', async () => {
    const tokenizer = await Tokenizer.load(VOCABULARY)
    for (const work of [
      tokenizer.encode('a', { maxTokens: 2 }),
      tokenizer.encode('a', { maxTokens: 3.5 }),
      tokenizer.encodePair('a', 'b', { maxTokens: 3 }),
      tokenizer.encode(5 as unknown as string),
      tokenizer.encodeBatch(['a', null as unknown as string]),
      tokenizer.encodeBatch([['a', 'b', 'c'] as unknown as [string, string]]),
    ]) {
      assert.equal((await failure(work)).code, 'BAD_ARGUMENT')
    }
    assert.deepEqual(await tokenizer.encodeBatch([]), [])
    const lone = await tokenizer.encode('a \ud800 b')
    assert.deepEqual(lone.tokenIds, (await tokenizer.encode('a  b')).tokenIds)
  })

  it('loads a released tokenizer with its own files agreeing', async function () {
    const path = join(SHARED_DATA, 'minilm_l6')
    if (!existsSync(path)) return this.skip()
    const tokenizer = await Tokenizer.load(path)
    const fromVocabulary = await Tokenizer.load(join(path, 'vocab.txt'))
    assert.equal(tokenizer.fingerprint, fromVocabulary.fingerprint)
    assert.equal(tokenizer.vocabSize, 30522)
    assert.deepEqual([...(await tokenizer.encode('Hello, world!')).tokenIds], [101, 7592, 1010, 2088, 999, 102])
  })
})
