import { findDefinition } from '../tasks/index.js'
import { isValues, mergeValues, type Values } from './merge.js'

/** Slots of `data` that belong to no task. */
export const TEXT_SLOTS = ['corpus', 'heldOut']

/**
 * The tasks that take part: those of `tasks`, and every known task that has a data slot. Each starts from `taskDefaults`, over
 * which `taskSettings` of its name and its own values are laid.
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
    const named = Object.hasOwn(settings, name) ? settings[name] : {}
    // What is no object is left to the schema, which names it.
    tasks[name] = isValues(own) ? [defaults, isValues(named) ? named : {}, own].reduce(mergeValues, {}) : own
  }
  return { ...values, tasks }
}
