/**
 * Writes the counts, lengths and samples of dependency chunks in docs/chunks.md anew; what stands before them stays.
 *
 *     npx tsx scripts/chunk-docs.ts UD.conllu CLEARNLP.conllu
 *
 * UD.conllu: the dev part of UD English EWT. CLEARNLP.conllu: the first 4,000 sentences of English Wikipedia as parsed by spaCy's en_core_web_sm.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { commit } from '../benchmarks/rounds.js'
import { readConllu } from '../lib/data/index.js'
import {
  CHUNK_KINDS,
  type ChunkKind,
  type ConlluSentence,
  chunkRelations,
  chunkWithoutParse,
  chunkWords,
  parsedWords,
} from '../lib/text/index.js'

const SENTENCES = 4000
const SAMPLE = 50

interface Counts {
  sentences: number
  words: number
  chunks: number
  kinds: Record<ChunkKind, number>
  lengths: number[]
  related: Record<string, number>
  sample: string[]
  /** Nominal chunks of the fallback, and those with the borders that the parse gives. */
  fallback: { found: number; real: number; hits: number }
}

async function count(path: string): Promise<Counts> {
  const counts: Counts = {
    sentences: 0,
    words: 0,
    chunks: 0,
    kinds: { nominal: 0, verbal: 0, other: 0, marker: 0 },
    lengths: Array(8).fill(0),
    related: {},
    sample: [],
    fallback: { found: 0, real: 0, hits: 0 },
  }
  for await (const sentence of readConllu(path)) {
    if (counts.sentences === SENTENCES) break
    addSentence(counts, sentence)
  }
  return counts
}

function addSentence(counts: Counts, sentence: ConlluSentence): void {
  const words = parsedWords(sentence)
  const chunked = chunkWords(words)
  const { chunks } = chunked
  const { groups, targets } = chunkRelations(words, chunked)
  const forms = sentence.words.map(({ form }) => form)
  counts.sentences++
  counts.words += forms.length
  counts.chunks += chunks.length
  for (const { kind, start, end } of chunks) {
    counts.kinds[kind]++
    if (kind !== 'marker') counts.lengths[Math.min(end - start, counts.lengths.length) - 1]++
  }
  const pairs: string[] = []
  groups.forEach((group, r) => {
    counts.related[group] ??= 0
    chunks.forEach(({ head }, chunk) => {
      const target = targets[r * chunks.length + chunk]
      if (target < 0) return
      counts.related[group]++
      pairs.push(`${group}: ${forms[head]} → ${forms[chunks[target].head]}`)
    })
  })
  const nominal = ({ chunks }: { chunks: { kind: ChunkKind; start: number; end: number }[] }): string[] =>
    chunks.filter(({ kind }) => kind === 'nominal').map(({ start, end }) => `${start}-${end}`)
  const real = new Set(nominal(chunked))
  const found = nominal(chunkWithoutParse(forms))
  counts.fallback.found += found.length
  counts.fallback.real += real.size
  counts.fallback.hits += found.filter((chunk) => real.has(chunk)).length
  // Spread over the file, of a length that fits a line.
  const due = counts.sample.length < SAMPLE && counts.sentences >= counts.sample.length * 36
  if (due && forms.length >= 7 && forms.length <= 18 && /[.!?]/.test(forms.at(-1)!)) {
    const mark = { nominal: 'N', verbal: 'V', other: 'O', marker: '' }
    const shown = chunks.map(({ kind, start, end }) => {
      const text = forms.slice(start, end).join(' ')
      return kind === 'marker' ? text : `[${mark[kind]} ${text}]`
    })
    counts.sample.push(`${shown.join(' ')}\n    ${pairs.join('; ') || 'no relation'}`)
  }
}

const share = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`
const number = (value: number): string => value.toLocaleString('en-US')

function table(ud: Counts, clearnlp: Counts): string {
  const row = (name: string, value: (counts: Counts) => string): string =>
    `| ${name} | ${value(ud)} | ${value(clearnlp)} |\n`
  const own = (counts: Counts): number => counts.chunks - counts.kinds.marker
  let text = '| | UD English EWT, dev | English Wikipedia, spaCy (ClearNLP) |\n|---|---|---|\n'
  text += row('sentences', ({ sentences }) => number(sentences))
  text += row('words', ({ words }) => number(words))
  text += row('chunks', ({ chunks }) => number(chunks))
  for (const kind of CHUNK_KINDS) {
    text += row(kind, ({ kinds, chunks }) => `${number(kinds[kind])} (${share(kinds[kind], chunks)})`)
  }
  text += row('words a chunk, without markers', (counts) =>
    ((counts.words - counts.kinds.marker) / own(counts)).toFixed(2),
  )
  ud.lengths.forEach((_, at) => {
    const name = at === 7 ? '8 words or more' : at === 0 ? '1 word' : `${at + 1} words`
    text += row(name, (counts) => share(counts.lengths[at], own(counts)))
  })
  for (const group of Object.keys(ud.related)) {
    text += row(
      `in \`${group}\``,
      (counts) => `${number(counts.related[group])} (${share(counts.related[group], own(counts))})`,
    )
  }
  const f1 = ({ fallback: { hits, found, real } }: Counts): string => ((200 * hits) / (found + real)).toFixed(1)
  return text + row('nominal chunks of the fallback, F1 beside the parse', f1)
}

async function main(): Promise<void> {
  const [udPath, clearPath] = process.argv.slice(2)
  if (!clearPath) throw new Error('two CoNLL-U files were expected: UD, then ClearNLP')
  const [ud, clearnlp] = [await count(udPath), await count(clearPath)]
  const file = join(__dirname, '../docs/chunks.md')
  const [written] = readFileSync(file, 'utf8').split(/^(?=## Counts$)/m)
  const text = `## Counts

${new Date().toISOString().slice(0, 10)}, commit ${commit()}.

${table(ud, clearnlp)}
Rows of lengths and relations: share of the chunks that are no markers.

## ${SAMPLE} sentences with Universal Dependencies

From UD English EWT (universaldependencies.org, CC BY-SA 4.0). N nominal, V verbal, O other; words without brackets are markers.

${ud.sample.map((line) => `    ${line}`).join('\n')}

## ${SAMPLE} sentences with ClearNLP labels

From English Wikipedia (en.wikipedia.org, its authors, CC BY-SA 3.0), parsed by spaCy 3.8 \`en_core_web_sm\` (MIT).

${clearnlp.sample.map((line) => `    ${line}`).join('\n')}

The sentences of this page stay under their licences, CC BY-SA 4.0 and CC BY-SA 3.0. Made by \`scripts/chunk-docs.ts\`.
`
  writeFileSync(file, written + text)
  if (ud.sample.length < SAMPLE || clearnlp.sample.length < SAMPLE) throw new Error('too few sentences for the sample')
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
