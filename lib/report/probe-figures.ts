/** What each layer knows: accuracy by layer and task. */
import { brief, figureId } from './curves.js'
import type { Cell, Column, HeatFigure, Table } from './figure.js'
import type { ProbeCell, ProbeInput, ProbeTask } from './probe-input.js'

/** A classifier's heat maps of a probe output: accuracy, and what is above the random encoder and the control task where there are such. */
export function probeFigures(probes: readonly ProbeInput[]): HeatFigure[] {
  return probes.flatMap((probe) => {
    const { tasks } = probe.report
    const shares = mixShares(probe, probes.length > 1 ? `, ${probe.name}` : '')
    const classifiers = [...new Set(tasks.flatMap(({ cells }) => cells.map(({ classifier }) => classifier)))]
    const named = (title: string, classifier: string) =>
      [title, classifiers.length > 1 && classifier, probes.length > 1 && probe.name].filter(Boolean).join(', ')
    const figures = classifiers.flatMap((classifier) => [
      accuracyMap(probe, classifier, named('Accuracy by layer and task', classifier)),
      ...differenceMap(probe, classifier, {
        title: named('Above the random encoder by layer and task', classifier),
        told: 'Accuracy less that of the same layer of an encoder of the same shape, never trained.',
        read: (task, cell) => {
          const random = randomCell(task, cell)
          // Without the noise of binary fractions.
          return random && Number((cell.accuracy - random.accuracy).toFixed(12))
        },
      }),
      ...differenceMap(probe, classifier, {
        title: named('Selectivity by layer and task', classifier),
        told: 'Accuracy less that on a control task of random labels a word type.',
        read: (_, { selectivity }) => selectivity,
      }),
    ])
    return shares ? [...figures, shares] : figures
  })
}

type ReadCell = (task: ProbeTask, cell: ProbeCell) => number | undefined

function accuracyMap(probe: ProbeInput, classifier: string, title: string): HeatFigure {
  const { tasks } = probe.report
  const figure = heatMap(probe, tasks, classifier, title, (_, { accuracy }) => accuracy)
  const table = cellTable(tasks, classifier)
  const hasMore = table.columns.length > 3
  return {
    ...figure,
    table,
    caption: `${figure.caption}${hasMore ? ' The table has what else is known of each cell.' : ''}`,
  }
}

/** Of the tasks that have the control, if any. */
function differenceMap(
  probe: ProbeInput,
  classifier: string,
  { title, told, read }: { title: string; told: string; read: ReadCell },
): HeatFigure[] {
  const tasks = probe.report.tasks.flatMap((task) => {
    const cells = task.cells.filter((cell) => cell.classifier === classifier && read(task, cell) !== undefined)
    return cells.length > 0 ? [{ ...task, cells }] : []
  })
  if (tasks.length === 0) return []
  const figure = heatMap(probe, tasks, classifier, title, read)
  return [{ ...figure, caption: `${told} ${figure.caption}` }]
}

function heatMap(
  probe: ProbeInput,
  tasks: readonly ProbeTask[],
  classifier: string,
  title: string,
  read: ReadCell,
): HeatFigure {
  const layers = layersOf(tasks)
  const values = tasks.map((task) =>
    layers.map((layer) => {
      const cell = task.cells.find((cell) => cell.classifier === classifier && String(cell.layer) === layer)
      return cell ? (read(task, cell) ?? null) : null
    }),
  )
  const highest = tasks.map(({ name }, i) => {
    const best = bestOf(values[i])
    return best < 0
      ? `${name}: nothing measured`
      : `${name} is highest at ${layerName(layers[best])} (${percent(values[i][best])})`
  })
  return {
    kind: 'heat',
    id: figureId('probe', probe.folder, classifier, title),
    title,
    description: `${title}, in per cent, on test sentences. ${highest.join('; ')}.`,
    caption: 'Per cent on test. A ring marks the highest of each task; layer 0 is the embedding output.',
    rowLabel: 'task',
    columnLabel: 'layer',
    rows: tasks.map(({ name }) => name),
    columns: layers,
    values,
    format: 'percent',
    scale: 'rows',
    markHighest: true,
    table: valueTable(tasks, layers, values),
  }
}

