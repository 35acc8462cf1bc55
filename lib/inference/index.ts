/** Trained models at work: vectors, masks, classes, answers, tags. The only door of this room. */
export type { Answer, AnswerOptions, AnswerSpan } from './answer.js'
export type { TextInput } from './check-arguments.js'
export type { AskOptions, Classification, ClassifyOptions, LabelScore, TextScore } from './classify.js'
export { type Embeddings, type EmbedOptions, Encoder, type EncoderOptions } from './encoder.js'
export type { FilledMask, FillMaskOptions, MaskCandidate } from './fill-mask.js'
export type { ParsedSentence } from './parse.js'
export type { TaggedWord } from './tag.js'
