/** The end of an error that has several remedies: numbered, best first, each with a capital letter. */
export function whatToDo(steps: readonly string[]): string {
  const lines = steps.map((step, i) => `  ${i + 1}. ${step[0].toUpperCase()}${step.slice(1)}`)
  return `What to do:\n${lines.join('\n')}`
}

/** Of everything that this package finds missing. */
export const ASK_DOCTOR = 'see what was found: npx stratabert doctor'
