import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { readConllu } from '../lib/data/conllu-file.js'
import { StrataError } from '../lib/errors.js'
import {
  annotate,
  type ConlluSentence,
  commentValue,
  findCycle,
  sentenceText,
  withComment,
} from '../lib/text/conllu.js'
import { type ConlluOptions, parseConllu } from '../lib/text/conllu-reader.js'
import { formatConllu, makeSentence, writeConllu } from '../lib/text/conllu-writer.js'
import { isRelation } from '../lib/text/dependency-labels.js'
import { SHARED_DATA } from './helpers/shared-data.js'

const TREEBANK = join(SHARED_DATA, 'ud_ewt')

const SAMPLE = `# newdoc id = d-1
# newpar
# sent_id = 1
# text = Don't say "was"  eaten.
1-2	Don't	_	_	_	_	_	_	_	_
1	Do	do	AUX	VB	Mood=Imp|VerbForm=Fin	3	aux	3:aux	_
2	n't	not	PART	RB	_	3	advmod	3:advmod	Typo
3	say	say	VERB	VB	_	0	root	0:root	_
4	"	"	PUNCT	\`\`	_	5	punct	5:punct	SpaceAfter=No
5	was	be	AUX	VBD	_	3	obj	3:obj|8.1:x:y	SpaceAfter=No
6	"	"	PUNCT	''	_	5	punct	5:punct	Gloss=a b
7	eaten	eat	VERB	VBN	_	3	dep	3:dep	X=1|SpaceAfter=No
8	.	.	PUNCT	.	_	3	punct	3:punct	_
8.1	gone	go	VERB	_	_	_	_	3:conj	CopyOf=3

# second
1	New York	_	PROPN	_	_	_	_	_	_

`

const row = (id: string, head: string, deprel = 'dep'): string =>
  `${id}\tw${id}\t_\t_\t_\t_\t${head}\t${deprel}\t_\t_\n`

