/** Bits that are kept beside each token of a text. */
export const TOKEN_FLAGS = {
  /** The token begins a word (an alphanumeric run or a single punctuation mark, as BERT's pre-tokeniser cuts). */
  wordStart: 1,
  /** The token's word has no letter and no digit. */
  punctuation: 2,
} as const
