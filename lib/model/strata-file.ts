/** `stratabert.json`: what a model folder holds beyond Hugging Face's files. Fields are only ever added; the format stays 1. */
import { z } from 'zod'
import { StrataError } from '../errors.js'
import {
  ADAPTER_KINDS,
  type AdapterConfig,
  type AgreementConfig,
  type HeadConfig,
  type MixConfig,
  type PruningConfig,
  tapLayer,
} from './config.js'
import { exists, readJson } from './folder-files.js'
import { type SavedTask, savedTaskProblem, savedTaskSchema } from './saved-task.js'

export const STRATA_FORMAT = 1

/** What `stratabert.json` holds. */
export interface StrataFile {
  format: 1
  /** Version of the package that wrote the folder. */
  version: string
  heads: HeadConfig[]
  agreements?: AgreementConfig
  mixes?: MixConfig[]
  adapters?: AdapterConfig[]
  /** What the heads were trained for. */
  tasks?: SavedTask[]
  /** What pruning left of the weights, which stand in the weights file with their zeros. */
  pruned?: PrunedWeights
  extra: Record<string, unknown>
}

/** What a pruned model has less than its shape says. */
export interface PrunedWeights {
  method: PruningConfig['method']
  /** Share of the weights of the blocks' linear layers that is not 0, in all and by block. */
  density: number
  byLayer: Record<string, number>
  /** Parameters of the model, and those among them that pruning left. */
  parameters: number
  nonZeroParameters: number
}

const name = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]*$/)
const share = z.number().min(0).max(1)
const count = z.int().min(1).max(1_000_000)

const headBase = {
  name,
  tap: z.union([z.strictObject({ layer: z.int().min(0) }), z.strictObject({ mix: name })]),
  weight: z.number().min(0),
}
const taskHeadBase = { ...headBase, dropout: share }
const pooled = { ...taskHeadBase, pooler: z.enum(['own', 'shared', 'none']), poolerSize: count.optional() }
const isOwnSize = ({ pooler, poolerSize }: { pooler: string; poolerSize?: number }) =>
  poolerSize === undefined || pooler === 'own'
const OWN_SIZE = { path: ['poolerSize'], message: "expected no size but of a pooler of the head's own" }

export const headSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('masked-lm'),
    ...headBase,
    transform: z.boolean().optional(),
    transfer: z
      .strictObject({ from: z.string(), mode: z.enum(['concat', 'add', 'label']), stopGradient: z.boolean() })
      .optional(),
  }),
  z.strictObject({ kind: z.literal('next-sentence'), ...headBase, read: z.enum(['cls', 'mean']).optional() }),
  z.strictObject({
    kind: z.literal('bigram-shift'),
    ...headBase,
    level: z.enum(['sentence', 'token']),
    read: z.enum(['mean', 'cls']),
  }),
  z.strictObject({ kind: z.literal('classifier'), ...pooled, classes: count }).refine(isOwnSize, OWN_SIZE),
  z.strictObject({ kind: z.literal('regressor'), ...pooled }).refine(isOwnSize, OWN_SIZE),
  z.strictObject({
    kind: z.literal('san'),
    ...taskHeadBase,
    classes: count,
    steps: z.int().min(1).max(1000),
    predictionDropout: share,
  }),
  z.strictObject({ kind: z.literal('ranker'), ...pooled }).refine(isOwnSize, OWN_SIZE),
  z.strictObject({ kind: z.literal('span'), ...taskHeadBase }),
  z.strictObject({ kind: z.literal('tagger'), ...taskHeadBase, classes: count }),
  z.strictObject({
    kind: z.literal('parser'),
    ...taskHeadBase,
    classes: count,
    tags: z.int().min(0).max(1_000_000).optional(),
    arcSize: count,
    labelSize: count,
  }),
  z.strictObject({ kind: z.literal('agreement'), name, weight: z.number().min(0), relation: name }),
])

const agreementSchema = z.strictObject({
  relations: z.array(name).min(1),
  size: count,
  layers: count,
  heads: count,
  intermediateSize: count,
  gateInit: z.number(),
  off: z.array(name).optional(),
  fixedGates: z.boolean().optional(),
  train: z.boolean().optional(),
  unit: z.enum(['chunk', 'word']).optional(),
})

