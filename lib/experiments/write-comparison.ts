/** comparison.json, comparison.md and comparison.csv. */
import { join, relative } from 'node:path'
import { fileError } from '../errors.js'
import { alignedTable } from '../recipes/index.js'
import { replaceFile } from '../training/index.js'
import type { ComparedRun, Comparison } from './comparison.js'
import type { ComparisonTableRow } from './table-rows.js'

/** Writes the three files, each whole. */
export async function writeComparison(output: string, comparison: Comparison, command: string): Promise<void> {
  const files = {
    'comparison.json': `${JSON.stringify(comparison, null, 2)}\n`,
    'comparison.md': comparisonMarkdown(comparison, output, command),
    'comparison.csv': comparisonCsv(comparison),
  }
  for (const [name, text] of Object.entries(files)) {
    const path = join(output, name)
    await replaceFile(path, text).catch((error) => {
      throw fileError(error, path, 'write the comparison')
    })
  }
}

/** The table for a terminal. */
export function comparisonLines({ table, notes }: Comparison): string[] {
  return [...alignedTable([HEADER, ...table.map(cellsOf)], 2), ...notes.map((note) => `note  ${note}`)]
}

const HEADER = [
  'measure',
  'variant',
  'runs',
  'mean',
  'SD',
  '95 %',
  'reference',
  'to reference',
  'against',
  'pairs',
  'difference',
  'its 95 %',
  'p',
  'p (Holm)',
  'could have shown',
  'bootstrap 95 %',
  'convergence',
]

function cellsOf(row: ComparisonTableRow): string[] {
  const { convergence, convergenceFactor } = row
  const factor =
    convergence === undefined
      ? ''
      : `${convergenceFactor === undefined ? 'not comparable' : `${convergenceFactor.toFixed(2)}${convergence.interval && convergence.comparable > 1 ? ` (${convergence.interval.map((end) => end.toFixed(2)).join('–')})` : ''}`}, ${convergence.comparable} of ${convergence.comparable + convergence.notComparable} seeds`
  return [
    row.measure,
    row.variant,
    row.notLearned > 0 ? `${row.n} (${row.notLearned} not learned)` : String(row.n),
    figure(row.mean),
    figure(row.standardDeviation),
    range(row.interval),
    figure(row.reference),
    signed(row.referenceDifference),
    row.against ?? '',
    row.pairs === undefined ? '' : String(row.pairs),
    signed(row.difference),
    range(row.differenceInterval),
    probability(row.pValue),
    probability(row.adjustedPValue),
    figure(row.smallestDetectable),
    row.bootstrap ? `${range([row.bootstrap.low, row.bootstrap.high])}, p ${probability(row.bootstrap.p)}` : '',
    factor,
  ]
}

