/** A probe report as lines for a terminal, as Markdown and as CSV. */
import { bestLayer } from './layer-summary.js'
import type { ProbeClassifier, ProbedTask, ProbeReport, ProbeScore } from './probe-report.js'

const percent = (share: number | undefined): string => (share === undefined ? '–' : (100 * share).toFixed(1))
const ofCell = ({ accuracy, interval }: { accuracy: number; interval: readonly [number, number] }): string =>
  `${percent(accuracy)} [${percent(interval[0])}, ${percent(interval[1])}]`

/** The classifiers that have a cell. */
function classifiersOf(tasks: readonly ProbedTask[]): ProbeClassifier[] {
  return (['logistic', 'mlp'] as const).filter((name) =>
    tasks.some(({ cells }) => cells.some(({ classifier }) => classifier === name)),
  )
}

function columnsOf(tasks: readonly ProbedTask[]): (number | 'mix')[] {
  const layers = new Set(tasks.flatMap(({ cells }) => cells.map(({ layer }) => layer)))
  const numbers = [...layers].filter((layer) => layer !== 'mix').sort((a, b) => a - b)
  return [...numbers, ...(layers.has('mix') ? ['mix' as const] : [])]
}

const CLASSIFIER_NAMES = { logistic: 'logistic regression', mlp: 'MLP-50' } as const

/** Accuracies in percent, one table a classifier. */
export function probeLines({ tasks }: ProbeReport): string[] {
  const columns = columnsOf(tasks)
  return classifiersOf(tasks).flatMap((classifier) => {
    const head = [
      'task',
      'majority',
      'words',
      ...columns.map((layer) => (layer === 'mix' ? 'mix' : `layer ${layer}`)),
      'best',
    ]
    const rows = tasks.flatMap((task) => {
      const own = [
        task.name,
        percent(task.majority),
        percent(task.controls.bagOfWords?.accuracy),
        ...columns.map((layer) => percent(cellOf(task, layer, classifier)?.accuracy)),
        String(bestLayer(layersOf(task, classifier)) ?? '–'),
      ]
      const selectivity = columns.map((layer) => cellOf(task, layer, classifier)?.selectivity)
      const selective = selectivity.some((points) => points !== undefined)
      return [
        own,
        ...randomRows(task, classifier, columns, ({ accuracy }) => percent(accuracy)),
        ...(selective ? [[`${task.name}, selectivity`, '', '', ...selectivity.map(percent)]] : []),
      ].map((cells) => [...cells, ...Array<string>(head.length - cells.length).fill('')])
    })
    return [`${CLASSIFIER_NAMES[classifier]}, accuracy in %`, ...aligned([head, ...rows])]
  })
}

/** Where logistic regression stopped at its limit of steps, random encoder included; undefined where it converged everywhere. */
export function unconvergedNote({ cells, controls }: Pick<ProbedTask, 'cells' | 'controls'>): string | undefined {
  const stopped = (scores: readonly Pick<ProbedTask['cells'][number], 'layer' | 'converged'>[], whose: string) =>
    scores.flatMap(({ layer, converged }) =>
      converged === false ? [`${layer === 'mix' ? 'the mix' : `layer ${layer}`}${whose}`] : [],
    )
  const places = [...stopped(cells, ''), ...stopped(controls.randomEncoder ?? [], ' of the random encoder')]
  if (places.length === 0) return undefined
  return `logistic regression stopped at its limit of steps, short of its optimum, at ${places.join(', ')}`
}

/** The task's row of the random encoder. */
function randomRows(
  { name, controls }: ProbedTask,
  classifier: ProbeClassifier,
  columns: readonly (number | 'mix')[],
  show: (score: ProbeScore) => string,
): string[][] {
  const own = controls.randomEncoder?.filter((score) => score.classifier === classifier) ?? []
  if (own.length === 0) return []
  const scores = new Map<number | 'mix', ProbeScore>(own.map((score) => [score.layer, score]))
  const cells = columns.map((layer) => {
    const score = scores.get(layer)
    return score ? show(score) : '–'
  })
  return [[`${name}, random`, '', '', ...cells]]
}

function cellOf(task: ProbedTask, layer: number | 'mix', classifier: ProbeClassifier) {
  return task.cells.find((cell) => cell.layer === layer && cell.classifier === classifier)
}

/** The cells of a classifier but the mix's. */
function layersOf(task: ProbedTask, classifier: ProbeClassifier) {
  return task.cells.flatMap(({ layer, ...cell }) =>
    layer === 'mix' || cell.classifier !== classifier ? [] : [{ layer, ...cell }],
  )
}

function aligned(rows: readonly string[][]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  )
}

function markdownTable(rows: readonly string[][]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(rows[0]), line(rows[0].map((_, column) => (column === 0 ? '---' : '---:'))), ...rows.slice(1).map(line)]
}

