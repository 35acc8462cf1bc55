export { type AgreementHeads, AgreementLabels } from './agreement.js'
export { BigramShift, type BigramShiftOptions } from './bigram-shift.js'
export type { BatchDraft } from './draft.js'
export {
  type PretrainingHeads,
  type PretrainingOptions,
  type PretrainingSource,
  pretrainingSource,
} from './joint-pretraining.js'
export { MaskedLm, type MaskedLmOptions } from './masked-lm.js'
export { type PackedMaskedLmOptions, packedMaskedLmSource } from './packed-masked-lm.js'
export { type UnigramEntropy, unigramEntropy } from './unigram-entropy.js'
