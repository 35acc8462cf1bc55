/** What a model with agreements is asked at an evaluation, beside the losses of its heads. */
import type { PackedBatch } from '../data/packed-batch.js'
import type { Model } from '../model/index.js'
import { type AttachmentScores, AttachmentTally } from './attachment.js'

/** Does nothing for a model without agreements. */
export class AgreementFigures {
  readonly #model: Model
  readonly #tallies = new Map<string, AttachmentTally>()
  readonly #relations = new Map<string, string>()
  readonly #maskedLm: string[] = []
  readonly #sums = new Map<string, { lossSum: number; count: number }>()

  /** `wanted`: names of heads; default all. */
  constructor(model: Model, wanted: readonly string[] | undefined) {
    this.#model = model
    if (!model.config.agreements) return
    for (const head of model.config.heads) {
      if (wanted && !wanted.includes(head.name)) continue
      if (head.kind === 'agreement') this.#relations.set(head.name, head.relation)
      else if (head.kind === 'masked-lm') this.#maskedLm.push(head.name)
    }
  }

  async add(batch: PackedBatch): Promise<void> {
    const { chunks, labels } = batch
    if (!chunks) return
    const learned = [...this.#relations].filter(([head]) => labels[head])
    if (learned.length > 0) {
      const said = await this.#model.agreements(batch)
      for (const [head, relation] of learned) {
        const tally = this.#tallies.get(head) ?? new AttachmentTally()
        this.#tallies.set(head, tally)
        tally.add(chunks, labels[head].labels, said[relation])
      }
    }
    const masked = Object.fromEntries(this.#maskedLm.flatMap((head) => (labels[head] ? [[head, labels[head]]] : [])))
    const plain = this.#model.prepared({ ...batch, labels: masked, chunks: undefined })
    if (!plain.chunks || Object.keys(masked).length === 0) return
    for (const [head, { lossSum, count }] of Object.entries(await this.#model.evaluate(plain))) {
      const sum = this.#sums.get(head) ?? { lossSum: 0, count: 0 }
      this.#sums.set(head, { lossSum: sum.lossSum + lossSum, count: sum.count + count })
    }
  }

  figures(head: string): { attachment?: AttachmentScores; ownChunksLoss?: number } {
    const attachment = this.#tallies.get(head)?.finish()
    const sum = this.#sums.get(head)
    return { ...(attachment && { attachment }), ...(sum && { ownChunksLoss: sum.lossSum / sum.count }) }
  }
}
