import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/**
 * Arguments for `process.execPath` that run `<directory>/<name>`: compiled, or from sources through tsx. Under Yarn's Plug'n'Play with its hook,
 * without which the process would not find our dependencies: `node -r ./.pnp.cjs` does not hand it on.
 */
export function programArguments(directory: string, name: string): string[] {
  const compiled = join(directory, `${name}.js`)
  if (existsSync(compiled))
    return process.versions.pnp ? ['--require', require.resolve('pnpapi'), compiled] : [compiled]
  return ['--import', pathToFileURL(require.resolve('tsx')).href, join(directory, `${name}.ts`)]
}
