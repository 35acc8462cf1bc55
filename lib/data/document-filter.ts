/** Which documents of a text are kept: no exact copies, and none that the vocabulary cuts into too many tokens. */
import { StrataError } from '../errors.js'

export interface DocumentFilters {
  /**
   * A document with at least this many tokens a character is removed: what does not compress is seldom plain prose (Cramming:
   * Geiping & Goldstein 2022, arXiv 2212.14034, section 4.4, has 0.3). Default: none is removed.
   */
  maxTokensPerCharacter?: number
  /** Removes every document whose text came before. Default false. */
  dropDuplicates?: boolean
}

/** What the filters removed; a filter that is off has no count. */
export interface RemovedDocuments {
  duplicateDocuments?: number
  duplicateCharacters?: number
  incompressibleDocuments?: number
  incompressibleCharacters?: number
  incompressibleTokens?: number
}

/** Throws BAD_ARGUMENT on a limit that is no positive number. */
export function checkFilters({ maxTokensPerCharacter }: DocumentFilters): void {
  if (maxTokensPerCharacter === undefined || maxTokensPerCharacter > 0) return
  throw new StrataError(
    'BAD_ARGUMENT',
    `maxTokensPerCharacter is ${maxTokensPerCharacter}; a number above 0, like 0.3, was expected`,
  )
}
