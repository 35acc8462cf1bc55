/** What a run tells of the checkpoint that it starts from. */
import type { LoadedModel, SavedTask } from '../model/index.js'

/** So many classes are named in a note. */
const MOST_NAMED = 20

const KINDS: Record<string, string> = { heads: 'head', mixes: 'mix', adapters: 'adapter', agreements: 'relation' }

/**
 * What of the model starts fresh and why, one line a part; heads that go on with other classes than they had; what of the checkpoint is left
 * behind. `before`: the checkpoint's tasks; `now`: the run's.
 */
export function startNotes(
  init: string,
  { fresh, continued, resized, unused }: Pick<LoadedModel, 'fresh' | 'continued' | 'resized' | 'unused'>,
  before: readonly SavedTask[],
  now: readonly SavedTask[],
): string[] {
  const classesOf = (tasks: readonly SavedTask[], part: string) =>
    tasks.find(({ head }) => part === `heads.${head}`)?.labels
  const parts = new Set(
    fresh.map((name) => /^(?:heads|mixes|adapters|agreements)\.[^.]+(?=\.)/.exec(name)?.[0] ?? name),
  )
  return [
    ...Object.entries(resized).map(([part, other]) => {
      const [then, here] = [classesOf(before, other), classesOf(now, part)]
      const why = then && here ? `has the classes ${listed(then)} and now come ${listed(here)}` : 'has other sizes'
      return `${shownPart(part)} of ${init} ${why}: it starts fresh`
    }),
    ...[...parts]
      .filter((part) => !(part in resized))
      .map((part) =>
        part in continued
          ? `${shownPart(part)} is in ${init} but for a part, which starts fresh`
          : `${shownPart(part)} is not in ${init}: it starts fresh`,
      ),
    ...Object.entries(continued).flatMap(([part, other]) => {
      const [then, here] = [classesOf(before, other), classesOf(now, part)]
      if (!then || !here || then.join('\n') === here.join('\n')) return []
      return `${shownPart(part)} goes on from ${init}, where its classes were ${listed(then)}; now they are ${listed(here)}`
    }),
    ...(unused.length > 0 ? [`not used of ${init}: ${unused.join(', ')}`] : []),
  ]
}

/** `head rte` of `heads.rte`; a parameter that belongs to no part as it is. */
function shownPart(part: string): string {
  const [kind, name] = part.split('.')
  return kind in KINDS && part !== 'agreements.gates' ? `${KINDS[kind]} ${name}` : part
}

function listed(classes: readonly string[]): string {
  const shown = classes.slice(0, MOST_NAMED).join(', ')
  return classes.length > MOST_NAMED ? `${shown} … (${classes.length})` : shown
}