/** Four decimals of what lies near 1, four digits of the rest. */
function figure(value: number | undefined): string {
  if (value === undefined) return ''
  if (!Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  if (size >= 1000) return Math.round(value).toLocaleString('en-US')
  return size < 10 ? value.toFixed(4) : value.toPrecision(4)
}

const signed = (value: number | undefined): string =>
  value !== undefined && value > 0 ? `+${figure(value)}` : figure(value)
const range = (ends: readonly [number, number] | undefined): string =>
  ends ? `${figure(ends[0])} to ${figure(ends[1])}` : ''

function probability(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return ''
  return value < 0.001 ? '< 0.001' : value.toFixed(3)
}

function markdownTable(rows: readonly (readonly string[])[]): string[] {
  const used = rows[0].map((_, column) => rows.slice(1).some((row) => row[column] !== ''))
  const [head, ...body] = rows.map((row) =>
    row.filter((_, column) => used[column]).map((cell) => cell.replaceAll('|', '\\|')),
  )
  return [head, head.map(() => '---'), ...body].map((row) => `| ${row.join(' | ')} |`)
}

function comparisonMarkdown(comparison: Comparison, output: string, command: string): string {
  const { name, description, baseline, seeds, test, measures, variants, table, notes, date, environments } = comparison
  const smallest = table.find(({ signFlip }) => signFlip)?.signFlip?.smallestP
  const testText =
    test === 't'
      ? "p is of Student's paired t-test over the seeds"
      : `p is of sign flips over the seeds${smallest === undefined ? '' : ` (${seeds.length} seeds can give no less than ${smallest})`}`
  return [
    `# ${name}`,
    '',
    ...(description ? [description, ''] : []),
    `${date}. Baseline: ${baseline}. Seeds: ${seeds.join(', ')}.${environments.map((line) => ` ${line}.`).join('')}`,
    '',
    '```',
    command,
    '```',
    '',
    ...markdownTable([HEADER, ...table.map(cellsOf)]),
    '',
    `Intervals are Student's t over the runs; differences are variant − baseline over the pairs of seeds; ${testText}, "Holm" after his correction over all tests of this table; "could have shown" is the smallest true difference that a paired t-test of these pairs would show in 80 % of the cases.${table.some(({ bootstrap }) => bootstrap) ? ' The bootstrap draws seeds and examples.' : ''}${table.some(({ convergence }) => convergence) ? ' Convergence: how many times fewer steps than the baseline to the lower of both best smoothed scores (our definition), median over the seeds.' : ''}`,
    '',
    `Less is better: ${measures.flatMap((measure) => (measure.better === 'lower' ? measure.name : [])).join(', ') || 'nowhere'}.`,
    '',
    '## Runs',
    '',
    ...markdownTable([
      [
        'variant',
        'seed',
        'status',
        'learned',
        ...measures.map((measure) => measure.name),
        'steps',
        'tokens',
        'seconds',
        'folder',
      ],
      ...variants.flatMap((variant) => variant.runs.map((run) => runCells(variant.name, run, comparison, output))),
    ]),
    '',
    ...notLearnedLines(comparison),
    ...(notes.length > 0 ? ['## Notes', '', ...notes.map((note) => `- ${note}`), ''] : []),
  ].join('\n')
}

function runCells(variant: string, run: ComparedRun, { measures }: Comparison, output: string): string[] {
  return [
    variant,
    String(run.seed),
    run.status,
    run.learned === undefined ? '' : run.learned ? 'yes' : 'not learned',
    ...measures.map(({ name }) => figure(run.values[name])),
    run.steps.toLocaleString('en-US'),
    run.tokens.toLocaleString('en-US'),
    run.seconds.toFixed(0),
    relative(output, run.folder),
  ]
}

function notLearnedLines({ variants }: Comparison): string[] {
  const lines = variants.flatMap(({ name, runs }) =>
    runs.flatMap(({ seed, notLearned = [] }) => notLearned.map((reason) => `- ${name}, seed ${seed}: ${reason}`)),
  )
  if (lines.length === 0) return []
  return [
    '## Not learned',
    '',
    'These runs support no comparison; means hold them, differences and tests do not.',
    '',
    ...lines,
    '',
  ]
}

const CSV_COLUMNS = [
  'measure',
  'variant',
  'n',
  'mean',
  'standardDeviation',
  'low',
  'high',
  'notLearned',
  'reference',
  'referenceDifference',
  'against',
  'pairs',
  'difference',
  'differenceLow',
  'differenceHigh',
  'pValue',
  'adjustedPValue',
  'signFlipP',
  'tTestP',
  'smallestDetectable',
  'bootstrapLow',
  'bootstrapHigh',
  'bootstrapP',
  'convergenceFactor',
  'convergenceLow',
  'convergenceHigh',
  'comparable',
  'notComparable',
] as const

/** One row a measure and variant, every digit. */
function comparisonCsv({ table }: Comparison): string {
  const cell = (value: string | number | undefined) => {
    const text = value === undefined ? '' : String(value)
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  }
  const rows = table.map((row) => {
    const values: Record<(typeof CSV_COLUMNS)[number], string | number | undefined> = {
      measure: row.measure,
      variant: row.variant,
      n: row.n,
      mean: row.mean,
      standardDeviation: row.standardDeviation,
      low: row.interval?.[0],
      high: row.interval?.[1],
      notLearned: row.notLearned,
      reference: row.reference,
      referenceDifference: row.referenceDifference,
      against: row.against,
      pairs: row.pairs,
      difference: row.difference,
      differenceLow: row.differenceInterval?.[0],
      differenceHigh: row.differenceInterval?.[1],
      pValue: row.pValue,
      adjustedPValue: row.adjustedPValue,
      signFlipP: row.signFlip?.p,
      tTestP: row.tTest?.p,
      smallestDetectable: row.smallestDetectable,
      bootstrapLow: row.bootstrap?.low,
      bootstrapHigh: row.bootstrap?.high,
      bootstrapP: row.bootstrap?.p,
      convergenceFactor: row.convergenceFactor,
      convergenceLow: row.convergence?.interval?.[0],
      convergenceHigh: row.convergence?.interval?.[1],
      comparable: row.convergence?.comparable,
      notComparable: row.convergence?.notComparable,
    }
    return CSV_COLUMNS.map((column) => cell(values[column])).join(',')
  })
  return `${[CSV_COLUMNS.join(','), ...rows].join('\n')}\n`
}
