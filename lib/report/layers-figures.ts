/** Similarity of layers, what each attention head does, and gradients by layer. */
import { brief, figureId } from './curves.js'
import type { Cell, HeatFigure, LineFigure } from './figure.js'
import type { AttentionMeasure, CkaInput, LayersInput } from './layers-input.js'
import type { MixOf } from './mix-figures.js'
import { finite, type LoggedNumber } from './read-file.js'

export function layersFigures(inputs: readonly LayersInput[]): HeatFigure[] {
  return inputs.flatMap((input) => {
    const suffix = inputs.length > 1 ? `, ${input.name}` : ''
    const { cka, against } = input.report
    return [
      ...(cka
        ? [ckaFigure(input, `between layers${suffix}`, { rows: cka.names, columns: cka.names, ...pick(cka) })]
        : []),
      ...(against
        ? [
            ckaFigure(input, `with the layers of ${against.checkpoint}${suffix}`, {
              rows: against.rowNames,
              columns: against.columnNames,
              ...pick(against),
            }),
          ]
        : []),
      ...MEASURES.flatMap((measure) => attentionFigure(input, measure, suffix) ?? []),
    ]
  })
}

const pick = ({ matrix, chance }: Pick<CkaInput, 'matrix' | 'chance'>) => ({ matrix, chance })

function ckaFigure(input: LayersInput, what: string, { rows, columns, matrix, chance }: CkaInput): HeatFigure {
  const title = `Linear CKA ${what}`
  const values = rows.map((_, row) => columns.map((__, column) => finite(matrix[row]?.[column])))
  const others = values.flatMap((row, i) =>
    row.flatMap((value, j) => (value === null || (rows === columns && i === j) ? [] : value)),
  )
  const ends = others.length > 0 ? ` It goes from ${brief(Math.min(...others))} to ${brief(Math.max(...others))}.` : ''
  return {
    kind: 'heat',
    id: figureId('cka', input.folder, what),
    title,
    description: `${title}: 1 where the states of two layers are the same up to rotation and scale, 0 where they share nothing.${ends}`,
    caption: `1 = the same up to rotation and scale${chance === undefined ? '' : `; unrelated states would get about ${brief(chance)}`}.`,
    rowLabel: 'layer',
    columnLabel: 'layer',
    rows,
    columns,
    values,
    format: 'number',
    domain: [0, 1],
    table: {
      columns: [{ label: 'layer' }, ...columns.map((label) => ({ label, numeric: true }))],
      rows: rows.map((name, i): Cell[] => [name, ...columns.map((_, j) => matrix[i]?.[j] ?? null)]),
    },
  }
}

const MEASURES: { key: AttentionMeasure; title: string; format: HeatFigure['format'] }[] = [
  { key: 'entropy', title: 'Attention entropy by layer and head, nats', format: 'number' },
  { key: 'distance', title: 'Attention distance by layer and head, tokens', format: 'number' },
  { key: 'first', title: 'Attention to [CLS] by layer and head, per cent', format: 'percent' },
  { key: 'separators', title: 'Attention to [SEP] by layer and head, per cent', format: 'percent' },
]

