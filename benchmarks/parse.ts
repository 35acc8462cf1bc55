/**
 * From text to trees: `npm run bench:parse -- --model RUN [--words 100000] [--precisions fp32,int8] [--treebank FILE.conllu] [--rounds N]
 * [--json] [--short] [--save]`.
 *
 * `stratabert parse` turns English Wikipedia text into CoNLL-U, from file to file, sentences and words split on the way, a process a turn and
 * the precisions by turns. `wordsPerSecond` is the command's own figure (from the first word read to the last one written; starting and
 * loading are left out), the median over the rounds. `sameArcs` is the share of words with the head and relation of the first precision;
 * with a treebank its gold words are parsed as well, and UAS, LAS and UPOS stand beside; `rawScores` are those of its bare text, whose
 * words and sentences we split ourselves (F1, words aligned by their characters; "Words" and "Sentences" are those found alike).
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { type DependencyMetric, scoreDependencies } from '../lib/evaluation/index.js'
import { type ConlluSentence, parseConllu } from '../lib/text/index.js'
import { buildDist } from '../scripts/build-dist.js'
import { enwikiText, sharedData } from './enwiki-batches.js'
import { documentsOf, paragraphsOf } from './parse-agreement.js'
import { BUSY_SHARE, busyShare, median, ROOT, runFacts, saveResult, say, THREADS } from './rounds.js'

const WARM_UP_WORDS = 2000
const SCORES: readonly DependencyMetric[] = ['UAS', 'LAS', 'UPOS']
const RAW_SCORES: readonly DependencyMetric[] = ['Words', 'Sentences', ...SCORES]

interface Told {
  sentences: number
  words: number
  seconds: number
  wordsPerSecond: number
}

interface Row {
  precision: string
  wordsPerSecond: number
  /** Of every round. */
  rates: number[]
  /** Against the first precision. */
  sameArcs: number
  scores?: Partial<Record<DependencyMetric, number>>
  rawScores?: Partial<Record<DependencyMetric, number>>
}

/** Runs the built command in a process of its own: what users run, whose workers start in a fraction of the sources' time. */
function parse(model: string, input: string, output: string, precision: string): Told {
  const args = [
    'parse',
    model,
    '--input',
    input,
    '--output',
    output,
    '--precision',
    precision,
    '--device',
    'cpu',
    '--json',
  ]
  const { status, stdout, stderr } = spawnSync(process.execPath, [path.join(ROOT, 'dist/cli/main.js'), ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, OMP_NUM_THREADS: String(THREADS) },
  })
  if (status !== 0) throw new Error(`stratabert ${args.join(' ')} ended with ${status}: ${stderr.trim()}`)
  return JSON.parse(stdout) as Told
}

/** Whole paragraphs of about so many words, from a line on. */
function someText(lines: readonly string[], words: number): string {
  const taken: string[] = []
  let count = 0
  for (const line of lines) {
    if (count >= words) break
    taken.push(line)
    count += line.split(/\s+/).length
  }
  return `${taken.join('\n')}\n`
}

function sameArcs(one: readonly ConlluSentence[], other: readonly ConlluSentence[]): number {
  let [words, same] = [0, 0]
  one.forEach((sentence, index) => {
    sentence.words.forEach(({ head, deprel }, word) => {
      words++
      const { head: otherHead, deprel: otherRelation } = other[index].words[word]
      if (head === otherHead && deprel === otherRelation) same++
    })
  })
  return same / words
}

