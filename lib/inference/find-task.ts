import { StrataError } from '../errors.js'
import type { HeadConfig, SavedTask } from '../model/index.js'
import { shownValue } from '../shown-value.js'
import type { HeadOf, LoadedParts } from './loaded-parts.js'

/** A head to ask and what is known of its task. */
export interface FoundTask<Head extends HeadConfig = HeadConfig> {
  name: string
  head: Head
  /** Missing where the folder has a head without saying what for. */
  saved?: SavedTask
  /** Longest sequence in tokens. */
  sequenceTokens: number
}

/**
 * The task of a name (or the head of that name), or the only one whose head is of one of the kinds. Throws UNSUPPORTED when the
 * checkpoint has none or the named one is of another kind, BAD_ARGUMENT when the choice is open; both name what there is.
 */
export function findTask<Kind extends HeadConfig['kind']>(
  { model, tasks }: LoadedParts,
  kinds: readonly Kind[],
  asked: string | undefined,
  doing: string,
): FoundTask<HeadOf<Kind>> {
  const { heads, encoder } = model.config
  const every: { name: string; head: HeadConfig; saved?: SavedTask }[] = [
    ...tasks.map((saved) => ({ name: saved.name, head: heads.find(({ name }) => name === saved.head)!, saved })),
    ...heads
      .filter((head) => !tasks.some((task) => task.head === head.name))
      .map((head) => ({ name: head.name, head })),
  ]
  const fitting = every.filter(({ head }) => (kinds as readonly string[]).includes(head.kind))
  const found =
    asked === undefined
      ? fitting.length === 1
        ? fitting[0]
        : undefined
      : (every.find(({ name }) => name === asked) ?? every.find(({ head }) => head.name === asked))
  if (found && fitting.includes(found)) {
    const { saved } = found
    const sequenceTokens = Math.min(saved?.sequenceTokens ?? encoder.maxPositions, encoder.maxPositions)
    return { name: found.name, head: found.head as HeadOf<Kind>, saved, sequenceTokens }
  }
  const needed = `${doing} needs a head of kind ${kinds.join(' or ')}`
  const there = heads.map(({ name, kind }) => `${name} (${kind})`).join(', ') || 'no heads'
  if (found)
    throw new StrataError(
      'UNSUPPORTED',
      `task ${shownValue(asked)} has a ${found.head.kind} head; ${needed}; the checkpoint has: ${there}; name a fitting one (task)`,
    )
  if (fitting.length === 0)
    throw new StrataError(
      'UNSUPPORTED',
      `${needed}; the checkpoint has: ${there}; use one that was trained with such a task`,
    )
  const names = fitting.map(({ name }) => name).join(', ')
  throw new StrataError(
    'BAD_ARGUMENT',
    asked === undefined
      ? `the checkpoint has several tasks that ${doing} can ask: ${names}; name one (task)`
      : `no task is named ${shownValue(asked)}; ${doing} can ask: ${names}; name one of these (task)`,
  )
}
