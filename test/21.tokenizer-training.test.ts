import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import { type TokenizerTrainingOptions, trainTokenizer } from '../lib/data/index.js'
import { StrataError } from '../lib/errors.js'
import { learnVocabulary, SPECIAL_TOKENS, Tokenizer, WordCounter } from '../lib/text/index.js'

const SAMPLE = resolve(__dirname, '../examples/data/wikipedia-sample.txt')

describe('Tokenizer training', () => {
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-training-'))
  })
  after(() => rmSync(folder, { recursive: true }))

  it('merges by hand-checked counts, ties to the earlier pieces', () => {
    // abc ×5, abd ×3, xy ×8: a+##b comes 8 times, x+##y 8 times; a stands before x.
    const words = new Map([
      ['xy', 8],
      ['abc', 5],
      ['abd', 3],
    ])
    const tokens = learnVocabulary(words, { vocabSize: 32, alphabetSize: 10 })
    assert.deepEqual(tokens, [
      ...SPECIAL_TOKENS,
      'a',
      'b',
      'c',
      'd',
      'x',
      'y',
      '##b',
      '##c',
      '##d',
      '##y',
      'ab',
      'xy',
      'abc',
      'abd',
    ])
    const backwards = new Map([...words].reverse())
    assert.deepEqual(learnVocabulary(backwards, { vocabSize: 32, alphabetSize: 10 }), tokens)
    assert.equal(learnVocabulary(words, { vocabSize: 32, alphabetSize: 10, minFrequency: 4 }).includes('abd'), false)
    // The rarest characters go first; words with them teach nothing.
    assert.deepEqual(learnVocabulary(words, { vocabSize: 32, alphabetSize: 5 }).includes('d'), false)
  })

  it('counts overlapping pairs right', () => {
    const tokens = learnVocabulary(
      new Map([
        ['aaaaa', 3],
        ['aa', 2],
      ]),
      { vocabSize: 32, alphabetSize: 4 },
    )
    // ##a+##a: 3 × 3 = 9 before a+##a: 5; then aaaaa = a ##aa ##aa: a+##aa 3 = ##aa+##aa 3, a first.
    assert.deepEqual(tokens.slice(5), ['a', '##a', '##aa', 'a##aa'.replace('##', ''), 'aaaaa', 'aa'])
  })

  it('gives the same vocabulary each time, in files that load again', async function () {
    this.timeout(60_000)
    const progress = new Set<string>()
    const options = { inputs: [SAMPLE], vocabSize: 2000 }
    const output = join(folder, 'new', 'tokenizer')
    const first = await trainTokenizer({ ...options, output, onProgress: ({ phase }) => progress.add(phase) })
    const second = await trainTokenizer(options)
    assert.deepEqual(second.tokenizer.vocabulary(), first.tokenizer.vocabulary())
    const kept = readFileSync(resolve(__dirname, 'golden/tokenizer-vocab.txt'), 'utf8').trimEnd().split('\n')
    assert.deepEqual(first.tokenizer.vocabulary(), kept)
    assert.equal((await Tokenizer.load(output)).fingerprint, first.tokenizer.fingerprint)
    assert.deepEqual([...progress].sort(), ['count', 'learn'])
    const { statistics } = first
    assert.equal(statistics.documents, 435)
    assert.equal(statistics.vocabSize, 2000)
    assert.ok(statistics.uniqueWords > 20_000)
  })

  it('learns what the tokenizers library learns, up to its ties', async function () {
    this.timeout(60_000)
    const text = join(folder, 'plain.txt')
    const lines = readFileSync(SAMPLE, 'utf8').split('\n')
    writeFileSync(text, lines.join('\n'))
    // In a process of its own: the library prints to standard output.
    const script = `const { Tokenizer, WordPiece, bertNormalizer, bertPreTokenizer } = require(${JSON.stringify(require.resolve('tokenizers'))})
      const tokenizer = new Tokenizer(WordPiece.init({ '[UNK]': 0 }, { unkToken: '[UNK]' }))
      tokenizer.setNormalizer(bertNormalizer()); tokenizer.setPreTokenizer(bertPreTokenizer())
      tokenizer.train([${JSON.stringify(text)}])
      const list = Object.entries(tokenizer.getVocab()).sort((a, b) => a[1] - b[1]).map(([token]) => token)
      require('node:fs').writeFileSync(${JSON.stringify(join(folder, 'library.json'))}, JSON.stringify(list))`
    execFileSync(process.execPath, ['-e', script], { stdio: 'ignore' })
    const library = JSON.parse(readFileSync(join(folder, 'library.json'), 'utf8')) as string[]
    const counter = new WordCounter({ lowercase: true })
    for (const line of lines) counter.add(line)
    const ours = learnVocabulary(counter.words(), { vocabSize: 8000, alphabetSize: 1000 }).slice(SPECIAL_TOKENS.length)
    const long = (tokens: string[]): string[] => tokens.filter((token) => token.replace(/^##/, '').length > 1)
    const mine = long(ours).slice(0, 5000)
    const theirs = new Set(long(library).slice(0, 5000))
    const shared = mine.filter((token) => theirs.has(token)).length
    assert.ok(shared >= 4975, `${shared} of 5,000 merges are shared`)
    // The frequent ones come in the same order, neighbours of equal count apart.
    const places = new Map(long(library).map((token, place) => [token, place]))
    mine.slice(0, 300).forEach((token, place) => {
      assert.ok(Math.abs(places.get(token)! - place) <= 3, `${token} stands at ${place} and ${places.get(token)}`)
    })
  })

  it('reads JSON lines and gzip, keeps case when asked', async () => {
    const path = join(folder, 'text.jsonl.gz')
    writeFileSync(path, gzipSync(`${JSON.stringify({ body: 'Ada Ada Ada Lovelace Lovelace ADA' })}\n`))
    const { tokenizer } = await trainTokenizer({
      inputs: [path],
      vocabSize: 64,
      alphabetSize: 20,
      lowercase: false,
      textField: 'body',
    })
    assert.ok(tokenizer.tokenToId('Ada') !== undefined)
    assert.equal(tokenizer.tokenToId('ada'), undefined)
    assert.equal(tokenizer.lowercase, false)
  })

  it('is learned once for a text and its options, where there is a cache; a damaged one is learned anew', async () => {
    const cacheDirectory = join(folder, 'vocabularies')
    const text = join(folder, 'once.txt')
    writeFileSync(text, readFileSync(SAMPLE, 'utf8').slice(0, 40_000))
    const learned = async (more: Partial<TokenizerTrainingOptions> = {}) => {
      const phases = new Set<string>()
      const onProgress = ({ phase }: { phase: string }) => phases.add(phase)
      const options = { inputs: [text], vocabSize: 300, cacheDirectory, onProgress, ...more }
      const { tokenizer, statistics } = await trainTokenizer(options)
      return { pieces: tokenizer.vocabulary(), statistics, anew: phases.has('learn') }
    }
    const first = await learned()
    assert.equal(first.anew, true)
    assert.deepEqual(await learned(), { ...first, anew: false })
    assert.equal(readdirSync(cacheDirectory).length, 1)
    const [name] = readdirSync(cacheDirectory)
    const stored = readFileSync(join(cacheDirectory, name), 'utf8')
    writeFileSync(join(cacheDirectory, name), stored.replace('"the"', '"teh"'))
    assert.deepEqual(await learned(), first)
    assert.equal(readFileSync(join(cacheDirectory, name), 'utf8'), stored)
    for (const other of [{ vocabSize: 299 }, { normalize: { ascii: true } }]) {
      assert.equal((await learned(other)).anew, true)
    }
    appendFileSync(text, 'More text.')
    assert.equal((await learned()).anew, true)
    assert.equal(readdirSync(cacheDirectory).length, 4)
  })

  it('refuses what cannot be learned', async () => {
    const blank = join(folder, 'blank.txt')
    writeFileSync(blank, '\n\n  \n')
    const control = new AbortController()
    control.abort()
    const cases: [() => Promise<unknown>, string, RegExp][] = [
      [() => trainTokenizer({ inputs: [SAMPLE], vocabSize: 10 }), 'BAD_ARGUMENT', /vocabSize is 10/],
      [() => trainTokenizer({ inputs: [], vocabSize: 100 }), 'BAD_ARGUMENT', /no input/],
      [() => trainTokenizer({ inputs: [SAMPLE], vocabSize: 64, alphabetSize: 100 }), 'BAD_ARGUMENT', /alphabetSize/],
      [() => trainTokenizer({ inputs: [blank], vocabSize: 100 }), 'BAD_DATA', /blank\.txt/],
      [() => trainTokenizer({ inputs: [join(folder, 'no.txt')], vocabSize: 100 }), 'NOT_FOUND', /no\.txt/],
      [() => trainTokenizer({ inputs: [SAMPLE], vocabSize: 100, signal: control.signal }), 'ABORTED', /stopped/],
    ]
    for (const [work, code, message] of cases) {
      await assert.rejects(work(), (error) => {
        assert.ok(error instanceof StrataError)
        assert.equal(error.code, code)
        assert.match(error.message, message)
        return true
      })
    }
  })
})
