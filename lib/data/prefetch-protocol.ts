import type { StrataErrorCode } from '../errors.js'
import type { SourceDescription } from './source-description.js'

/** What the main thread asks of a prefetch worker; `source` is a number that `add` introduced. */
export type PrefetchRequest =
  | { kind: 'add'; source: number; description: SourceDescription }
  | { kind: 'count'; id: number; source: number; epoch: number }
  | { kind: 'build'; id: number; source: number; epoch: number; index: number }

/** A worker's answer to the request of the same id: a batch count, a batch, or why there is none. */
export type PrefetchReply =
  | { id: number; value: unknown }
  | {
      id: number
      error: { code?: StrataErrorCode; message: string; details?: Record<string, unknown>; stack?: string }
    }
