/** Recipes over seeds: means with intervals, and differences from the baseline or the variant that a row names. */
import type { ComparisonInput, ComparisonTableRow } from './comparison-input.js'
import { brief, figureId } from './curves.js'
import type { Cell, Column, IntervalFigure, Table } from './figure.js'
import { finite } from './read-file.js'

export function comparisonFigures(inputs: readonly ComparisonInput[]): IntervalFigure[] {
  return inputs.flatMap((input) => {
    const suffix = inputs.length > 1 ? `, ${input.report.name}` : ''
    const measures = [...new Set(input.report.table.map(({ measure }) => measure))]
    return measures.flatMap((measure) =>
      [meanFigure(input, measure, suffix) ?? [], differenceFigure(input, measure, suffix) ?? []].flat(),
    )
  })
}

/** Whether a row holds a run that did not learn, by the experiment's own rule; a file that does not say so by row says it by variant. */
const isWeak = ({ report }: ComparisonInput, { variant, notLearned }: ComparisonTableRow): boolean =>
  notLearned !== undefined
    ? notLearned > 0
    : report.variants.some(({ name, runs }) => name === variant && runs.some(({ learned }) => learned === false))

function meanFigure(input: ComparisonInput, measure: string, suffix: string): IntervalFigure | undefined {
  const { baseline } = input.report
  const rows = input.report.table.filter((row) => row.measure === measure)
  const reference = finite(rows.find(({ variant }) => variant === baseline)?.mean)
  return intervals(input, rows, {
    title: `${measure}: mean and 95 % interval${suffix}`,
    xLabel: measure,
    id: figureId('mean', input.folder, measure),
    value: ({ mean }) => mean,
    interval: ({ interval }) => interval,
    reference: reference === null ? undefined : { value: reference, label: `mean of ${baseline}` },
  })
}

function differenceFigure(input: ComparisonInput, measure: string, suffix: string): IntervalFigure | undefined {
  const rows = input.report.table.filter((row) => row.measure === measure && finite(row.difference) !== null)
  const baseline = input.report.baseline ?? 'the baseline'
  const others = new Set(rows.map(({ against = baseline }) => against))
  // Where rows have several partners each names its own.
  const [only = baseline] = others
  return intervals(input, rows, {
    title: `${measure}: difference ${others.size > 1 ? 'between variants' : `from ${only}`}, paired by seed, 95 % interval${suffix}`,
    ...(others.size > 1 && { label: ({ variant, against = baseline }) => `${variant} − ${against}` }),
    xLabel: `difference in ${measure}`,
    id: figureId('difference', input.folder, measure),
    value: ({ difference }) => difference,
    interval: ({ differenceInterval }) => differenceInterval,
    reference: { value: 0, label: 'no difference' },
  })
}

interface IntervalFields {
  title: string
  xLabel: string
  id: string
  /** Default: the variant. */
  label?: (row: ComparisonTableRow) => string
  value: (row: ComparisonTableRow) => ComparisonTableRow['mean']
  interval: (row: ComparisonTableRow) => ComparisonTableRow['interval']
  reference?: IntervalFigure['reference']
}

function intervals(
  input: ComparisonInput,
  rows: readonly ComparisonTableRow[],
  { title, xLabel, id, label = ({ variant }) => variant, value, interval, reference }: IntervalFields,
): IntervalFigure | undefined {
  const drawn = rows.flatMap((row) => {
    const mean = finite(value(row))
    if (mean === null) return []
    const [low, high] = interval(row) ?? [null, null]
    return { label: label(row), value: mean, low: finite(low), high: finite(high), weak: isWeak(input, row) }
  })
  if (drawn.length === 0) return undefined
  const told = drawn.map(({ label, value, low, high }) =>
    low === null ? `${label} ${brief(value)}` : `${label} ${brief(value)} (${brief(low)} to ${brief(high)})`,
  )
  const captions = [
    drawn.some((row) => row.low === null) && 'No interval where too few seeds ran.',
    drawn.some((row) => row.weak) && 'Hollow: at least one run did not learn, so it supports no comparison.',
  ]
  return {
    kind: 'intervals',
    id,
    title,
    description: `${title}. ${told.join('; ')}.`,
    caption: captions.filter(Boolean).join(' '),
    xLabel,
    rows: drawn,
    reference,
    table: {
      columns: [
        { label: 'variant' },
        { label: 'seeds', numeric: true },
        { label: 'value', numeric: true },
        { label: 'low', numeric: true },
        { label: 'high', numeric: true },
      ],
      rows: rows.map((row): Cell[] => {
        const [low, high] = interval(row) ?? [null, null]
        return [label(row), row.n, value(row) ?? null, low ?? null, high ?? null]
      }),
    },
  }
}

