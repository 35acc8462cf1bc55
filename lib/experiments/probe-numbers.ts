/** The numbers of a probing run's `probes.json`. */
import { z } from 'zod'
import { StrataError } from '../errors.js'

/** Only what is read here; the file holds more. */
const probesSchema = z.object({
  format: z.literal(1),
  tasks: z.array(
    z.object({
      name: z.string(),
      test: z.number(),
      /** As the other controls: only where it was asked for. */
      majority: z.number().nullish(),
      controls: z.object({ bagOfWords: z.object({ accuracy: z.number() }).nullish() }).nullish(),
      cells: z.array(
        z.object({
          layer: z.union([z.number(), z.string()]),
          classifier: z.string(),
          accuracy: z.number(),
          devAccuracy: z.number().nullish(),
          selectivity: z.number().nullish(),
        }),
      ),
    }),
  ),
  summary: z.object({ centroid: z.record(z.string(), z.number().nullable()).nullish() }).nullish(),
})

/**
 * `<task>.<layer>.<classifier>.<accuracy | devAccuracy | selectivity>`; `<task>.<layer>.accuracy` is the first classifier's, and
 * `<task>.best.accuracy` that of the layer (not a mix) with the best dev accuracy. `<task>.{count,centroid}`, and of the controls that
 * the run had `<task>.{majority,bagOfWords}`.
 */
export function probeNumbers(document: unknown): Record<string, number> {
  const parsed = probesSchema.safeParse(document)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new StrataError(
      'BAD_FILE',
      `probes.json: ${issue.path.join('.')}: ${issue.message}; was it written by probe?`,
    )
  }
  const numbers: Record<string, number> = {}
  const set = (name: string, value: number | null | undefined) => {
    if (typeof value === 'number') numbers[name] = value
  }
  for (const { name, test, majority, controls, cells } of parsed.data.tasks) {
    set(`${name}.majority`, majority)
    set(`${name}.count`, test)
    set(`${name}.bagOfWords`, controls?.bagOfWords?.accuracy)
    set(`${name}.centroid`, parsed.data.summary?.centroid?.[name])
    for (const { layer, classifier, ...figures } of cells) {
      for (const [figure, value] of Object.entries(figures)) {
        set(`${name}.${layer}.${classifier}.${figure}`, value)
        if (classifier === cells[0].classifier) set(`${name}.${layer}.${figure}`, value)
      }
    }
    const layers = cells.filter(
      ({ layer, classifier }) => typeof layer === 'number' && classifier === cells[0].classifier,
    )
    const chosen = (cell: (typeof layers)[number]) => cell.devAccuracy ?? cell.accuracy
    const [first, ...others] = layers
    if (!first) continue
    const best = others.reduce((top, cell) => (chosen(cell) > chosen(top) ? cell : top), first)
    set(`${name}.best.accuracy`, best.accuracy)
    set(`${name}.best.layer`, Number(best.layer))
  }
  return numbers
}
