/** Ids of a tokenizer that others must know, and how many ids there are. */
export interface SpecialTokens {
  vocabSize: number
  padId: number
  unkId: number
  clsId: number
  sepId: number
  maskId: number
}
