import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** Arguments for `process.execPath` that run `<directory>/<name>`: compiled, or from sources through tsx. */
export function programArguments(directory: string, name: string): string[] {
  const compiled = join(directory, `${name}.js`)
  if (existsSync(compiled)) return [compiled]
  return ['--import', pathToFileURL(require.resolve('tsx')).href, join(directory, `${name}.ts`)]
}
