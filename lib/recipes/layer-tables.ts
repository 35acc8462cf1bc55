/** A layer analysis for people: a table for the terminal and a page of Markdown. */
import type { AttentionMeans } from '../evaluation/index.js'
import type { CkaReading, LayerAnalysis } from './analyze-layers.js'
import { alignedTable } from './held-out-table.js'

type Row = readonly string[]

const MEANS = ['distance', 'entropy', 'first', 'separators'] as const satisfies (keyof AttentionMeans)[]
const TITLES: Record<keyof AttentionMeans, string> = {
  distance: 'distance (tokens)',
  entropy: 'entropy (nats)',
  first: 'to [CLS]',
  separators: 'to [SEP]',
}

/** One line a layer: similarity to the layer below, and what its heads do in the mean. */
export function layerTable(analysis: LayerAnalysis): string[] {
  const { cka } = analysis
  const header = ['layer', 'CKA with the layer below', ...MEANS.map((name) => TITLES[name])]
  const rows = cka.names.map((name, layer): Row => {
    if (layer === 0) return [name, '', ...MEANS.map(() => '')]
    return [
      name,
      figure(cka.matrix[layer][layer - 1]),
      ...MEANS.map((mean) => figure(average(ofBlock(analysis, layer, mean)))),
    ]
  })
  const uniform = ['uniform', '', ...MEANS.map((mean) => figure(analysis.uniformAttention[mean]))]
  return alignedTable([header, ...rows, uniform], 1)
}

/** The whole analysis. `command`: how it was made. */
export function layerPage(analysis: LayerAnalysis, command: string): string {
  const { checkpoint, encoder, data, cka, against, date } = analysis
  const parts = [
    `# Layers of ${checkpoint}`,
    `${encoder.layers} blocks of ${encoder.hiddenSize}, ${encoder.heads} heads each; ${data.sentences} sentences, ${data.tokens} tokens of ${data.corpus.join(', ')}; ${date}.`,
    code(command),
    '## Similarity of layers',
    similarityText(cka),
    table(['layer', ...cka.names], matrixRows(cka.names, cka.matrix)),
    ...(against
      ? [
          `## Similarity to ${against.checkpoint}`,
          `Rows: this checkpoint's layers; columns: the other's. ${similarityText(against)}`,
          table(['layer', ...against.columnNames], matrixRows(against.rowNames, against.matrix)),
        ]
      : []),
    '## Attention',
    'Means over all tokens, with the least and the most of a block’s heads. Uniform: a head that looks everywhere alike.',
    table(['layer', ...MEANS.map((name) => TITLES[name])], blockRows(analysis)),
    ...MEANS.flatMap((mean) => [`### ${TITLES[mean]}, by head`, headTable(analysis, mean)]),
    ...mixParts(analysis),
    ...gradientParts(analysis),
    ...centroidParts(analysis),
    ...(analysis.notes.length > 0 ? ['## Notes', analysis.notes.map((note) => `- ${note}`).join('\n')] : []),
  ]
  return `${parts.join('\n\n')}\n`
}

function similarityText({ unit, rows, chance }: Omit<CkaReading, 'names' | 'matrix'>): string {
  return `Linear CKA over ${rows} ${unit}s: 1 for states that are equal up to rotation and scale; unrelated ones would get about ${figure(chance)}.`
}

function blockRows(analysis: LayerAnalysis): Row[] {
  const blocks = Array.from({ length: analysis.encoder.layers }, (_, index): Row => {
    const cells = MEANS.map((mean) => {
      const values = ofBlock(analysis, index + 1, mean)
      return `${figure(average(values))} (${figure(Math.min(...values))} … ${figure(Math.max(...values))})`
    })
    return [String(index + 1), ...cells]
  })
  return [...blocks, ['uniform', ...MEANS.map((mean) => figure(analysis.uniformAttention[mean]))]]
}

function headTable(analysis: LayerAnalysis, mean: keyof AttentionMeans): string {
  const { layers, heads } = analysis.encoder
  const rows = Array.from(
    { length: layers },
    (_, index): Row => [String(index + 1), ...ofBlock(analysis, index + 1, mean).map(figure)],
  )
  return table(['layer', ...Array.from({ length: heads }, (_, head) => `head ${head + 1}`)], rows)
}

function mixParts({ mixes }: LayerAnalysis): string[] {
  return Object.entries(mixes).flatMap(([name, { layers, weights, gamma }]) => [
    `## Mix ${name}`,
    `Learned share of each layer; γ = ${figure(gamma)}.`,
    table(['layer', ...layers.map(String)], [['share', ...weights.map(figure)]]),
  ])
}

function gradientParts({ gradientNorms, encoder }: LayerAnalysis): string[] {
  if (gradientNorms.length === 0) return []
  const keys = [...Array.from({ length: encoder.layers + 1 }, (_, layer) => String(layer)), 'heads']
  const rows = gradientNorms.map(
    ({ stage, step, gradientNorms: norms }): Row => [
      stage,
      String(step),
      ...keys.map((key) => (key in norms ? figure(Number(norms[key])) : '')),
    ],
  )
  return [
    '## Gradient norm by layer',
    'After the first and the last step of each stage, before clipping; layer 0: the embeddings.',
    table(['stage', 'step', ...keys], rows),
  ]
}

function centroidParts({ centroids }: LayerAnalysis): string[] {
  if (!centroids) return []
  const rows = Object.entries(centroids).map(([task, centroid]): Row => [task, figure(centroid)])
  return ['## Centroid of each probing task', table(['task', 'centroid (layer)'], rows)]
}

const ofBlock = ({ attention }: LayerAnalysis, layer: number, mean: keyof AttentionMeans): number[] =>
  attention.filter((head) => head.layer === layer).map((head) => head[mean])

const matrixRows = (names: readonly string[], matrix: readonly (readonly number[])[]): Row[] =>
  names.map((name, index) => [name, ...matrix[index].map(figure)])

const average = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** Three digits that count: a distance of 12.3 and a share of 0.042 alike. NaN stays NaN. */
function figure(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return 'NaN'
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(1)
  return value.toFixed(Math.abs(value) < 10 ? 3 : 1)
}

const code = (command: string): string => `\`\`\`sh\n${command}\n\`\`\``

const table = (header: Row, rows: readonly Row[]): string =>
  [header, header.map(() => '---:'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