export const mixSchema = z.strictObject({
  name,
  includeEmbeddings: z.boolean(),
  layerNorm: z.boolean(),
  init: z.enum(['uniform', 'last']),
})

export const adapterSchema = z.strictObject({
  name,
  kind: z.enum(ADAPTER_KINDS),
  size: count.optional(),
  heads: count.optional(),
  blocks: count.optional(),
  outputGelu: z.boolean().optional(),
  alpha: z.number().optional(),
  dropout: share.optional(),
  targets: z
    .array(z.enum(['query', 'key', 'value']))
    .min(1)
    .optional(),
  layerNorms: z.boolean().optional(),
})

/** Heads, mixes, adapters or tasks of a folder. */
const MOST_PARTS = 1000

const strataSchema = z.object({
  format: z.literal(STRATA_FORMAT),
  version: z.string(),
  heads: z.array(headSchema).max(MOST_PARTS),
  agreements: agreementSchema.optional(),
  mixes: z.array(mixSchema).max(MOST_PARTS).optional(),
  adapters: z.array(adapterSchema).max(MOST_PARTS).optional(),
  tasks: z.array(savedTaskSchema).max(MOST_PARTS).optional(),
  pruned: z
    .object({
      method: z.enum(['magnitude', 'movement', 'soft-movement', 'l0']),
      density: share,
      byLayer: z.record(z.string(), share),
      parameters: z.int().min(0),
      nonZeroParameters: z.int().min(0),
    })
    .optional(),
  extra: z.record(z.string(), z.unknown()).default({}),
})

/** Reads and checks the file; undefined when there is none. Throws BAD_CHECKPOINT naming file and field. */
export async function readStrataFile(file: string, layers: number): Promise<StrataFile | undefined> {
  if (!(await exists(file))) return undefined
  const strata: StrataFile = parseBySchema(strataSchema, await readJson(file), file)
  const problem = strataProblem(strata, layers)
  if (problem) {
    throw new StrataError('BAD_CHECKPOINT', `${file}: ${problem}; the files of the folder do not belong together`, {
      details: { file },
    })
  }
  return strata
}

/** Checks JSON by a schema. Throws BAD_CHECKPOINT naming file and field. */
export function parseBySchema<Schema extends z.ZodType>(schema: Schema, json: unknown, file: string): z.infer<Schema> {
  // The schema keeps an issue for each value that is wrong.
  if (countValues(json) > MOST_VALUES) {
    throw new StrataError('BAD_CHECKPOINT', `${file} holds more than ${MOST_VALUES} values; is it the right file?`, {
      details: { file },
    })
  }
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new StrataError(
    'BAD_CHECKPOINT',
    `${file}: ${issue.path.join('.').slice(0, 200) || 'the file'}: ${issue.message.slice(0, 300)}; expected what this version of the package writes`,
    { details: { file } },
  )
}

/** Names of a million classes, and some more. */
const MOST_VALUES = 1_500_000

function countValues(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1
  let count = 1
  for (const inner of Object.values(value)) count += countValues(inner)
  return count
}

function strataProblem({ heads, agreements, mixes = [], adapters = [], tasks = [] }: StrataFile, layers: number) {
  for (const [what, list] of Object.entries({ heads, mixes, adapters, tasks })) {
    const names = list.map((one) => one.name)
    const twice =
      names.length > new Set(names).size ? names.find((one, index) => names.indexOf(one) !== index) : undefined
    if (twice !== undefined) return `two ${what} are named ${twice}`
  }
  for (const head of heads) {
    const { name, tap } = head
    if (head.kind === 'agreement' && !agreements?.relations.includes(head.relation)) {
      return `head ${name} reads the relation ${head.relation}, which the file does not describe`
    }
    if (tap === undefined) continue
    if (tapLayer(tap, layers) > layers)
      return `head ${name} reads layer ${tap.layer}, config.json says ${layers} layers`
    if (tap.mix !== undefined && !mixes.some((mix) => mix.name === tap.mix)) {
      return `head ${name} reads the mix ${tap.mix}, which the file does not describe`
    }
  }
  for (const task of tasks) {
    const problem = savedTaskProblem(task, heads, adapters)
    if (problem) return problem
  }
  return undefined
}