/** The whole table of the experiment, rounded to four digits for reading; comparison.json and the figures' tables are exact. */
export function comparisonTable(input: ComparisonInput): Table {
  const baseline = input.report.baseline ?? 'the baseline'
  const columns: (Column & { read: (row: ComparisonTableRow) => Cell })[] = [
    { label: 'variant', read: (row) => (isWeak(input, row) ? `${row.variant} (not learned)` : row.variant) },
    { label: 'measure', read: ({ measure }) => measure },
    {
      label: 'seeds',
      numeric: true,
      read: ({ n, notFinite }) => (notFinite ? `${n}, ${notFinite} more not finite` : n),
    },
    {
      label: 'mean',
      numeric: true,
      read: ({ n, mean, notFinite }) => (n === 0 && notFinite ? NOT_FINITE : brief(mean)),
    },
    { label: 'median', numeric: true, read: ({ median }) => brief(median) },
    { label: 'standard deviation', numeric: true, read: (row) => brief(row.standardDeviation) },
    { label: '95 % interval', numeric: true, read: ({ interval }) => span(interval) },
    { label: 'against', read: ({ difference, against = baseline }) => (finite(difference) === null ? '–' : against) },
    { label: 'pairs', numeric: true, read: ({ pairs }) => pairs ?? '–' },
    { label: 'difference', numeric: true, read: ({ difference }) => brief(difference) },
    { label: 'its 95 % interval', numeric: true, read: ({ differenceInterval }) => span(differenceInterval) },
    { label: 'p', numeric: true, read: ({ pValue }) => brief(pValue) },
    { label: 'p after Holm', numeric: true, read: ({ adjustedPValue }) => brief(adjustedPValue) },
    { label: 'smallest effect it could show', numeric: true, read: (row) => brief(row.smallestDetectable) },
    { label: 'smallest that the set could show (examples)', numeric: true, read: byExamplesCell },
    { label: 'bootstrap 95 %', numeric: true, read: ({ bootstrap }) => bootstrapCell(bootstrap) },
    { label: 'convergence factor', numeric: true, read: convergenceCell },
    { label: 'comparable seeds', numeric: true, read: ({ convergence }) => comparableCell(convergence) },
    { label: 'known figure', numeric: true, read: ({ reference }) => brief(reference) },
    { label: 'mean less it', numeric: true, read: (row) => brief(row.referenceDifference) },
    { label: 'smallest such the runs could show', numeric: true, read: (row) => brief(row.referenceDetectable) },
  ]
  const rows = input.report.table.map((row) => columns.map(({ read }) => read(row)))
  const hasPartners = input.report.table.some(({ against }) => against !== undefined)
  const used = columns.map(({ label }, i) =>
    label === 'against' ? hasPartners : i < 4 || rows.some((row) => row[i] !== '–'),
  )
  return {
    columns: columns.filter((_, i) => used[i]).map(({ label, numeric }) => ({ label, numeric })),
    rows: rows.map((row) => row.filter((_, i) => used[i])),
  }
}

const TESTS: Record<string, string> = { t: 'paired t-test', 'sign-flip': 'sign-flip test' }

/** What the p-values are of. */
export const testName = ({ report }: ComparisonInput): string | undefined =>
  report.test && (TESTS[report.test] ?? report.test)

/** Of a value that JSON cannot hold. */
const NOT_FINITE = 'not finite'

/** What the differences are from. */
export const comparedWith = ({ report: { baseline, table } }: ComparisonInput): string =>
  `${baseline ?? 'the baseline'}${table.some(({ against }) => against !== undefined) ? ', or the variant that the row names' : ''}`

