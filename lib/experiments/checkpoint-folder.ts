import { resolveCheckpoint } from '../training/index.js'
import { warn } from '../warn.js'

/** The model folder that a run's folder or a path means. An older checkpoint in place of a damaged one is told as a process warning. */
export async function checkpointFolder(path: string): Promise<string> {
  const { folder, warnings } = await resolveCheckpoint(path)
  warn(warnings)
  return folder
}
