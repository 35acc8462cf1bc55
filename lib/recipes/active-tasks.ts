import { findDefinition } from '../tasks/index.js'
import { isValues, mergeValues, type Values } from './merge.js'

/** Slots of `data` that belong to no task. */
export const TEXT_SLOTS = ['corpus', 'heldOut']

/**
 * The tasks that take part: those of `tasks`, and every known task that has a data slot. Each starts from `taskDefaults`, over
 * which its `taskSettings` and its own values are laid.
 */
export function activeTasks(values: Values): Values {
  if (values.tasks !== undefined && !isValues(values.tasks)) return values
  const written = isValues(values.tasks) ? values.tasks : {}
  const slots = isValues(values.data) ? Object.keys(values.data) : []
  const known = slots.filter((slot) => !TEXT_SLOTS.includes(slot) && findDefinition(slot) !== undefined)
  const defaults = isValues(values.taskDefaults) ? values.taskDefaults : {}
  const settings = isValues(values.taskSettings) ? values.taskSettings : {}
  const tasks: Values = {}
  for (const name of [...new Set([...Object.keys(written), ...known])]) {
    const own = Object.hasOwn(written, name) ? written[name] : {}
    // What is no object is left to the schema, which names it.
    if (!isValues(own)) tasks[name] = own
    else tasks[name] = [defaults, settingsOf(name, own, settings), own].reduce(mergeValues, {})
  }
  return { ...values, tasks }
}

/** The settings of a task's own name, else those of the known task that it is, however either is spelt. */
function settingsOf(name: string, own: Values, settings: Values): Values {
  const known = findDefinition(typeof own.use === 'string' ? own.use : name)
  const key = Object.hasOwn(settings, name)
    ? name
    : known && Object.keys(settings).find((other) => findDefinition(other) === known)
  const found = key === undefined ? undefined : settings[key]
  return isValues(found) ? found : {}
}
