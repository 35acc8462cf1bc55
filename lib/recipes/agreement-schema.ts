import { z } from 'zod'

const count = z.int().min(1)
const name = z.string().regex(/^[A-Za-z][A-Za-z0-9_]*$/, 'a name of letters, digits and "_"')

/** The part of the recipe schema that is about agreements between chunks (DACBERT, arXiv 2311.04799; all of it our choice). */
export const agreements = z.strictObject({
  /** Groups of relations, each with a submodel and a head of its name: docs/chunks.md. */
  preset: z.enum(['default', 'bacon']).default('default'),
  /** Labels of the parse by name of the group, in place of the preset's. */
  groups: z.record(name, z.array(z.string().min(1)).min(1)).optional(),
  /** What is related: chunks, or single words. Default: the preset's. */
  unit: z.enum(['chunk', 'word']).optional(),
  /** Size of the submodels' states. */
  size: count.max(65_536).default(128),
  layers: count.max(1024).default(2),
  heads: count.max(4096).default(2),
  /** Width of their gated feed-forward product; default 4 × size. */
  intermediateSize: count.max(1_048_576).optional(),
  /** What the gates begin with by which the encoder takes the submodels' embeddings. */
  gateInit: z.number().default(0.1),
  /** Relations that the encoder does without; nothing trains them. */
  off: z.array(name).default([]),
  /** True: the gates stay as they begin. */
  fixedGates: z.boolean().default(false),
  /**
   * Share of the batches of a stage that trains no submodels in which the chunks are made from the corrupted text, as they are when the
   * model reads text without a parse; in the others they are the parse's. Default 0.
   */
  plainShare: z.number().min(0).max(1).optional(),
  /** Share of the budget in which the submodels are trained, before the encoder; 0 = no stage of their own. Default 0.1; not beside `stages`. */
  budgetShare: z.number().min(0).lt(1).optional(),
  /** Learning rate of that stage; default: the recipe's. Not beside `stages`. */
  learningRate: z.number().positive().optional(),
  /** Factor of each head's mean loss there. */
  weight: z.number().min(0).default(1),
  /** Factor on the submodels' learning rate while the encoder is trained; 0 = they stay as they are. */
  submodelRate: z.number().min(0).default(0),
})

export type RecipeAgreements = z.output<typeof agreements>
