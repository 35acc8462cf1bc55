/** What each layer knows: accuracy by layer and task. */
import { brief, figureId } from './curves.js'
import type { Cell, Column, HeatFigure, Table } from './figure.js'
import type { ProbeCell, ProbeInput, ProbeTask } from './probe-input.js'

/** One heat map a probe output and classifier, and one of the selectivity where probes have a control task. */
export function probeFigures(probes: readonly ProbeInput[]): HeatFigure[] {
  return probes.flatMap((probe) => {
    const { tasks } = probe.report
    const shares = mixShares(probe, probes.length > 1 ? `, ${probe.name}` : '')
    const classifiers = [...new Set(tasks.flatMap(({ cells }) => cells.map(({ classifier }) => classifier)))]
    const named = (title: string, classifier: string) =>
      [title, classifiers.length > 1 && classifier, probes.length > 1 && probe.name].filter(Boolean).join(', ')
    const figures = classifiers.flatMap((classifier) => {
      const accuracy = heatMap(
        probe,
        classifier,
        named('Accuracy by layer and task', classifier),
        ({ accuracy }) => accuracy,
      )
      const selective = tasks.filter(({ cells }) => cells.some((cell) => cell.selectivity !== undefined))
      if (selective.length === 0) return [accuracy]
      const title = named('Selectivity by layer and task', classifier)
      const part = { ...probe, report: { ...probe.report, tasks: selective } }
      const selectivity = heatMap(part, classifier, title, ({ selectivity }) => selectivity)
      return [
        accuracy,
        {
          ...selectivity,
          caption: `Accuracy less that on a control task of random labels a word type. ${selectivity.caption}`,
        },
      ]
    })
    return shares ? [...figures, shares] : figures
  })
}

function heatMap(
  probe: ProbeInput,
  classifier: string,
  title: string,
  read: (cell: ProbeCell) => number | undefined,
): HeatFigure {
  const { tasks } = probe.report
  const layers = layersOf(tasks)
  const cellAt = ({ cells }: ProbeTask, layer: string) =>
    cells.find((cell) => cell.classifier === classifier && String(cell.layer) === layer)
  const values = tasks.map((task) =>
    layers.map((layer) => {
      const cell = cellAt(task, layer)
      return cell ? (read(cell) ?? null) : null
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
  values.reduce<number>(
    (best, value, i) => (value !== null && (best < 0 || value > (values[best] ?? 0)) ? i : best),
    -1,
  )

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
        const own = controls?.randomEncoder?.filter(({ classifier }) => classifier === classifierOf(cells))
        return own?.length ? brief(Math.max(...own.map(({ accuracy }) => accuracy))) : null
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
  const used = columns.map((_, i) => rows.some((row) => row[i] !== null && row[i] !== '–'))
  return {
    columns: columns.filter((_, i) => used[i]).map(({ label, numeric }) => ({ label, numeric })),
    rows: rows.map((row) => row.filter((_, i) => used[i])),
  }
}