function attentionFigure(
  input: LayersInput,
  { key, title: what, format }: (typeof MEASURES)[number],
  suffix: string,
): HeatFigure | undefined {
  const readings = (input.report.attention ?? []).filter((reading) => reading[key] !== undefined)
  if (readings.length === 0) return undefined
  const title = `${what}${suffix}`
  const sorted = (values: number[]) => [...new Set(values)].sort((a, b) => a - b)
  const [layers, heads] = [sorted(readings.map(({ layer }) => layer)), sorted(readings.map(({ head }) => head))]
  const at = (layer: number, head: number) =>
    readings.find((item) => item.layer === layer && item.head === head)?.[key] ?? null
  const values = layers.map((layer) => heads.map((head) => finite(at(layer, head))))
  const means = layers.map((layer, i) => {
    const known = values[i].filter((value) => value !== null)
    return `layer ${layer} ${brief(known.reduce((sum, value) => sum + value, 0) / known.length)}`
  })
  const uniform = input.report.uniformAttention?.[key]
  return {
    kind: 'heat',
    id: figureId('attention', key, input.folder),
    title,
    description: `${title}. Means over heads: ${means.join(', ')}.`,
    caption:
      uniform === undefined
        ? undefined
        : `A head that gives every token the same share: ${typeof uniform === 'number' && format === 'percent' ? `${brief(100 * uniform)} %` : brief(uniform)}.`,
    rowLabel: 'layer',
    columnLabel: 'head',
    rows: layers.map(String),
    columns: heads.map(String),
    values,
    format,
    table: {
      columns: [{ label: 'layer' }, ...heads.map((head) => ({ label: `head ${head}`, numeric: true }))],
      rows: layers.map((layer): Cell[] => [`layer ${layer}`, ...heads.map((head) => at(layer, head))]),
    },
  }
}

export interface GradientReading {
  /** Of the run or encoder. */
  name: string
  step: number
  stage: string
  gradientNorms: Record<string, LoggedNumber>
}

/** Norms by layer at the first and the last step of each stage: what reaches the layers below. */
export function gradientFigure(readings: readonly GradientReading[]): LineFigure[] {
  if (readings.length === 0) return []
  const title = 'Gradient norm by layer'
  const severalNames = new Set(readings.map(({ name }) => name)).size > 1
  const severalStages = new Set(readings.map(({ name, stage }) => `${name}\0${stage}`)).size > readings.length / 2
  const nameOf = ({ name, stage, step }: GradientReading) =>
    [severalNames && name, severalStages && stage, `step ${step}`].filter(Boolean).join(', ')
  const numbered = ({ gradientNorms }: GradientReading) => Object.keys(gradientNorms).filter((key) => /^\d+$/.test(key))
  const told = readings.map((reading) => {
    const norms = numbered(reading).map((layer) => `layer ${layer} ${brief(reading.gradientNorms[layer])}`)
    return `${nameOf(reading)}: ${norms.join(', ')}`
  })
  return [
    {
      kind: 'lines',
      id: figureId('gradients'),
      title,
      description: `${title}, before clipping. ${told.join('; ')}.`,
      caption: 'Before clipping; layer 0 is the embeddings. The table has the heads too.',
      xLabel: 'layer',
      yLabel: 'norm',
      wholeX: true,
      include: [0],
      series: readings.map((reading) => ({
        name: nameOf(reading),
        points: {
          x: numbered(reading).map(Number),
          y: numbered(reading).map((layer) => finite(reading.gradientNorms[layer])),
        },
      })),
      table: {
        columns: [
          { label: 'run' },
          { label: 'stage' },
          { label: 'step', numeric: true },
          { label: 'layer', numeric: true },
          { label: 'norm', numeric: true },
        ],
        rows: readings.flatMap(({ name, stage, step, gradientNorms }) =>
          Object.entries(gradientNorms).map(([layer, norm]): Cell[] => [name, stage, step, layer, norm]),
        ),
      },
    },
  ]
}

/** What layers.json knows of gradients; for pages without the runs themselves. */
export const gradientsOfLayers = (inputs: readonly LayersInput[]): GradientReading[] =>
  inputs.flatMap(({ name, report }) =>
    (report.gradientNorms ?? []).map(({ step, stage, gradientNorms }) => ({ name, step, stage, gradientNorms })),
  )

/** Mixes of a checkpoint, as beside those of runs. */
export function mixesOfLayers(inputs: readonly LayersInput[]): MixOf[] {
  return inputs.flatMap(({ name, report }) =>
    Object.entries(report.mixes ?? {}).map(([mix, { weights, gamma, layers }]) => ({
      name: `${name}, ${mix}`,
      weights,
      gamma,
      firstLayer: layers?.[0] ?? 1,
    })),
  )
}
