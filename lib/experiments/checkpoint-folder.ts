import { resolveCheckpoint, resolveTaskCheckpoint } from '../training/index.js'
import { warn } from '../warn.js'

/**
 * The model folder that a run's folder or a path means; with `task` that task's own. An older checkpoint in place of a damaged one is told
 * as a process warning.
 */
export async function checkpointFolder(path: string, task?: string): Promise<string> {
  const { folder, warnings } = await (task === undefined ? resolveCheckpoint(path) : resolveTaskCheckpoint(path, task))
  warn(warnings)
  return folder
}
