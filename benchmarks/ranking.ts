/**
 * Choosing the sentence that holds an answer: a pair classifier and the ranking head by one measure.
 *
 *   npx tsx benchmarks/ranking.ts rows SQUAD.json PAIRS.tsv    the questions' pairs in QNLI's layout, for `fine-tune` with task `qnli`
 *   npx tsx benchmarks/ranking.ts score MODEL SQUAD.json [--task NAME] [--precision P] [--questions N]    accuracy@1 and MRR of a trained folder
 *
 * A classifier's candidates are ranked by the probability of `entailment`, a ranker's by its score. `SQUAD.json` is read and paired with
 * sentences as the task `squad-ranking` does it.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { readSquad } from '../lib/data/index.js'
import { rankingFigures } from '../lib/evaluation/index.js'
import { type Classification, Encoder } from '../lib/inference/index.js'
import type { InferencePrecision } from '../lib/model/index.js'
import { qnliTable, sentencePairs } from '../lib/tasks/index.js'
import { runFacts, say } from './rounds.js'

/** Pairs that are handed over at once. */
const PAIRS_AT_ONCE = 4096
const USAGE = 'rows SQUAD.json PAIRS.tsv or score MODEL SQUAD.json was expected'

async function writeRows(squad: string, table: string): Promise<void> {
  const { questions, leftOut } = sentencePairs(await readSquad(squad))
  writeFileSync(table, qnliTable(questions), { flag: 'wx' })
  const pairs = questions.reduce((sum, { candidates }) => sum + candidates.length, 0)
  console.log(JSON.stringify({ questions: questions.length, pairs, leftOut }))
}

/** What candidates are sorted by. */
function scoreOf({ label, score, labels }: Classification): number {
  if (label === undefined) return score
  const entailment = labels.find((one) => one.label === 'entailment')
  if (!entailment)
    throw new Error(`the classes are ${labels.map((one) => one.label).join(', ')}; entailment was expected`)
  return entailment.score
}

async function score(
  model: string,
  squad: string,
  options: { task?: string; precision: InferencePrecision; questions?: number },
): Promise<void> {
  const { task, precision } = options
  const questions = sentencePairs(await readSquad(squad)).questions.slice(0, options.questions)
  const pairs = questions.flatMap(({ question, candidates }) =>
    candidates.map((candidate): [string, string] => [question, candidate]),
  )
  const groups = questions.flatMap(({ candidates }, index) => candidates.map(() => index))
  const labels = questions.flatMap(({ candidates, right }) => candidates.map((_, index) => Number(index === right)))
  await using encoder = await Encoder.load(model, { device: 'cpu', precision, task })
  const scores: number[] = []
  let truncated = 0
  for (let first = 0; first < pairs.length; first += PAIRS_AT_ONCE) {
    const answers = await encoder.classify(pairs.slice(first, first + PAIRS_AT_ONCE), { task })
    scores.push(...answers.map(scoreOf))
    truncated += answers.filter((answer) => answer.truncated).length
    say(`${scores.length} of ${pairs.length} pairs`)
  }
  const figures = rankingFigures(scores, labels, groups)
  // What drawing a candidate reaches: the mean of 1 / candidates.
  const chance = questions.reduce((sum, { candidates }) => sum + 1 / candidates.length, 0) / questions.length
  console.log(
    JSON.stringify(
      { ...runFacts({}), precision: encoder.precision, ...figures, chance, pairs: pairs.length, truncated },
      null,
      2,
    ),
  )
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      task: { type: 'string' },
      precision: { type: 'string', default: 'fp32' },
      questions: { type: 'string' },
    },
  })
  const [what, first, second, ...more] = positionals
  if (first === undefined || second === undefined || more.length > 0) throw new Error(USAGE)
  if (what === 'rows') return writeRows(first, second)
  if (what !== 'score') throw new Error(`${what} is unknown; ${USAGE}`)
  const { task, precision } = values
  const questions = values.questions === undefined ? undefined : Number(values.questions)
  if (questions !== undefined && !(Number.isInteger(questions) && questions >= 1))
    throw new Error(`--questions came as ${values.questions}; a whole number ≥ 1 was expected`)
  await score(first, second, {
    task,
    precision: precision as InferencePrecision,
    questions,
  })
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