export function probeMarkdown(report: ProbeReport): string {
  const { tasks, summary, encoder, agreements, cost } = report
  const joined = agreements && `; agreements: ${agreements.on.join(', ') || 'off'}`
  const columns = columnsOf(tasks)
  const lines = [
    `# What each layer knows: ${report.checkpoint}`,
    '',
    `${encoder.layers} layers × ${encoder.hiddenSize}${joined ?? ''}; sentences pooled by ${report.pooling}; ${report.precision} on ${report.device}; seed ${report.seed}; ${report.date}.`,
    '',
    'Accuracy on test in %, with 95 % intervals (Wilson). Layer 0 is the embedding output; `mix` is Σ softmax(w) h over layers 1 … L, w trained with the classifier.',
    'Controls: `majority`, `words` (logistic regression on word counts), `random` rows (an encoder of the same shape, never trained).',
  ]
  for (const classifier of classifiersOf(tasks)) {
    const head = ['task', 'majority', 'words', ...columns.map(String)]
    const rows = tasks.flatMap((task) => {
      const { majority, controls } = task
      const own = [
        task.name,
        percent(majority),
        controls.bagOfWords ? ofCell(controls.bagOfWords) : '–',
        ...columns.map((layer) => {
          const cell = cellOf(task, layer, classifier)
          return cell ? ofCell(cell) : '–'
        }),
      ]
      return [own, ...randomRows(task, classifier, columns, ofCell)]
    })
    lines.push('', `## ${CLASSIFIER_NAMES[classifier]}`, '', ...markdownTable([head, ...rows]))
    const selective = tasks.filter(({ cells }) => cells.some(({ selectivity }) => selectivity !== undefined))
    if (selective.length > 0) {
      const selectivity = selective.map((task) => [
        task.name,
        ...columns.map((layer) => percent(cellOf(task, layer, classifier)?.selectivity)),
      ])
      lines.push(
        '',
        'Selectivity: accuracy minus that of the control task (a random class for every word), in points.',
        '',
        ...markdownTable([['task', ...columns.map(String)], ...selectivity]),
      )
    }
  }
  lines.push(
    '',
    '## Layers',
    '',
    'Best layer: highest dev accuracy. Centroid: Σ l · gain / Σ gain, gain = what a layer adds to the best below it. Mix: Σ l · s.',
    '',
    ...markdownTable([
      ['task', 'best layer', 'centroid', 'mix'],
      ...tasks.map(({ name }) => [
        name,
        String(summary.bestLayer[name] ?? '–'),
        summary.centroid[name]?.toFixed(2) ?? '–',
        summary.mixCentre[name]?.toFixed(2) ?? '–',
      ]),
    ]),
    '',
    '## Tasks',
    '',
    ...markdownTable([
      ['task', 'kind', 'classes', 'train', 'dev', 'test'],
      ...tasks.map((task) => [task.name, task.kind, ...[task.classes, task.train, task.dev, task.test].map(String)]),
    ]),
    '',
    ...tasks.flatMap(({ name, source, notes }) => [`- ${name}: ${source}`, ...notes.map((note) => `  - ${note}`)]),
    ...report.leftOut.map(({ task, reason }) => `- ${task} is left out: ${reason}`),
    '',
    `Took ${cost.seconds.total.toFixed(0)} s (${cost.sentences} sentences, ${cost.tokens} tokens), at most ${(cost.peakMemoryBytes / 2 ** 20).toFixed(0)} MiB.`,
    '',
    '```',
    report.command,
    '```',
    '',
  )
  return lines.join('\n')
}

/** One row a cell and control. */
export function probeCsv({ tasks }: ProbeReport): string {
  const rows = [
    ['task', 'layer', 'classifier', 'accuracy', 'low', 'high', 'devAccuracy', 'l2', 'epochs', 'selectivity'],
  ]
  const number = (value: number | undefined) => (value === undefined ? '' : String(value))
  for (const { name, cells, controls, majority } of tasks) {
    const row = (layer: string, classifier: string, score: Partial<ProbedTask['cells'][number]>) =>
      rows.push([
        name,
        layer,
        classifier,
        number(score.accuracy),
        number(score.interval?.[0]),
        number(score.interval?.[1]),
        number(score.devAccuracy),
        number(score.l2),
        number(score.epochs),
        number(score.selectivity),
      ])
    if (majority !== undefined) row('', 'majority', { accuracy: majority })
    if (controls.bagOfWords) row('', 'bag-of-words', controls.bagOfWords)
    for (const { layer, classifier, ...score } of controls.randomEncoder ?? [])
      row(String(layer), `random-encoder ${classifier}`, score)
    for (const { layer, classifier, ...score } of cells) row(String(layer), classifier, score)
  }
  return `${rows.map((cells) => cells.map(quoted).join(',')).join('\n')}\n`
}

function quoted(cell: string): string {
  return /[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell
}
