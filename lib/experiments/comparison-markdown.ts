/** comparison.md. */
import { relative } from 'node:path'
import type { ComparedRun, Comparison } from './comparison.js'
import { figure, overviewCells, TABLE_HEADER, tableCells } from './comparison-cells.js'
import { NOT_FINITE } from './not-finite.js'
import type { ArmCosts } from './training-costs.js'

export function comparisonMarkdown(comparison: Comparison, output: string): string {
  const { command, name, description, baseline, seeds, test, measures, variants, table, notes, date, environments } =
    comparison
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
    command ?? '',
    '```',
    '',
    ...markdownTable([TABLE_HEADER, ...table.map(tableCells)]),
    '',
    `Intervals are Student's t over the runs; differences are variant − baseline${table.some(({ against }) => against) ? ' (where "against" names a variant, − that one)' : ''} over the pairs of seeds; ${testText}, "Holm" after his correction over all tests of this table; "could have shown" is the smallest true difference that a paired t-test of these pairs would show in 80 % of the cases.${table.some(({ referenceDetectable }) => referenceDetectable) ? ' "runs could show": the same of the difference from the reference, taken as exact.' : ''}${table.some(({ examples }) => examples) ? ' "set could show": what so many held-out examples could show of two models that err independently.' : ''}${table.some(({ bootstrap }) => bootstrap) ? ' The bootstrap draws seeds and examples.' : ''}${table.some(({ convergence }) => convergence) ? ' Convergence: how many times fewer steps than the baseline to the lower of both best smoothed scores (our definition), median over the seeds, with an interval of order statistics and what it covers.' : ''}`,
    '',
    `Less is better: ${measures.flatMap((measure) => (measure.better === 'lower' ? measure.name : [])).join(', ') || 'nowhere'}.`,
    '',
    ...overviewLines(comparison),
    ...costLines(comparison),
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
    ...evaluationLines(comparison),
    ...notLearnedLines(comparison),
    ...(notes.length > 0 ? ['## Notes', '', ...notes.map((note) => `- ${note}`), ''] : []),
  ].join('\n')
}

function overviewLines({ overviews, seeds }: Comparison): string[] {
  return overviews.flatMap((overview) => [
    `## ${overview.name}`,
    '',
    ...markdownTable(overviewCells(overview, seeds.length)),
    '',
    `${overview.statistic === 'median' ? 'Medians' : 'Means'} of ${seeds.length} seeds (in brackets: of so many runs); the average is the mean of the columns, where all are there.`,
    '',
  ])
}

const MISSING = '–'

function costLines({ costs }: Comparison): string[] {
  if (costs.length === 0) return []
  const tasks = costs.flatMap((row) =>
    Object.entries(row.tasks ?? {}).map(([task, { trained, own }]) => [
      row.variant,
      row.step,
      task,
      whole(trained),
      whole(own),
    ]),
  )
  const header = ['variant', 'step', 'runs', 'seconds', 'shortest to longest', 'of it evaluating']
  const speeds = ['examples/s', 'tokens/s', 'parameters', 'trained']
  return [
    '## What training cost',
    '',
    ...markdownTable([[...header, ...speeds], ...costs.map(costCells)]),
    '',
    `Means over the runs. Seconds are wall time, evaluations and checkpoints included; examples and tokens a second are of the steps alone. ${MISSING}: a run's log does not tell.`,
    '',
    ...(tasks.length > 0
      ? [
          ...markdownTable([['variant', 'step', 'task', 'trained for it', 'for it alone'], ...tasks]),
          '',
          'Parameters that the last stage with the task trains, and those of them that no other task of that stage trains.',
          '',
        ]
      : []),
  ]
}

const whole = (value: number | undefined): string =>
  value === undefined ? MISSING : Math.round(value).toLocaleString('en-US')

function costCells(row: ArmCosts): string[] {
  const { secondsRange, evaluationSeconds, examplesPerSecond, tokensPerSecond } = row
  return [
    row.variant,
    row.step,
    String(row.runs),
    row.seconds.toFixed(0),
    row.runs > 1 ? secondsRange.map((end) => end.toFixed(0)).join(' to ') : '',
    evaluationSeconds === undefined ? MISSING : evaluationSeconds.toFixed(0),
    examplesPerSecond === undefined ? MISSING : examplesPerSecond.toFixed(1),
    whole(tokensPerSecond),
    whole(row.parameters),
    whole(row.trainedParameters),
  ]
}

/** Scores that a row of the small table shows at most; comparison-scores.csv has them all. */
const MAX_SCORES = 12

function evaluationLines({ evaluations }: Comparison): string[] {
  const several = evaluations.filter(({ steps }) => steps.length > 1)
  if (several.length === 0) return []
  const stages = new Set(several.map(({ stage }) => stage))
  const rows = several.map(({ measure, variant, seed, stage, steps, values }) => {
    const kept = evenly(values.length, MAX_SCORES)
    const at = steps[0] === steps[1] - steps[0] ? `every ${steps[0]}` : `${steps[0]} … ${steps.at(-1)}`
    return [
      measure,
      variant,
      String(seed),
      stages.size > 1 ? stage : '',
      at,
      `${kept.map((index) => figure(values[index])).join(', ')}${kept.length < values.length ? ` (${kept.length} of ${values.length})` : ''}`,
    ]
  })
  return [
    '## Scores by evaluation',
    '',
    ...markdownTable([['measure', 'variant', 'seed', 'stage', 'at steps', 'scores'], ...rows]),
    '',
    'Every number of every evaluation stands in comparison-scores.csv.',
    '',
  ]
}

/** At most `limit` places of `count`, evenly spread, the first and the last among them. */
function evenly(count: number, limit: number): number[] {
  if (count <= limit) return Array.from({ length: count }, (_, index) => index)
  return Array.from({ length: limit }, (_, index) => Math.round((index * (count - 1)) / (limit - 1)))
}

function runCells(variant: string, run: ComparedRun, { measures }: Comparison, output: string): string[] {
  return [
    variant,
    String(run.seed),
    run.status,
    run.learned === undefined ? '' : run.learned ? 'yes' : 'not learned',
    ...measures.map(({ name }) => (run.notFinite?.includes(name) ? NOT_FINITE : figure(run.values[name]))),
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

function markdownTable(rows: readonly (readonly string[])[]): string[] {
  const used = rows[0].map((_, column) => rows.slice(1).some((row) => row[column] !== ''))
  const [head, ...body] = rows.map((row) =>
    row.filter((_, column) => used[column]).map((cell) => cell.replaceAll('|', '\\|')),
  )
  return [head, head.map(() => '---'), ...body].map((row) => `| ${row.join(' | ')} |`)
}
