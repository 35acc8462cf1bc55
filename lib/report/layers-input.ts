/** layers.json: similarity of layers, what each attention head does, gradients and mixes by layer. */
import { join } from 'node:path'
import { z } from 'zod'
import { loggedNumber, readJson } from './read-file.js'

const cka = z.looseObject({
  names: z.array(z.string()),
  /** Of the other encoder's layers, where two are compared; else the rows' names stand for the columns too. */
  columnNames: z.array(z.string()).optional(),
  matrix: z.array(z.array(loggedNumber.nullable())),
})
export type CkaInput = z.infer<typeof cka>

const attention = z.looseObject({
  layer: z.number(),
  head: z.number(),
  /** Nats. */
  entropy: loggedNumber.nullable(),
  /** Tokens. */
  distance: loggedNumber.nullable(),
})

const layers = z.looseObject({
  format: z.literal(1),
  checkpoint: z.string().optional(),
  date: z.string().optional(),
  command: z.union([z.string(), z.array(z.string())]).optional(),
  versions: z.record(z.string(), z.unknown()).optional(),
  cka: cka.nullish(),
  attention: z.array(attention).nullish(),
  mixes: z
    .record(z.string(), z.looseObject({ weights: z.array(loggedNumber), gamma: loggedNumber.optional() }))
    .nullish(),
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
