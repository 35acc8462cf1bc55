import type { SpecialTokens } from '../data/token-corpus.js'
import { StrataError } from '../errors.js'

/** 1 for the ids that are special, shape (V). Throws BAD_ARGUMENT when one lies outside the vocabulary. */
export function specialTable(special: SpecialTokens): Uint8Array {
  const { vocabSize } = special
  if (!(Number.isInteger(vocabSize) && vocabSize >= 1)) {
    throw new StrataError('BAD_ARGUMENT', `vocabSize ${vocabSize}: a positive integer was expected`)
  }
  const table = new Uint8Array(vocabSize)
  for (const name of ['padId', 'unkId', 'clsId', 'sepId', 'maskId'] as const) {
    const id = special[name]
    if (!(Number.isInteger(id) && id >= 0 && id < vocabSize)) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `special token ${name} is ${id}: an id from 0 to ${vocabSize - 1} was expected`,
      )
    }
    table[id] = 1
  }
  return table
}
