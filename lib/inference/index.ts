/** Trained models at work: embed and fill masks. The only door of this room. */
export {
  type Embeddings,
  type EmbedOptions,
  Encoder,
  type EncoderOptions,
  type FilledMask,
  type FillMaskOptions,
  type MaskCandidate,
} from './encoder.js'