/** The treebank's text: a paragraph a line, a blank line between documents. */
async function rawText(treebank: readonly ConlluSentence[]): Promise<string> {
  const documents: string[] = []
  for await (const document of documentsOf(treebank, Number.POSITIVE_INFINITY))
    documents.push(`${paragraphsOf(document).join('\n')}\n`)
  return documents.join('\n')
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: 'string' },
      words: { type: 'string' },
      precisions: { type: 'string', default: 'fp32,int8' },
      treebank: { type: 'string' },
      rounds: { type: 'string' },
      json: { type: 'boolean', default: false },
      short: { type: 'boolean', default: false },
      save: { type: 'boolean', default: false },
    },
  })
  const { model } = values
  if (model === undefined) throw new Error('--model is missing; a checkpoint, run or folder with a parser was expected')
  const precisions = values.precisions.split(',')
  const rounds = Number(values.rounds ?? (values.short ? 3 : 5))
  const words = Number(values.words ?? (values.short ? 30_000 : 100_000))
  const beside = path.join(sharedData(), 'ud_ewt/en_ewt-ud-test.conllu')
  const treebank = values.treebank ?? (existsSync(beside) ? beside : undefined)
  const scratch = mkdtempSync(path.join(tmpdir(), 'stratabert-parse-'))
  const at = (name: string) => path.join(scratch, name)
  try {
    buildDist()
    const lines = readFileSync(enwikiText(), 'utf8').split('\n')
    writeFileSync(at('text.txt'), someText(lines, words))
    writeFileSync(at('warm.txt'), someText(lines, WARM_UP_WORDS))
    const rates: number[][] = precisions.map(() => [])
    let told: Told | undefined
    let disturbed = 0
    for (const precision of precisions) parse(model, at('warm.txt'), at('warm.conllu'), precision)
    for (let round = 0; round < rounds; round++) {
      if ((await busyShare()) > BUSY_SHARE) disturbed++
      for (let turn = 0; turn < precisions.length; turn++) {
        const index = (turn + round) % precisions.length
        told = parse(model, at('text.txt'), at(`${precisions[index]}.conllu`), precisions[index])
        rates[index].push(told.wordsPerSecond)
      }
      const line = precisions.map((precision, index) => `${precision} ${rates[index].at(-1)!.toFixed(0)} words/s`)
      say(`round ${round + 1}/${rounds}: ${line.join(', ')}`)
    }
    const parsed = (precision: string, name = precision) =>
      parseConllu(readFileSync(at(`${name}.conllu`), 'utf8'), { source: precision, strict: true })
    const first = parsed(precisions[0])
    const gold = treebank && parseConllu(readFileSync(treebank, 'utf8'), { source: treebank, strict: true })
    if (gold) writeFileSync(at('raw.txt'), await rawText(gold))
    const rows = precisions.map((precision, index): Row => {
      const row: Row = {
        precision,
        wordsPerSecond: median(rates[index]),
        rates: rates[index],
        sameArcs: index === 0 ? 1 : sameArcs(first, parsed(precision)),
      }
      if (!gold) return row
      parse(model, treebank, at('gold.conllu'), precision)
      parse(model, at('raw.txt'), at('raw.conllu'), precision)
      const scored = (name: string, metrics: readonly DependencyMetric[]) => {
        const scores = scoreDependencies(gold, parsed(precision, name))
        return Object.fromEntries(metrics.map((metric) => [metric, scores[metric].f1]))
      }
      return { ...row, scores: scored('gold', SCORES), rawScores: scored('raw', RAW_SCORES) }
    })
    const result = {
      name: 'parse',
      ...runFacts({}),
      precision: precisions.join('-'),
      sentences: told!.sentences,
      words: told!.words,
      rounds,
      disturbedRounds: disturbed,
      ...(treebank && { treebank: path.basename(treebank) }),
      rows,
    }
    if (values.save) saveResult(result)
    if (values.json) console.log(JSON.stringify(result, null, 2))
    else {
      console.log(`${result.words} words in ${result.sentences} sentences, ${disturbed} of ${rounds} rounds disturbed`)
      console.table(rows.map(({ rates: _, scores, rawScores: __, ...row }) => ({ ...row, ...scores })))
      if (gold) console.table(rows.map(({ precision, rawScores }) => ({ precision, text: 'raw', ...rawScores })))
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
