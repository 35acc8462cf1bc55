import { resolve } from 'node:path'

/** The package's folder: the same number of levels up from lib/runtime (sources) and dist/runtime (installed). */
export const packageRoot = resolve(__dirname, '..', '..')
