/** Variables that the addon reads and that know one value: anything else would be passed over there without a word. */
import { StrataError } from '../errors.js'
import type { Environment } from './platform.js'

const CHOICES = { STRATABERT_ALLOCATOR: 'system', STRATABERT_WEIGHTS: 'private' } as const

/** BAD_ARGUMENT for another value. An empty one is none. */
export function checkNativeChoices(environment: Environment = process.env): void {
  for (const [name, choice] of Object.entries(CHOICES)) {
    const value = environment[name]
    if (!value || value === choice) continue
    throw new StrataError(
      'BAD_ARGUMENT',
      `${name} is '${value}'; ${choice} was expected: set it to that, or unset it`,
      { details: { argument: name, value } },
    )
  }
}