function byExamplesCell({ examples, smallestByExamples }: ComparisonTableRow): string {
  return `${brief(smallestByExamples)}${examples ? ` (${examples.toLocaleString('en-US')})` : ''}`
}

/** With one seed only examples are drawn: the interval says nothing of other seeds. */
const bootstrapCell = (found: ComparisonTableRow['bootstrap']): string =>
  found ? `${span([found.low, found.high])}${found.layers === 'examples' ? ', examples alone' : ''}` : '–'

/** The range of few factors is no interval: of one none is shown. */
function convergenceCell({ convergence, convergenceFactor }: ComparisonTableRow): string {
  if (convergence?.comparable === 0) return 'not comparable'
  if (!convergence?.interval || convergence.comparable < 2) return brief(convergenceFactor)
  const coverage = finite(convergence.coverage)
  const covering = coverage === null ? '' : `, ${(100 * coverage).toFixed(0)} %`
  return `${brief(convergenceFactor)} (${span(convergence.interval)}${covering})`
}

const comparableCell = (found: ComparisonTableRow['convergence']): string =>
  found ? `${found.comparable} of ${found.comparable + found.notComparable}` : '–'

const span = (interval: ComparisonTableRow['interval']): string =>
  interval ? `${brief(interval[0])} … ${brief(interval[1])}` : '–'

/** A run a row, with what it reached. */
export function comparisonRuns({ report }: ComparisonInput): Table {
  const measures = [
    ...new Set(
      report.variants.flatMap(({ runs }) =>
        runs.flatMap(({ values, notFinite }) => [...Object.keys(values), ...notFinite]),
      ),
    ),
  ]
  return {
    columns: [
      { label: 'variant' },
      { label: 'seed', numeric: true },
      { label: 'status' },
      { label: 'learned' },
      { label: 'steps', numeric: true },
      { label: 'tokens', numeric: true },
      { label: 'seconds', numeric: true },
      ...measures.map((label) => ({ label, numeric: true })),
      { label: 'folder' },
    ],
    rows: report.variants.flatMap(({ name, runs }) =>
      runs.map((run): Cell[] => [
        name,
        run.seed,
        run.status,
        run.learned === true ? 'yes' : run.learned === false ? ['no', ...run.notLearned].join(': ') : '–',
        run.steps ?? null,
        run.tokens ?? null,
        run.seconds ?? null,
        ...measures.map((measure) => (run.notFinite.includes(measure) ? NOT_FINITE : (run.values[measure] ?? null))),
        run.folder ?? '–',
      ]),
    ),
  }
}

/** What the training steps of each variant cost; undefined where the file does not say. */
export function comparisonCosts({ report: { costs } }: ComparisonInput): Table | undefined {
  if (costs.length === 0) return undefined
  const labels = ['runs', 'seconds', 'of it evaluating', 'examples/s', 'tokens/s', 'parameters', 'trained parameters']
  return {
    columns: [{ label: 'variant' }, { label: 'step' }, ...labels.map((label) => ({ label, numeric: true }))],
    rows: costs.map((row): Cell[] => [
      row.variant,
      row.step,
      row.runs,
      brief(row.seconds),
      brief(row.evaluationSeconds),
      brief(row.examplesPerSecond),
      brief(row.tokensPerSecond),
      row.parameters ?? null,
      row.trainedParameters ?? null,
    ]),
  }
}

/** Trained parameters where several tasks are trained. */
export function comparisonTasks({ report: { costs } }: ComparisonInput): Table | undefined {
  const rows = costs.flatMap(({ variant, step, tasks = {} }) =>
    Object.entries(tasks).map(([task, { trained, own }]): Cell[] => [
      variant,
      step,
      task,
      trained ?? null,
      own ?? null,
    ]),
  )
  if (rows.length === 0) return undefined
  const numeric = ['trained for it', 'for it alone'].map((label) => ({ label, numeric: true }))
  return { columns: [...['variant', 'step', 'task'].map((label) => ({ label })), ...numeric], rows }
}