/** The same layer of the random encoder by the same classifier; it has no mix. */
function randomCell({ controls }: ProbeTask, { layer, classifier }: ProbeCell) {
  return controls?.randomEncoder?.find((own) => own.layer === layer && own.classifier === classifier)
}

/** A cell a row: its interval and the controls of its layer, as far as they are known. */
function cellTable(tasks: readonly ProbeTask[], classifier: string): Table {
  const columns: (Column & { read: (task: ProbeTask, cell: ProbeCell) => Cell | undefined })[] = [
    { label: 'task', read: ({ name }) => name },
    { label: 'layer', numeric: true, read: (_, { layer }) => layer },
    { label: 'accuracy', numeric: true, read: (_, { accuracy }) => accuracy },
    { label: '95 % low', numeric: true, read: (_, { interval }) => interval?.[0] },
    { label: '95 % high', numeric: true, read: (_, { interval }) => interval?.[1] },
    { label: 'on dev', numeric: true, read: (_, { devAccuracy }) => devAccuracy },
    { label: 'random encoder', numeric: true, read: (task, cell) => randomCell(task, cell)?.accuracy },
    { label: 'its 95 % low', numeric: true, read: (task, cell) => randomCell(task, cell)?.interval?.[0] },
    { label: 'its 95 % high', numeric: true, read: (task, cell) => randomCell(task, cell)?.interval?.[1] },
    { label: 'control task', numeric: true, read: (_, { controlAccuracy }) => controlAccuracy },
  ]
  const rows = tasks.flatMap((task) =>
    task.cells
      .filter((cell) => cell.classifier === classifier)
      .map((cell) => columns.map(({ read }): Cell => read(task, cell) ?? null)),
  )
  return usedColumns(columns, rows)
}

/** Without the columns that are empty in every row. */
function usedColumns(columns: readonly Column[], rows: readonly Cell[][]): Table {
  const used = columns.map((_, i) => rows.some((row) => row[i] !== null && row[i] !== '–'))
  return {
    columns: columns.filter((_, i) => used[i]).map(({ label, numeric }) => ({ label, numeric })),
    rows: rows.map((row) => row.filter((_, i) => used[i])),
  }
}

/** How much of each layer the learned mixes take. */
function mixShares(probe: ProbeInput, suffix: string): HeatFigure | undefined {
  const mixed = probe.report.tasks.flatMap(({ name, cells }) =>
    cells.flatMap(({ layer, classifier, mixWeights }) =>
      layer === 'mix' && mixWeights ? { name, classifier, mixWeights } : [],
    ),
  )
  if (mixed.length === 0) return undefined
  const severalClassifiers = new Set(mixed.map(({ classifier }) => classifier)).size > 1
  const rows = mixed.map(({ name, classifier }) => (severalClassifiers ? `${name}, ${classifier}` : name))
  const columns = Array.from(
    { length: Math.max(...mixed.map(({ mixWeights }) => mixWeights.length)) },
    (_, i) => `${i + 1}`,
  )
  const values = mixed.map(({ mixWeights }) => columns.map((_, i) => mixWeights[i] ?? null))
  const title = `Learned mix of layers by task${suffix}`
  const highest = rows.map(
    (row, i) => `${row}: most of layer ${columns[bestOf(values[i])]} (${percent(values[i][bestOf(values[i])])} %)`,
  )
  return {
    kind: 'heat',
    id: figureId('probe-mix', probe.folder),
    title,
    description: `${title}, in per cent of the mix. ${highest.join('; ')}.`,
    caption: 'Per cent of the mix that the classifier learned to read.',
    rowLabel: 'task',
    columnLabel: 'layer',
    rows,
    columns,
    values,
    format: 'percent',
    markHighest: true,
    table: {
      columns: [{ label: 'task' }, ...columns.map((layer) => ({ label: `layer ${layer}`, numeric: true }))],
      rows: rows.map((row, i): Cell[] => [row, ...values[i]]),
    },
  }
}

const layerName = (layer: string): string => (/^\d+$/.test(layer) ? `layer ${layer}` : `the ${layer}`)
const percent = (value: number | null): string => (value === null ? '–' : (100 * value).toFixed(1))
const bestOf = (values: readonly (number | null)[]): number =>
  values.reduce<number>((best, value, i) => (value !== null && (best < 0 || value > values[best]!) ? i : best), -1)

