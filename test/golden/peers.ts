import { existsSync } from 'node:fs'
import path from 'node:path'
import { SHARED_DATA } from '../helpers/shared-data.js'

const ROOT = path.resolve(__dirname, '../..')

/** The folder of real data beside the project, or STRATABERT_SHARED. */
export function sharedData(): string {
  return SHARED_DATA
}

/** A Python with torch and transformers: STRATABERT_PYTHON, else the one that `npm run bench:setup` made. */
export function pythonPeer(): string | undefined {
  const candidates = [process.env.STRATABERT_PYTHON, path.join(ROOT, '.venv/bin/python')]
  return candidates.find((candidate) => candidate !== undefined && existsSync(candidate))
}
