/**
 * Cuts the labelled sets of the demo in examples/data: sentences with universal parts of speech (UD English EWT) and pairs of
 * sentences with their relation (SNLI). The same inputs give the same rows. Licences: examples/data/ATTRIBUTION.md.
 *
 * Usage: npx tsx scripts/demo-data.ts UD_EWT_FOLDER SNLI_DEV_JSONL
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import { stream } from '../lib/index.js'

const OUTPUT = resolve(__dirname, '../examples/data')
const SEED = 1
const TAGGED = { train: 1500, dev: 200 }
const PAIRS = { train: 3600, dev: 600 }
/** Shorter and longer sentences are left out. */
const WORDS = { least: 4, most: 22 }

function write(path: string, text: string): void {
  mkdirSync(dirname(join(OUTPUT, path)), { recursive: true })
  writeFileSync(join(OUTPUT, path), gzipSync(`${text}\n`, { level: 9 }))
}

/** Sentences of a CoNLL-U file as blocks with number, form and universal tag; the other columns become `_`. */
function taggedSentences(file: string): string[] {
  return readFileSync(file, 'utf8')
    .split('\n\n')
    .flatMap((block) => {
      const lines = block.split('\n')
      const id = lines.find((line) => line.startsWith('# sent_id'))
      const words = lines.filter((line) => /^\d+\t/.test(line)).map((line) => line.split('\t'))
      if (!id || words.length < WORDS.least || words.length > WORDS.most) return []
      const rows = words.map(([number, form, , tag]) => [number, form, '_', tag, ...Array(6).fill('_')].join('\t'))
      return [`${[id, ...rows].join('\n')}\n`]
    })
}

function writeTagging(folder: string): void {
  for (const [split, count] of Object.entries(TAGGED)) {
    const sentences = taggedSentences(join(folder, `en_ewt-ud-${split}.conllu`))
    stream(SEED, 'demo-data', 'upos', split).shuffle(sentences)
    write(`upos/${split}.conllu.gz`, sentences.slice(0, count).join('\n'))
  }
}

/** All pairs of a premise stay on one side, so that no held-out premise was trained on. */
function writePairs(file: string): void {
  const byPremise = new Map<string, string[]>()
  for (const line of readFileSync(file, 'utf8').trimEnd().split('\n')) {
    const { premise, hypothesis, label } = JSON.parse(line) as Record<string, string>
    const cells = [premise, hypothesis, label]
    if (label === '-' || cells.some((cell) => /[\t\n]/.test(cell) || cell.trim() === '')) continue
    byPremise.set(premise, [...(byPremise.get(premise) ?? []), cells.join('\t')])
  }
  const groups = [...byPremise.values()]
  stream(SEED, 'demo-data', 'snli').shuffle(groups)
  const pairs = groups.flat()
  let first = 0
  for (const [split, count] of Object.entries(PAIRS)) {
    // Groups are of three pairs nearly always; what a border cuts off is left out.
    const chosen = pairs.slice(first, first + count)
    first += count + 3
    write(`snli/${split}.tsv.gz`, ['premise\thypothesis\tlabel', ...chosen].join('\n'))
  }
}

const [treebank, entailment] = process.argv.slice(2)
if (!entailment) {
  console.error('usage: npx tsx scripts/demo-data.ts UD_EWT_FOLDER SNLI_DEV_JSONL')
  process.exitCode = 2
} else {
  writeTagging(treebank)
  writePairs(entailment)
}
