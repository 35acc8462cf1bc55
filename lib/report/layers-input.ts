/** layers.json: similarity of layers, what each attention head does, gradients and mixes by layer. */
import { join } from 'node:path'
import { z } from 'zod'
import { loggedNumber, readJson } from './read-file.js'

const matrix = z.array(z.array(loggedNumber.nullable()))
const basis = { unit: z.string().optional(), rows: z.number().optional(), chance: z.number().optional() }
const cka = z.looseObject({ names: z.array(z.string()), matrix, ...basis })
/** This encoder's layers are the rows, another's the columns. */
const against = z.looseObject({
  checkpoint: z.string(),
  rowNames: z.array(z.string()),
  columnNames: z.array(z.string()),
  matrix,
  ...basis,
})

export interface CkaInput {
  rows: string[]
  columns: string[]
  matrix: z.infer<typeof matrix>
  /** About what unrelated states would get. */
  chance?: number
}

const attention = z.looseObject({
  layer: z.number(),
  head: z.number(),
  /** Nats. */
  entropy: loggedNumber.nullable(),
  /** Tokens. */
  distance: loggedNumber.nullable(),
  /** Share that goes to [CLS]. */
  first: loggedNumber.nullish(),
  /** Share that goes to [SEP]. */
  separators: loggedNumber.nullish(),
})
export type AttentionMeasure = 'entropy' | 'distance' | 'first' | 'separators'

/** By layer: `0` the embeddings, `1` and up the blocks, `heads`. */
export const gradientNorms = z.record(z.string(), loggedNumber)

const layers = z.looseObject({
  format: z.literal(1),
  checkpoint: z.string().optional(),
  date: z.string().optional(),
  command: z.union([z.string(), z.array(z.string())]).optional(),
  versions: z.record(z.string(), z.unknown()).optional(),
  cka: cka.nullish(),
  against: against.nullish(),
  attention: z.array(attention).nullish(),
  /** Of a head that gives every token the same share. */
  uniformAttention: z.record(z.string(), loggedNumber).nullish(),
  gradientNorms: z.array(z.looseObject({ step: z.number(), stage: z.string(), gradientNorms })).nullish(),
  mixes: z
    .record(
      z.string(),
      z.looseObject({
        weights: z.array(loggedNumber),
        gamma: loggedNumber.optional(),
        layers: z.array(z.number()).optional(),
      }),
    )
    .nullish(),
  notes: z.array(z.string()).default([]),
})

export interface LayersInput {
  name: string
  folder: string
  file: string
  report: z.infer<typeof layers>
}

export async function readLayers(folder: string, name: string): Promise<LayersInput> {
  const file = join(folder, 'layers.json')
  return { name, folder, file, report: await readJson(file, 'the output of stratabert layers', layers) }
}
