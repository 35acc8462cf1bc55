/** Similarity of layers, and what each attention head does. */
import { brief, figureId } from './curves.js'
import type { Cell, HeatFigure } from './figure.js'
import type { CkaInput, LayersInput } from './layers-input.js'
import type { MixOf } from './mix-figures.js'
import { finite } from './read-file.js'

export function layersFigures(inputs: readonly LayersInput[]): HeatFigure[] {
  return inputs.flatMap((input) => {
    const suffix = inputs.length > 1 ? `, ${input.name}` : ''
    const { cka, attention } = input.report
    return [
      ...(cka ? [ckaFigure(input, cka, suffix)] : []),
      ...(attention && attention.length > 0
        ? [
            attentionFigure(input, 'entropy', `Attention entropy by layer and head, nats${suffix}`),
            attentionFigure(input, 'distance', `Attention distance by layer and head, tokens${suffix}`),
          ]
        : []),
    ]
  })
}

function ckaFigure(input: LayersInput, { names, columnNames = names, matrix }: CkaInput, suffix: string): HeatFigure {
  const title = `Similarity of layers: linear CKA${suffix}`
  const values = names.map((_, row) => columnNames.map((__, column) => finite(matrix[row]?.[column])))
  const all = values.flatMap((row, i) =>
    row.flatMap((value, j) => (value === null || (columnNames === names && i === j) ? [] : value)),
  )
  const ends =
    all.length > 0
      ? ` Between different layers it goes from ${brief(Math.min(...all))} to ${brief(Math.max(...all))}.`
      : ''
  return {
    kind: 'heat',
    id: figureId('cka', input.folder),
    title,
    description: `${title}: 1 where two layers' states are the same up to rotation and scale, 0 where they share nothing.${ends}`,
    caption: '1 = the same up to rotation and scale; 0 = nothing shared.',
    rowLabel: 'layer',
    columnLabel: 'layer',
    rows: names,
    columns: columnNames,
    values,
    format: 'number',
    domain: [0, 1],
    table: {
      columns: [{ label: 'layer' }, ...columnNames.map((label) => ({ label, numeric: true }))],
      rows: names.map((name, i): Cell[] => [name, ...columnNames.map((_, j) => matrix[i]?.[j] ?? null)]),
    },
  }
}

function attentionFigure(input: LayersInput, key: 'entropy' | 'distance', title: string): HeatFigure {
  const readings = input.report.attention ?? []
  const sorted = (values: number[]) => [...new Set(values)].sort((a, b) => a - b)
  const [layers, heads] = [sorted(readings.map(({ layer }) => layer)), sorted(readings.map(({ head }) => head))]
  const at = (layer: number, head: number) => readings.find((item) => item.layer === layer && item.head === head)?.[key]
  const values = layers.map((layer) => heads.map((head) => finite(at(layer, head))))
  const means = layers.map((layer, i) => {
    const known = values[i].filter((value) => value !== null)
    return `layer ${layer} ${brief(known.reduce((sum, value) => sum + value, 0) / known.length)}`
  })
  return {
    kind: 'heat',
    id: figureId('attention', key, input.folder),
    title,
    description: `${title}. Means over heads: ${means.join(', ')}.`,
    rowLabel: 'layer',
    columnLabel: 'head',
    rows: layers.map(String),
    columns: heads.map(String),
    values,
    format: 'number',
    table: {
      columns: [{ label: 'layer' }, ...heads.map((head) => ({ label: `head ${head}`, numeric: true }))],
      rows: layers.map((layer): Cell[] => [`layer ${layer}`, ...heads.map((head) => at(layer, head) ?? null)]),
    },
  }
}

/** Mixes of a checkpoint, as beside those of runs. Shares begin at layer 1 unless their number says that the embeddings take part. */
export function mixesOfLayers(inputs: readonly LayersInput[]): MixOf[] {
  return inputs.flatMap(({ name, report }) => {
    const blocks = new Set((report.attention ?? []).map(({ layer }) => layer)).size
    return Object.entries(report.mixes ?? {}).map(([mix, { weights, gamma }]) => ({
      name: `${name}, ${mix}`,
      weights,
      gamma,
      firstLayer: weights.length === blocks + 1 ? 0 : 1,
    }))
  })
}