function valueTable(tasks: readonly ProbeTask[], layers: readonly string[], values: (number | null)[][]): Table {
  return {
    columns: [
      { label: 'task' },
      ...layers.map((layer) => ({ label: /^\d+$/.test(layer) ? `layer ${layer}` : layer, numeric: true })),
    ],
    rows: tasks.map(({ name }, i): Cell[] => [name, ...values[i]]),
  }
}

/** Numbered layers upwards, then what has a name, like a mix. */
function layersOf(tasks: readonly ProbeTask[]): string[] {
  const all = [...new Set(tasks.flatMap(({ cells }) => cells.map(({ layer }) => String(layer))))]
  const isNumber = (layer: string) => /^\d+$/.test(layer)
  const numbered = all.filter(isNumber).sort((a, b) => Number(a) - Number(b))
  return [...numbered, ...all.filter((layer) => !isNumber(layer))]
}

/** A task a row: sizes, controls, the best layer with its interval, what has a name beside the layers, the centroid; four digits each. */
export function probeTable({ report }: ProbeInput): Table {
  const named = layersOf(report.tasks).filter((layer) => !/^\d+$/.test(layer))
  // The summary is of logistic regression where that was asked for.
  const classifierOf = (cells: readonly ProbeCell[]) =>
    cells.find(({ classifier }) => classifier === 'logistic')?.classifier ?? cells[0]?.classifier
  const highest = (cells: readonly ProbeCell[], of: (cell: ProbeCell) => boolean) =>
    cells
      .filter((cell) => cell.classifier === classifierOf(cells) && of(cell))
      .reduce<ProbeCell | undefined>((most, cell) => (most && most.accuracy >= cell.accuracy ? most : cell), undefined)
  const withInterval = (cell: { accuracy: number; interval?: [number, number] } | undefined) =>
    cell ? `${brief(cell.accuracy)}${cell.interval ? ` (${cell.interval.map(brief).join(' … ')})` : ''}` : null
  /** Chosen on dev, so that test figures are not of the luckiest layer. */
  const best = ({ name, cells }: ProbeTask) => {
    const chosen = report.summary?.bestLayer?.[name]
    return highest(cells, ({ layer }) => (chosen === undefined ? typeof layer === 'number' : layer === chosen))
  }
  const columns: (Column & { read: (task: ProbeTask) => Cell })[] = [
    { label: 'task', read: ({ name }) => name },
    { label: 'classes', numeric: true, read: ({ classes }) => classes },
    { label: 'train', numeric: true, read: ({ train }) => train ?? null },
    { label: 'test', numeric: true, read: ({ test }) => test ?? null },
    { label: 'majority', numeric: true, read: ({ majority }) => brief(majority) },
    { label: 'bag of words', numeric: true, read: ({ controls }) => withInterval(controls?.bagOfWords) },
    {
      label: 'random encoder, its best layer',
      numeric: true,
      read: ({ cells, controls }) => {
        const own = controls?.randomEncoder?.filter(({ classifier }) => classifier === classifierOf(cells)) ?? []
        return withInterval([...own].sort((a, b) => b.accuracy - a.accuracy)[0])
      },
    },
    { label: 'best layer by dev', numeric: true, read: (task) => best(task)?.layer ?? null },
    { label: 'its accuracy (95 %)', numeric: true, read: (task) => withInterval(best(task)) },
    ...named.map((name) => ({
      label: `${name} (95 %)`,
      numeric: true,
      read: ({ cells }: ProbeTask) => withInterval(highest(cells, ({ layer }) => layer === name)),
    })),
    { label: 'centroid', numeric: true, read: ({ name }) => brief(report.summary?.centroid?.[name]) },
    { label: "mix's centre", numeric: true, read: ({ name }) => brief(report.summary?.mixCentre?.[name]) },
    { label: 'source', read: ({ source }) => source ?? '–' },
  ]
  const rows = report.tasks.map((task) => columns.map(({ read }) => read(task)))
  return usedColumns(columns, rows)
}
