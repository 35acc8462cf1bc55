/** probes.json: what a probing classifier finds at each layer. */
import { join } from 'node:path'
import { z } from 'zod'
import { readJson } from './read-file.js'

const interval = z.tuple([z.number(), z.number()])
const layer = z.union([z.number().int().nonnegative(), z.string()])

const cell = z.looseObject({
  layer,
  classifier: z.string().default('logistic'),
  accuracy: z.number(),
  interval: interval.optional(),
  l2: z.number().optional(),
  epochs: z.number().optional(),
  devAccuracy: z.number().optional(),
  /** Accuracy above that on random labels, one a word type (Hewitt & Liang 2019). */
  selectivity: z.number().optional(),
  controlAccuracy: z.number().optional(),
  mixWeights: z.array(z.number()).optional(),
})

const task = z.looseObject({
  name: z.string(),
  kind: z.string().optional(),
  classes: z.number(),
  train: z.number().optional(),
  dev: z.number().optional(),
  test: z.number().optional(),
  source: z.string().optional(),
  notes: z.array(z.string()).default([]),
  majority: z.number().optional(),
  controls: z
    .looseObject({
      bagOfWords: z.looseObject({ accuracy: z.number(), interval: interval.optional() }).optional(),
      randomEncoder: z
        .array(
          z.looseObject({
            layer,
            classifier: z.string().default('logistic'),
            accuracy: z.number(),
            interval: interval.optional(),
          }),
        )
        .optional(),
    })
    .optional(),
  cells: z.array(cell),
})

const probes = z.looseObject({
  format: z.literal(1),
  /** Folders of probing tasks have a probes.json too. */
  content: z.undefined({ error: 'these are the tasks themselves, not what a probe found' }).optional(),
  checkpoint: z.string(),
  date: z.string().optional(),
  command: z.union([z.string(), z.array(z.string())]).optional(),
  versions: z.record(z.string(), z.unknown()).optional(),
  pooling: z.string().optional(),
  tasks: z.array(task),
  leftOut: z.array(z.looseObject({ task: z.string(), reason: z.string() })).default([]),
  summary: z
    .looseObject({
      bestLayer: z.record(z.string(), layer).optional(),
      centroid: z.record(z.string(), z.number().nullable()).optional(),
      mixCentre: z.record(z.string(), z.number().nullable()).optional(),
    })
    .optional(),
})

export type ProbeTask = z.infer<typeof task>
export type ProbeCell = z.infer<typeof cell>
export interface ProbeInput {
  name: string
  folder: string
  file: string
  report: z.infer<typeof probes>
}

export async function readProbes(folder: string, name: string): Promise<ProbeInput> {
  const file = join(folder, 'probes.json')
  return { name, folder, file, report: await readJson(file, 'the output of stratabert probe', probes) }
}