describe('CoNLL-U', () => {
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-conllu-'))
  })
  after(() => rmSync(folder, { recursive: true }))

  const write = (name: string, content: string | Buffer): string => {
    const path = join(folder, name)
    writeFileSync(path, content)
    return path
  }
  const readAll = async (path: string, options: ConlluOptions = {}): Promise<ConlluSentence[]> => {
    const sentences: ConlluSentence[] = []
    for await (const sentence of readConllu(path, options)) sentences.push(sentence)
    return sentences
  }
  const format = (sentences: readonly ConlluSentence[]): string => sentences.map(formatConllu).join('')

  it('reads comments, multi-word tokens, empty nodes and all columns', () => {
    const [first, second] = parseConllu(SAMPLE, { source: 's' })
    assert.deepEqual(
      first.rows.map(({ kind, id, line }) => [kind, id, line]),
      [
        ['range', '1-2', 5],
        ...Array.from({ length: 8 }, (_, word) => ['word', String(word + 1), 6 + word]),
        ['empty', '8.1', 14],
      ],
    )
    assert.equal(first.words.length, 8)
    assert.deepEqual([...first.heads], [3, 3, 0, 5, 3, 5, 3, 3])
    assert.deepEqual([...second.heads], [-1])
    assert.deepEqual([first.newDocument, first.newParagraph, first.line], [{ id: 'd-1' }, {}, 1])
    assert.deepEqual([second.newDocument, second.newParagraph, second.line], [undefined, undefined, 16])
    assert.equal(commentValue(first, 'sent_id'), '1')
    assert.equal(commentValue(second, 'sent_id'), undefined)
    assert.equal(second.words[0].form, 'New York')
    assert.equal(format([first, second]), SAMPLE)
  })

  it('spells the text and knows where each word stands', () => {
    const [first] = parseConllu(SAMPLE)
    const { text, starts, ends, spaceAfter } = sentenceText(first)
    assert.equal(text, `Don't say "was" eaten.`)
    assert.deepEqual(
      first.words.map((_, word) => text.slice(starts[word], ends[word])),
      ['Do', "n't", 'say', '"', 'was', '"', 'eaten', '.'],
    )
    assert.ok(spaceAfter)
    // Forms that do not spell the token share its place.
    const zum = parseConllu(`1-2\tzum\t_\t_\t_\t_\t_\t_\t_\t_\n${row('1', '0')}${row('2', '1')}\n`)
    assert.deepEqual([...sentenceText(zum[0]).starts, ...sentenceText(zum[0]).ends], [0, 0, 3, 3])
  })

  it('writes and reads the treebank byte for byte, as a stream and packed', async function () {
    if (!existsSync(TREEBANK)) this.skip()
    this.timeout(120_000)
    const counts = { train: 12_544, dev: 2_001, test: 2_077 }
    for (const [part, count] of Object.entries(counts)) {
      const path = join(TREEBANK, `en_ewt-ud-${part}.conllu`)
      const out = join(folder, `${part}.conllu.gz`)
      let texts = 0
      const checked = async function* () {
        for await (const sentence of readConllu(path, { strict: true, labels: 'ud' })) {
          texts += Number(sentenceText(sentence).text === commentValue(sentence, 'text'))
          yield sentence
        }
      }
      assert.equal(await writeConllu(out, checked()), count)
      assert.ok(gunzipSync(readFileSync(out)).equals(readFileSync(path)), part)
      // One comment of the test part does not say what its tokens spell.
      assert.equal(texts, part === 'test' ? count - 1 : count)
      const again = await readAll(out)
      assert.equal(again.length, count)
    }
  })

  it('reads a parse with ClearNLP labels', () => {
    const text = `${row('1', '2', 'nsubjpass')}${row('2', '0', 'root')}${row('3', '2', 'prep')}\n`
    assert.equal(parseConllu(text, { labels: 'clearnlp' }).length, 1)
    assert.throws(() => parseConllu(text, { labels: 'ud', source: 'f' }), /^StrataError: f:1: relation "nsubjpass"/)
    assert.ok(isRelation('obl:tmod', 'ud') && !isRelation('obl:', 'ud') && !isRelation('ROOTS', 'clearnlp'))
  })

  const damaged: [name: string, text: string, line: number, message: RegExp, options?: ConlluOptions][] = [
    ['nine columns', `${row('1', '0')}2\tb\t_\t_\t_\t_\t1\tdep\t_\n\n`, 2, /9 columns, 10 were expected/],
    ['eleven columns', `1\tb\t_\t_\t_\t_\t0\tdep\t_\t_\t_\n\n`, 1, /11 columns/],
    ['spaces for tabs', '1 a _ _ _ _ 0 root _ _\n\n', 1, /1 columns/],
    ['an empty cell', `1\t\t_\t_\t_\t_\t0\troot\t_\t_\n\n`, 1, /column 2 is empty/],
    ['a wrong number', `# c\n${row('1', '0')}${row('3', '1')}\n`, 3, /word number 3, 2 was expected/],
    ['number 0', `${row('0', '0')}\n`, 1, /word number 0, 1 was expected/],
    ['a number with zeros', `${row('01', '0')}\n`, 1, /"01" is no word number/],
    ['a range too late', `${row('1', '0')}${row('1-2', '_')}${row('2', '1')}\n`, 2, /range that begins with the next/],
    ['a range without end', `${row('1-3', '_')}${row('1', '0')}${row('2', '1')}\n`, 1, /reaches to word 3.*has 2/],
    ['a range backwards', `${row('2-1', '_')}${row('1', '0')}\n`, 1, /range/],
    ['two ranges at once', `${row('1-2', '_')}${row('1-2', '_')}${row('1', '0')}${row('2', '1')}\n`, 2, /overlaps/],
    ['a wrong empty node', `${row('1', '0')}${row('1.2', '_')}\n`, 2, /empty node 1.2; 1.1 was expected/],
    ['a head outside', `${row('1', '0')}${row('2', '3')}\n`, 2, /head 3 lies outside of the sentence; 0 to 2/],
    ['a huge head', `${row('1', '99999999999999999999')}\n`, 1, /head "9+"/],
    ['a negative head', `${row('1', '-1')}\n`, 1, /head "-1"/],
    ['a cycle', `${row('1', '0')}${row('2', '3')}${row('3', '2')}\n`, 2, /cycle \(words 2 → 3 → 2\)/],
    ['a word as its own head', `${row('1', '0')}${row('2', '2')}\n`, 2, /cycle \(words 2 → 2\)/],
    ['no root', `${row('1', '2')}${row('2', '1')}\n`, 1, /cycle/],
    ['two roots', `${row('1', '0')}${row('2', '0')}\n`, 2, /second root \(the first is word 1\)/, { strict: true }],
    ['a missing head', `${row('1', '0')}${row('2', '_')}\n`, 2, /has no head/, { strict: true }],
    ['CR LF', `${row('1', '0')}\n`.replaceAll('\n', '\r\n'), 1, /CR LF; LF was expected: convert.*tolerant: true/],
    ['a byte-order mark', `\ufeff${row('1', '0')}\n`, 1, /byte-order mark.*remove it.*tolerant: true/],
    ['a NUL character', `${row('1', '0')}${row('2', '1').replace('w2', 'w\0')}\n`, 2, /NUL character/],
    ['a carriage return inside', `${row('1', '0')}# a\rb\n${row('2', '1')}\n`, 2, /carriage return stands inside/],
    ['a missing blank line', row('1', '0'), 1, /ends inside a sentence.*cut.*tolerant: true/],
    ['two blank lines', `${row('1', '0')}\n\n${row('1', '0')}\n`, 3, /blank line without a sentence/],
    ['a comment among words', `${row('1', '0')}# late\n${row('2', '1')}\n`, 2, /comment stands among the words/],
    ['comments alone', '# a\n# b\n\n', 1, /sentence without words/],
    ['a range alone', `${row('1-2', '_')}\n`, 1, /without words/],
  ]
  for (const [name, text, line, message, options] of damaged) {
    it(`refuses ${name}, naming file and line`, async () => {
      const path = write('damaged.conllu', text)
      await assert.rejects(readAll(path, options), (error) => {
        assert.ok(error instanceof StrataError, String(error))
        assert.equal(error.code, 'BAD_DATA')
        assert.ok(error.message.startsWith(`${path}:${line}: `), error.message)
        assert.match(error.message, message)
        assert.deepEqual([error.details.path, error.details.line], [path, line])
        return true
      })
    })
  }

  it('passes bad sentences over on request and goes on with the next', () => {
    for (const [name, text, line, message, options] of damaged) {
      const errors: StrataError[] = []
      const onBadSentence = (error: StrataError): void => void errors.push(error)
      const good = `${row('1', '2')}${row('2', '0')}\n`
      const before = `# first\n${good}`
      const whole = `${before}${text}${text.endsWith('\n\n') || text.endsWith('\r\n\r\n') ? '' : '\n'}# last\n${good}`
      if (name === 'a missing blank line' || name === 'a byte-order mark') continue
      const read = parseConllu(whole, { ...options, onBadSentence })
      assert.ok(read.length >= 2, name)
      assert.equal(formatConllu(read[0]), before, name)
      assert.equal(formatConllu(read.at(-1)!), `# last\n${good}`, name)
      assert.match(errors[0].message, message, name)
      assert.equal(errors[0].details.line, line + 4, name)
    }
  })

  it('reads CR LF and gaps if told to, and writes CR LF back', async () => {
    const crlf = SAMPLE.replaceAll('\n', '\r\n')
    assert.equal(format(parseConllu(crlf, { tolerant: true })), crlf)
    const plain = `${row('1', '0')}\n`
    assert.equal(format(parseConllu(`\r\n${plain}`, { tolerant: true })), plain, 'a gap says nothing of what follows')
    const lines = crlf.split('\n').map((line, at) => (at % 3 === 0 ? line.replace('\r', '') : line))
    const mixed = lines.join('\n')
    const [first, ...others] = parseConllu(mixed, { tolerant: true })
    assert.equal(format([first, ...others]), mixed)
    const extended = lines.toSpliced(0, 0, '# generator = g').join('\n')
    assert.equal(format([withComment(first, 'generator', 'g'), ...others]), extended)
    const cut = crlf.slice(0, crlf.indexOf('\r\n\r\n'))
    assert.equal(format(parseConllu(cut, { tolerant: true })), `${cut}\r\n\r\n`, 'the last line lacks its end')
    assert.equal(format(await readAll(write('marked.conllu', `\ufeff${SAMPLE}`), { tolerant: true })), SAMPLE)
    const gaps = `\n${row('1', '0')}\n\n\n${row('1', '0')}`
    const read = await readAll(write('gaps.conllu', gaps), { tolerant: true })
    assert.deepEqual(
      read.map(({ line }) => line),
      [2, 6],
    )
  })

  it('refuses files that cannot be read', async () => {
    const cases: [string, string, RegExp][] = [
      [join(folder, 'missing.conllu'), 'NOT_FOUND', /does not exist/],
      [write('empty.conllu', ''), 'BAD_FILE', /is empty/],
      [write('cut.conllu.gz', gzipSync(SAMPLE).subarray(0, 60)), 'BAD_FILE', /damaged or cut gzip/],
      [
        write('latin.conllu', Buffer.from(SAMPLE.replace('eaten.', '\xe9'), 'latin1')),
        'BAD_DATA',
        /latin.conllu:4: invalid UTF-8/,
      ],
    ]
    for (const [path, code, message] of cases) {
      await assert.rejects(readAll(path), (error) => {
        assert.ok(error instanceof StrataError && error.code === code, String(error))
        assert.match(error.message, message)
        return true
      })
    }
    await assert.rejects(writeConllu(join(folder, 'no/such/folder.conllu'), []), { code: 'NOT_FOUND' })
  })

  it('gives sentences or an error with file and line for 10,000 damaged inputs', function () {
    this.timeout(120_000)
    const alphabet = [...'\t\n\r_0123456789-.#|=:', '\n\n', '1-2', '2.1', 'root', '\u0000', 'é', '\ud800', ' ']
    const cut = fc.record({
      at: fc.nat(SAMPLE.length),
      remove: fc.nat(12),
      put: fc.array(fc.constantFrom(...alphabet), { maxLength: 3 }),
    })
    let [good, bad] = [0, 0]
    fc.assert(
      fc.property(
        fc.array(cut, { minLength: 1, maxLength: 3 }),
        fc.boolean(),
        fc.boolean(),
        (cuts, strict, tolerant) => {
          let text = SAMPLE
          for (const { at, remove, put } of cuts) text = text.slice(0, at) + put.join('') + text.slice(at + remove)
          try {
            const sentences = parseConllu(text, { source: 'fuzz', strict, tolerant })
            good++
            for (const { heads, words } of sentences) {
              assert.equal(heads.length, words.length)
              assert.ok(heads.every((head) => head >= -1 && head <= words.length))
              assert.equal(findCycle(heads), undefined)
            }
            const back = format(sentences)
            if (!tolerant) assert.equal(back, text)
            assert.deepEqual(
              parseConllu(back, { source: 'fuzz', strict, tolerant }).map(formatConllu),
              sentences.map(formatConllu),
            )
          } catch (error) {
            bad++
            assert.ok(error instanceof StrataError, String((error as Error).stack))
            assert.equal(error.code, 'BAD_DATA')
            const line = Number(/^fuzz:(\d+): /.exec(error.message)?.[1])
            assert.ok(line >= 1 && line <= text.split('\n').length, error.message)
          }
        },
      ),
      { numRuns: 10_000, seed: 28 },
    )
    console.log(`      ${good} could be read, ${bad} were refused`)
    assert.ok(good > 500 && bad > 5000)
  })

  it('takes time in proportion to a sentence of any length', function () {
    this.timeout(30_000)
    const chain = (words: number): string => {
      let text = ''
      for (let word = 1; word <= words; word++) text += row(String(word), String(word - 1))
      return `${text}\n`
    }
    const time = (text: string): number => {
      const started = performance.now()
      assert.equal(parseConllu(text, { strict: true }).length, 1)
      return performance.now() - started
    }
    const [short, long] = [chain(2000), chain(64_000)]
    time(short)
    const least = Math.min(...Array.from({ length: 5 }, () => time(short)))
    assert.ok(least < 200)
    // 32 times the words; a quadratic check would take 1,024 times as long.
    assert.ok(time(long) < 32 * 6 * Math.max(least, 2))
  })

  it('changes tags and trees without touching the rest', () => {
    const [first] = parseConllu(SAMPLE)
    const heads = [2, 3, 0, 3, 3, 3, 3, 3]
    const changed = annotate(first, { upos: Array(8).fill('X'), heads, deprels: Array(8).fill('dep') })
    assert.deepEqual([...parseConllu(formatConllu(changed), { strict: true })[0].heads], heads)
    assert.deepEqual(
      changed.words.map(({ upos, deprel, deps, lemma }) => [upos, deprel, deps, lemma]),
      first.words.map(({ lemma }) => ['X', 'dep', '_', lemma]),
    )
    assert.equal(formatConllu(first), SAMPLE.slice(0, SAMPLE.indexOf('# second')))
    assert.equal(formatConllu(annotate(first, { upos: first.words.map(({ upos }) => upos) })), formatConllu(first))
    assert.throws(() => annotate(first, { heads: [0] }), { code: 'BAD_ARGUMENT' })
  })

  it('puts a comment in the place of the one of its name, else in front', () => {
    const [sentence] = parseConllu(SAMPLE)
    assert.equal(
      withComment(sentence, 'sent_id', '7').comments.join('|'),
      sentence.comments.join('|').replace('sent_id = 1', 'sent_id = 7'),
    )
    assert.deepEqual(withComment(sentence, 'generator', 'x').comments, ['# generator = x', ...sentence.comments])
    const columns = '# global.columns = ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC'
    const plus = withComment({ ...sentence, comments: [columns, '# c'] }, 'generator', 'x')
    assert.deepEqual(plus.comments, [columns, '# generator = x', '# c'])
  })

  it('makes sentences, with ranges for multi-word tokens, and refuses what no cell can hold', () => {
    const sentence = makeSentence(
      [
        { form: 'I', token: 0, head: 2, deprel: 'nsubj', upos: 'PRON' },
        { form: 'do', token: 1, head: 0, deprel: 'root', spaceAfter: false },
        { form: "n't", token: 1, head: 2, deprel: 'advmod', spaceAfter: false },
        { form: '.', token: 2, head: 2, deprel: 'punct' },
      ],
      ['# newpar'],
    )
    const text = formatConllu(sentence)
    assert.match(text, /^2-3\tdon't\t(_\t){7}SpaceAfter=No$/m)
    const [back] = parseConllu(text, { strict: true, labels: 'ud' })
    assert.equal(sentenceText(back).text, "I don't.")
    assert.deepEqual([...back.heads], [2, 0, 2, 2])
    assert.deepEqual(
      back.words.map(({ form, misc }) => [form, misc]),
      [
        ['I', '_'],
        ['do', '_'],
        ["n't", '_'],
        ['.', '_'],
      ],
    )
    for (const form of ['', 'a\tb', 'a\nb', 'a\0b']) {
      assert.throws(() => formatConllu(makeSentence([{ form }])), { code: 'BAD_DATA' })
    }
    assert.throws(() => formatConllu(makeSentence([{ form: 'a' }], ['no hash'])), { code: 'BAD_DATA' })
  })
})
