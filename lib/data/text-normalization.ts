/**
 * Text made plain before it is tokenised, in the order of Cramming's normaliser (Geiping & Goldstein 2022, arXiv 2212.14034;
 * tokenizer_preparation.py): quotation marks, decomposition, lower case, accents, runs of spaces, characters beyond ASCII. Sentence
 * borders are found before, in the text as it is.
 */
export interface TextNormalization {
  lowercase?: boolean
  /** Takes accents off their letters (NFD without combining marks). */
  stripAccents?: boolean
  /** Removes every character beyond ASCII; `` and '' become ". */
  ascii?: boolean
}

/** True when something is to be done. */
export function isNormalized({ lowercase, stripAccents, ascii }: TextNormalization = {}): boolean {
  return lowercase === true || stripAccents === true || ascii === true
}

export function normalizeText(text: string, { lowercase, stripAccents, ascii }: TextNormalization): string {
  let plain = ascii ? text.replace(/``|''/g, '"') : text
  if (stripAccents) plain = plain.normalize('NFD')
  // Letter by letter, as the tokenizers library does: a sigma at a word's end is a sigma.
  if (lowercase) plain = plain.replaceAll('Σ', 'σ').toLowerCase()
  if (stripAccents) plain = plain.replace(/\p{M}+/gu, '')
  if (!ascii) return plain
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII stays, tabs included.
  return plain.replace(/ {2,}/g, ' ').replace(/[^\x00-\x7f]+/g, '')
}
